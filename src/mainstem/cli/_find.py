"""`mainstem find`: the map of a model's streams."""

from . import _options as opt
from ._help import explained
from ._open import opened
from ._show_map import shown
from ._terminal import busy, print_json, show, told

HELP = explained(
    "Finds the residual streams of a model and proves them.",
    """Shows every addition in order: what is added, which module made it, what happens to the stream before the next
    one, and the readout; then the five proofs. A model without a residual stream is refused, with the reason.""",
    examples="""
    mainstem find
    mainstem find path/to/model
    mainstem find path/to/model --svg stream.svg
    mainstem find path/to/model --json > map.json
    """,
)


def find(
    model: opt.ModelArgument = "default",
    json: opt.Json = False,
    svg: opt.Svg = None,
    device: opt.Device = None,
    dtype: opt.DtypeOption = None,
    revision: opt.Revision = None,
    trust_remote_code: opt.Trust = False,
    pickles: opt.Pickles = False,
) -> None:
    """Prints `Model.map`.

    Parameters: `model`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`; `json`,
    as plain data; `svg`, a file to draw it to.
    """
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("finding and proving the stream"):
        found = held.map
    if svg:
        from mainstem.core import whole_file
        from mainstem.view import diagram

        with whole_file(svg) as half:
            half.write_text(diagram(found), encoding="utf-8")
    if json:
        print_json(found.to_dict() | {"provenance": held.provenance.to_dict()})
    else:
        show(shown(found, held.name))
    if svg:
        told(svg)
