"""Blocks taken out of a stream: which of them, for each kind of curve, and the changes of a forward pass that do it."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby

import torch

from mainstem.core import InputError
from mainstem.find import Patch, Stream

SIDES = ("tail", "head", "single", "skip")


@dataclass(frozen=True)
class Block:
    """The points that one block's writes flow into. Parameters: `number`; `first` and `last`, indices of points."""

    number: int
    first: int
    last: int


def blocks_of(stream: Stream) -> tuple[Block, ...]:
    """The blocks of a stream in order. Parameters: `stream`. Raises `InputError` where a point after the entry is of none."""
    found = []
    for number, group in groupby(range(1, len(stream.points)), key=lambda t: stream.points[t].block):
        points = list(group)
        found.append(Block(number, points[0], points[-1]))
    numbers = [b.number for b in found]
    if not numbers or numbers != sorted(set(numbers)) or min(numbers) < 0:
        raise InputError("the additions of this stream do not fall into blocks, one after the other, so none can be taken out.")
    return tuple(found)


def ablations(side: str, blocks: int) -> tuple[tuple[int, ...], ...]:
    """Which blocks are taken out, for every value of a curve; none of them first.

    Parameters: `side`, "tail" (all behind one), "head" (all before one), "single" and "skip" (one alone); `blocks`, how many
    there are. Raises `InputError` for another side.
    """
    if side not in SIDES:
        raise InputError(f"no side {side!r}; there are {', '.join(SIDES)}.")
    every = range(blocks)
    if side in ("single", "skip"):
        return ((), *((b,) for b in every))
    return tuple(tuple(every[blocks - k :] if side == "tail" else every[:k]) for k in range(blocks + 1))


def removal(stream: Stream, blocks: tuple[Block, ...], removed: Collection[int], side: str) -> tuple[Patch, ...]:
    """The changes of a forward pass that take blocks out: their writes become zero; of "skip" the stream that these are added to.

    Parameters: `stream`; `blocks`, its own; `removed`, which of them; `side`.
    """
    sites = (site for b in removed for site in block_sites(stream, blocks[b], side))
    return tuple(Patch(site, torch.zeros_like) for site in sites)


def block_sites(stream: Stream, block: Block, side: str) -> list:
    """Where the tensors stand that are zero without a block. Parameters: `stream`; `block`; `side`."""
    points = stream.points[block.first : block.last + 1]
    if side == "skip":
        return [p.stream for p in points if p.stream is not None]
    return [w.site for p in points for w in p.writes]
