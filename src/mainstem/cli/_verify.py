"""`mainstem verify`: proofs and decompositions, checked on a model."""

from pathlib import Path

import typer

from . import _options as opt
from . import _zoo as zoo_opt
from ._help import explained
from ._open import opened
from ._show_verify import shown
from ._terminal import busy, print_json, show

HELP = explained(
    "Checks that a model is taken apart exactly.",
    """Maps the model, proves the map, takes an example apart at every level, and says of each check whether it holds.
    With --zoo, does so for every architecture of the installed transformers release, built small with random weights, and
    writes compatibility.md and compatibility.json. The exit code is 0 where all checks hold, 1 where one does not.""",
    examples="""
    mainstem verify
    mainstem verify path/to/model
    mainstem verify path/to/model --dtype bfloat16
    mainstem verify path/to/model --json
    mainstem verify --zoo --out docs
    mainstem verify --zoo --out docs --only ResNetForImageClassification
    """,
)


def verify(
    model: opt.ModelArgument = "default",
    json: opt.Json = False,
    device: opt.Device = None,
    dtype: opt.DtypeOption = None,
    revision: opt.Revision = None,
    trust_remote_code: opt.Trust = False,
    pickles: opt.Pickles = False,
    zoo: zoo_opt.Zoo = False,
    only: zoo_opt.Only = None,
    kind: zoo_opt.Kinds = None,
    fresh: zoo_opt.Fresh = False,
    workers: zoo_opt.Workers = None,
    limit_seconds: zoo_opt.Limit = 120.0,
    out: zoo_opt.Out = Path("."),
) -> None:
    """Prints `Model.verify()`, or what `verify_zoo` gives.

    Parameters: `model`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`; `json`,
    as plain data; `zoo`, all architectures instead of one model; `only`, `kind`, `fresh`, `workers`, `limit_seconds` and
    `out`, as of `verify_zoo`.
    """
    if zoo:
        return zoo_opt.verified(out, kind or (), only or (), fresh, workers, limit_seconds, json)
    if kind or only or fresh or workers:
        raise typer.BadParameter("--only, --kind, --fresh and --workers are of architectures: add --zoo")
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("proving and closing every decomposition"):
        found = held.verify()
    if json:
        print_json(found.to_dict())
    else:
        show(shown(found.to_dict()))
    if not found.ok:
        raise typer.Exit(1)
