"""`mainstem verify`: proofs and decompositions, checked on a model."""

import typer

from . import _options as opt
from ._help import explained
from ._open import opened
from ._show_verify import shown
from ._terminal import busy, print_json, show

HELP = explained(
    "Checks that a model is taken apart exactly.",
    """Maps the model, proves the map, takes an example apart at every level, and says of each check whether it holds.
    The exit code is 0 where all of them hold, 1 where one does not.""",
    examples="""
    mainstem verify
    mainstem verify path/to/model
    mainstem verify path/to/model --dtype bfloat16
    mainstem verify path/to/model --json
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
) -> None:
    """Prints `Model.verify()`.

    Parameters: `model`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`; `json`,
    as plain data.
    """
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("proving and closing every decomposition"):
        found = held.verify()
    if json:
        print_json(found.to_dict())
    else:
        show(shown(found.to_dict()))
    if not found.ok:
        raise typer.Exit(1)
