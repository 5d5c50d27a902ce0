"""The readout with nothing frozen, to be applied to other vectors than the last point."""

from mainstem.algebra import Affine, at_places

from ._pass import Pass


def readout(run: Pass) -> Affine:
    """The calls that led from the last point's face to the output, in the precision of the algebra.

    `live` of it is the model's own readout at any vector of the face's shape; where the run computed the output at one
    position of a prompt only, so does this. The map's way on is not it: that freezes what it does not carry.

    Parameters: `run`.
    """
    assert run.trail is not None
    found, keys, cut = run.trail, run.trail.program.keys(), run.cut
    if cut is not None and cut.site.key in keys:
        found = at_places(found, keys.index(cut.site.key), cut.places, cut.length)
    return Affine(found.program, tuple(map(run.raised, found.calls)))
