"""Copies of a forward pass that part from it one by one: what comes before is run once, what follows for all of them together.

The pass begins with the prompts alone. Where a block is taken out, a copy of their stream joins the batch, and at the last point
the copies are put aside and the prompts go on alone to the module's own output.
"""

from functools import partial
from math import prod

import torch
from torch import Tensor

from mainstem.find import Patch, Stream

from ._blocks import Block, block_sites


class Copies:
    """Changes of one forward pass that make a copy for every block that is taken out.

    A copy runs through the block that it lacks only where the stream is more than added to in it (a norm, a projection); of
    all copies there it is the last, whose writes (or, of "skip", whose stream) are zero. The first block is run without any
    copy, since modules make masks and positions for as many prompts as there are before it.

    Parameters: `stream`; `blocks`, its own; `side`, "head", "single" or "skip"; `first`, the point behind the first block without that
    block, where `runs_through` says so of it.
    """

    def __init__(self, stream: Stream, blocks: tuple[Block, ...], side: str, first: Tensor | None = None) -> None:
        self.stream, self.blocks, self.side, self.first = stream, blocks, side, first
        self.rides = [False, *(runs_through(stream, block, side) for block in blocks[1:])]
        self.rows, self.copies = 0, 1
        self.held = torch.empty(0)  # the stream before a block, of what does not run through it
        self.states = torch.empty(0)

    def patches(self) -> list[Patch]:
        """The changes. After the run `states` holds the last point of every copy, [copy, ...], the prompts' own first."""
        points = self.stream.points
        step = self._head if self.side == "head" else self._single
        ends = [0, *(block.last for block in self.blocks)]
        cleared = [
            Patch(site, self._cleared)
            for block, rides in zip(self.blocks, self.rides, strict=True)
            if rides
            for site in block_sites(self.stream, block, self.side)
        ]
        return [*cleared, *(Patch(points[t].site, partial(self._passed, step, j)) for j, t in enumerate(ends))]

    def _passed(self, step, j: int, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        if j == 0:
            self.rows = len(x)
        self._check(x)
        x = step(j, x)
        if j == len(self.blocks):
            self.states = x.unflatten(0, (-1, self.rows))
            return x[: self.rows]
        self.copies = len(x) // self.rows
        return x

    def _single(self, j: int, x: Tensor) -> Tensor:
        """Each block is left out by a copy of the prompts themselves."""
        own = x[: self.rows]
        if j and not self.rides[j - 1]:
            x = torch.cat([x, self._beyond(j - 1)])
        if j < len(self.blocks) and self.rides[j]:
            return torch.cat([x, own])
        self.held = own.clone()
        return x

    def _head(self, j: int, x: Tensor) -> Tensor:
        """What no block has written to is kept beside the copies, and a copy of it goes on through all blocks from j."""
        if j == 0:
            self.held = x.clone()
        elif self.rides[j - 1]:
            x, self.held = x[: -self.rows], x[-self.rows :].clone()
        else:
            self.held = self._beyond(j - 1)
        rides = j < len(self.blocks) and self.rides[j]
        return torch.cat([x, *[self.held] * ((j > 0) + rides)])

    def _beyond(self, j: int) -> Tensor:
        """What was held before a block, behind it: nothing is done to the stream in it but for a factor."""
        if j == 0 and self.first is not None:
            return self.first
        block = self.blocks[j]
        factor = prod(p.factor for p in self.stream.points[block.first : block.last + 1])
        return self.held if factor == 1 else factor * self.held

    def _cleared(self, x: Tensor) -> Tensor:
        self._check(x)
        return torch.cat([x[: -self.rows], torch.zeros_like(x[-self.rows :])])

    def _check(self, x: Tensor) -> None:
        if len(x) != self.copies * self.rows:
            raise ValueError("the stream does not hold copies one behind the other.")


def runs_through(stream: Stream, block: Block, side: str) -> bool:
    """Whether more than a factor is done to the stream between the point before a block and its last one, or it is taken out there.

    Parameters: `stream`; `block`; `side`.
    """
    return side == "skip" or any(p.face.steps or p.onward.steps for p in stream.points[block.first - 1 : block.last])
