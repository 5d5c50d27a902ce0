"""Vectors at one place of the stream as changes of the output there: before-softmax values."""

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
def unembed(run: Pass, rows: Float[Tensor, "row d_model"], start: int, place: tuple[int, ...]) -> Float[Tensor, "row vocab"]:
    """What vectors add to the output at one place when they enter the stream there, all that follows frozen: A v.

    Parameters: `run`; `rows`, vectors of one place of point `start`; `start`; `place`, prompt and position, or the prompt
    alone where the output has no positions. Raises `InputError` for vectors or places that are not the stream's.
    """
    like, last = run.point(start), len(run.stream.points) - 1
    here = spot(run, place)
    width = here.of(like).shape[1]
    if rows.shape[1] != width:
        raise InputError(f"vectors of {rows.shape[1]} numbers: a place of {run.stream.points[start].name} has {width}.")
    narrow = _narrowed(run, place)
    maps = (*transport(run, last)[:-1], narrow) if narrow else transport(run, last)
    step = max(1, _TILE // max(like.numel(), run.output().shape[-1]))
    found = []
    for some in rows.split(step):
        moved = push(run, torch.stack([here.onto(row[None], torch.zeros_like(like)) for row in some]), start, last)
        for affine in maps:
            moved = affine.linear(moved)
        found.append(_at(run, moved, place))
    return torch.cat(found) if found else rows.new_zeros(0, run.output().shape[-1])


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
