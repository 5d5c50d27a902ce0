"""Vectors at one place of the stream as changes of the output there: before-softmax values."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.algebra import Affine, at_places, last_product
from mainstem.core import InputError

from ._aim import transport
from ._pass import Pass, graded
from ._spots import Spots, spots
from ._sweep import push

_TILE = 2**22  # numbers of one tile: 16 MB in float32


@graded
def unembed(
    run: Pass, rows: Float[Tensor, "row d_model"] | Sequence[Tensor], start: int | Sequence[int], place: tuple[int, ...]
) -> Float[Tensor, "row vocab"]:
    """What vectors add to the output at one place when they enter the stream there, all that follows frozen: A v.

    Vectors that enter at several points are carried to the last one, and go through the readout together.

    Parameters: `run`; `rows`, vectors of one place of point `start`; `start`, one for all or one for each; `place`, prompt and
    position, or the prompt alone where the output has no positions. Raises `InputError` for vectors or places that are not the
    stream's.
    """
    starts = [start] * len(rows) if isinstance(start, int) else list(start)
    here, last = spot(run, place), len(run.stream.points) - 1
    empty = {t: torch.zeros_like(run.point(t)) for t in set(starts)}
    for row, t in zip(rows, starts, strict=True):
        if len(row) != (width := here.of(empty[t]).shape[1]):
            raise InputError(f"vectors of {len(row)} numbers: a place of {run.stream.points[t].name} has {width}.")
    narrow = _narrowed(run, place)
    maps = (*transport(run, last)[:-1], narrow) if narrow else transport(run, last)
    vocab = run.output().shape[-1]
    step = max(1, _TILE // max([vocab, *(like.numel() for like in empty.values())]))
    found = []
    for first in range(0, len(rows), step):
        some = slice(first, first + step)
        streams = [here.onto(row[None], empty[t]) for row, t in zip(rows[some], starts[some], strict=True)]
        moved = _carried(run, streams, starts[some])
        for affine in maps:
            moved = affine.linear(moved)
        found.append(_at(run, moved, place))
    return torch.cat(found) if found else run.point(last).new_zeros(0, vocab)


def _carried(run: Pass, streams: Sequence[Tensor], starts: Sequence[int]) -> Tensor:
    """What the last point holds of each of these, in their order. Parameters: `run`; `streams`; `starts`, where each enters."""
    last, found = len(run.stream.points) - 1, dict[int, Tensor]()
    for start in set(starts):
        mine = [i for i, t in enumerate(starts) if t == start]
        found |= dict(zip(mine, push(run, torch.stack([streams[i] for i in mine]), start, last), strict=True))
    return torch.stack([found[i] for i in range(len(starts))])


def spot(run: Pass, place: tuple[int, ...]) -> Spots:
    """One place of a run. Parameters: `run`; `place`, prompt and position, or the prompt where the output has no positions."""
    shape = tuple(run.output().shape)
    sizes = (shape[0], run.cut.length if run.cut else shape[1]) if len(shape) == 3 else shape[:1]
    if len(shape) > 3 or len(place) != len(sizes):
        raise InputError(
            f"an output of shape {shape}: a place is {'a prompt' if len(sizes) == 1 else 'a prompt and a position'}."
        )
    for i, n, what in zip(place, sizes, ("prompt", "position"), strict=False):
        if not 0 <= i < n:
            raise InputError(f"there is no {what} {i}: there are {n}, counted from 0.")
    return spots(run, torch.tensor([place], device=run.output().device))


def _narrowed(run: Pass, place: tuple[int, ...]) -> Affine | None:
    """The way from the last point's face to the output, its product with the unembedding made at one position of each prompt."""
    onward = run.frozen(run.stream.points[-1].onward)
    at = last_product(onward.program)
    if at is None or run.cut is not None or len(place) == 1:
        return None
    batch, length = run.output().shape[:2]
    there = torch.full((batch,), place[1], device=run.output().device)
    found = at_places(onward, at, there, length)
    return Affine(found.program, tuple(map(run.raised, found.calls)))


def _at(run: Pass, out: Tensor, place: tuple[int, ...]) -> Tensor:
    """[row, vocab] of an output that has all positions of every prompt, or one."""
    if len(place) == 1:
        return out[:, place[0]]
    every = out.reshape(len(out), run.output().shape[0], -1, out.shape[-1])
    return every[:, place[0], place[1] if every.shape[2] > 1 else 0]
