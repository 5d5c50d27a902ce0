"""What neurons read of the stream with its norm left out, beside their pre-activations."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor

from mainstem.algebra import unscaled
from mainstem.find import Write

from ._parts import needed
from ._pass import Pass, find_point, graded
from ._places import placed

Products = Float[Tensor, "*places neuron"]


@graded
def key_products(run: Pass, write: Write) -> Iterator[tuple[str, Products, Products, Products]]:
    """For every key of a write's neurons: its name, x . K, x . K_c and the pre-activation, [batch, pos, neuron].

    K is the neuron's weights times the norm's gain, K_c the same less its mean where the norm subtracts one. Keys that read another
    stream, and rows that are not the stream's (an expert's are some of them), are left out.

    Parameters: `run`; `write`.
    """
    assert write.writer is not None
    for source in write.writer.sources:
        for key in () if source.attention is not None or source.groups is not None else source.keys:
            start = find_point(run.stream, key.point)
            seen = run.again({*needed(write), key.site.key, *key.program.keys()})
            value = run.lift(seen.at(key.site))
            n = value.shape[-1]
            if start is None or value.numel() != n * run.raw_point(start).numel() // run.raw_point(start).shape[-1]:
                continue
            face = run.affine(run.stream.points[start].face).live(run.lift(run.raw_point(start)))
            affine = run.affine(key.program, seen)
            made = [unscaled(affine, centred).linear(face[None])[0] for centred in (False, True)]
            raw, centred, there = (placed(v, run.spread) for v in (*made, value))
            yield key.name, raw, centred, there
