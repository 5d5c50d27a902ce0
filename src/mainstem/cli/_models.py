"""`mainstem models`: what comes with mainstem, with cards."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _complete
from . import _options as opt
from ._help import explained
from ._show_models import listed, shown
from ._terminal import busy, print_json, show

if TYPE_CHECKING:
    from mainstem.models import Embedded

HELP = explained(
    "Lists the models that come with mainstem, or shows the card of one.",
    """They need no download and no network. Of each: what it reads, its sizes, its licence, the first digits of the sha256 of
    its weights, and the first of its measured figures. With NAME: its card, which tells data, training, all figures
    and limits. With --json the whole sha256 and the versions it was worked out with; what other commands store says which
    weights it is of in the same way.""",
    examples="""
    mainstem models
    mainstem models default
    mainstem models default --json
    mainstem trace "The capital of France is" --model default
    """,
)

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME", help="Show the card of this one; all are listed by default.", autocompletion=_complete.embedded
    ),
]


def models(name: Name = None, json: opt.Json = False) -> None:
    """Prints `mainstem.embedded()`, or one of it. Parameters: `name`, which one; `json`, as plain data."""
    with busy("reading models"):
        from mainstem.models import embedded

        found = list(embedded(name).values())
        records, broken = _records(found)
    if broken and not records:
        raise broken[0]
    if json:
        print_json(records if name is None else records[0])
    else:
        show(listed(records) if name is None else shown(records[0], found[0].card))
    if broken:
        raise broken[0]


def _records(found: "list[Embedded]") -> tuple[list[dict[str, Any]], list[Exception]]:
    """What each model's folder tells, and what its weights are; and what is wrong with those that are broken."""
    from mainstem.api import load
    from mainstem.core import LoadError

    records: list[dict[str, Any]] = []
    broken: list[Exception] = []
    for one in found:
        try:
            records.append(one.to_dict() | {"provenance": load(one.name).provenance.to_dict()})
        except LoadError as error:
            broken.append(error)
    return records, broken
