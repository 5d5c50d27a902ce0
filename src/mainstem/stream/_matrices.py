"""Weights between writes: what coordinates read of the stream, and what they add to it, as rows that no input scales."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.algebra import unscaled
from mainstem.core import InputError
from mainstem.find import Captured, Point, Source, Subkey, Write

from ._aim import transport
from ._attention import heads
from ._parts import needed, writer_map
from ._pass import Pass, find_point
from ._places import placed
from ._sweep import push

_CHUNK = 2**26  # bytes of what is pushed through at once
Rows = Float[Tensor, "row d_model"]


@dataclass(frozen=True, eq=False)
class Matrices:
    """The weights of one write at the first place of a run: they are the same at all others, but for what depends on a position.

    Parameters: `reads`, by name ("key", "gate", "up"; "query", "key" and "value" of an attention) the rows that its coordinates are
    made by, with the norm's gain, centred where a layer norm centres, its scale left out; `points`, that these read; `adds`,
    what each coordinate adds to the stream at one; `sizes`, (heads, dims) or (neurons,).
    """

    write: Write
    reads: dict[str, Rows]
    points: dict[str, int]
    adds: Rows
    sizes: tuple[int, ...]


@torch.no_grad()
def matrices(run: Pass, write: Write) -> Matrices | None:
    """The weights of a write; None where it is not one set of coordinates, has experts or is spread over places.

    A rotation of queries and keys by their position is that of the first position, and two of them there are no distance apart.

    Parameters: `run`, best of one token: the weights do not depend on it.
    """
    if write.writer is None or len(write.writer.sources) != 1 or write.writer.sources[0].groups is not None:
        return None
    (source,) = write.writer.sources
    if source.axis not in (-1, 2) or run.point(_entering(run, write)).ndim > 3:
        return None
    keys = (*(source.attention.asks if source.attention else ()), *source.keys)
    seen = run.again({*needed(write), *(k for key in keys for k in (key.site.key, *key.program.keys()))})
    points = {key.name: t for key in keys if (t := find_point(run.stream, key.point)) is not None}
    reads = {key.name: _read(run, write, source, key, seen) for key in keys if key.name in points}
    return Matrices(write, reads, points, _added(run, write, source, seen), source.sizes)


def _entering(run: Pass, write: Write) -> int:
    return next(t for t, p in enumerate(run.stream.points) if write in p.writes)


def _read(run: Pass, write: Write, source: Source, key: Subkey, seen: Captured) -> Rows:
    """Every feature of the stream at the first place by itself, through the map: the rows' columns."""
    start = find_point(run.stream, key.point)
    assert start is not None
    face = run.affine(run.stream.points[start].face).live(run.lift(run.raw_point(start)))
    affine = unscaled(run.affine(key.program, seen))
    site, width, found = seen.at(key.site), face.shape[-1], []
    step = max(1, _CHUNK // (max(face.numel(), site.numel()) * face.element_size()))
    for some in torch.eye(width, dtype=face.dtype, device=face.device).split(step):
        alone = torch.zeros(len(some), *face.shape, dtype=face.dtype, device=face.device)
        for one, values in zip(alone, some, strict=True):
            placed(one, run.spread)[(0,) * len(run.spread)] = values
        found.append(torch.vmap(lambda made: _first(run, write, source, made))(affine.linear(alone)))
    return torch.cat(found).T.contiguous()


def _first(run: Pass, write: Write, source: Source, value: Tensor) -> Tensor:
    """The coordinates of the first place, heads one behind the other."""
    if source.attention is None:
        return placed(value, run.spread)[(0,) * len(run.spread)].flatten()
    each, (_, width) = heads(value, run.prompts), source.sizes
    positions = run.spread[-1]
    if each.shape[-1] == each.shape[-2] == width and positions == width:
        raise InputError(
            f"{write.label}: dims and positions cannot be told apart, there are {width} of both: trace another length."
        )
    each = each if each.shape[-1] == width or each.shape[-2] != width else each.mT
    if each.shape[0] != run.prompts or positions not in (each.shape[1], each.shape[2]):
        raise InputError(f"{write.label} does not look at the positions of a prompt as they stand.")
    return (each[0, :, 0] if each.shape[2] == positions else each[0, 0]).flatten()


def _added(run: Pass, write: Write, source: Source, seen: Captured) -> Rows:
    """Every feature of the write at the first place pulled back to the coordinates there."""
    affine, (h,) = writer_map(run, write, seen)
    like = run.lift(run.seen.at(write.site))
    back, found = unscaled(affine).adjoint(h), []
    width = placed(like, run.spread)[(0,) * len(run.spread)].numel()
    step = max(1, _CHUNK // (max(like.numel(), h.numel()) * h.element_size()))
    for some in torch.eye(width, dtype=h.dtype, device=h.device).split(step):
        g = torch.zeros(len(some), *like.shape, dtype=h.dtype, device=h.device)
        for one, values in zip(g, some, strict=True):
            placed(one, run.spread)[(0,) * len(run.spread)] = values
        pulled = torch.vmap(lambda v: back(v)[0])(g)
        found.append(torch.vmap(lambda one: _own(run, source, one))(pulled))
    return write.factor * torch.cat(found).T


def _own(run: Pass, source: Source, value: Tensor) -> Tensor:
    """The coordinates of the first place in the layout of h."""
    if source.attention is not None:
        return heads(value, run.prompts)[0, :, 0].flatten()
    return placed(value, run.spread)[(0,) * len(run.spread)].flatten()


@torch.no_grad()
def carried_rows(run: Pass, rows: Rows, start: int, end: int) -> Rows:
    """Rows that enter the stream at the first place of point `start` as what reads point `end` sees them, frozen at this input.

    Parameters: `run`; `rows`; `start`; `end`.
    """
    maps = transport(run, end, onward=False)
    if (
        not maps
        and all(run.factor(t) == 1 for t in range(start + 1, end + 1))
        and not any((*p.face.steps, *p.onward.steps) for p, _ in _steps(run, start, end))
    ):
        return rows
    like = run.point(start)
    found, first = [], (0,) * len(run.spread)
    for some in rows.split(max(1, _CHUNK // (like.numel() * like.element_size()))):
        stack = torch.zeros(len(some), *like.shape, dtype=like.dtype, device=like.device)
        for one, row in zip(stack, some, strict=True):
            placed(one, run.spread)[first] = row.to(like.dtype)
        moved = push(run, stack, start, end)
        for step in maps:
            moved = step.linear(moved)
        found += [placed(one, run.spread)[first] for one in moved]
    return torch.stack(found)


def _steps(run: Pass, start: int, end: int) -> Iterator[tuple[Point, Point]]:
    return pairwise(run.stream.points[start : end + 1])
