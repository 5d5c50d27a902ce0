"""Pieces of several writes laid one below the other, as if they were places of one: their bounds are made all at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.stream import Vectors

from ._bounds import above
from ._change import change
from ._reading import Normed
from ._scene import Piece, Scene, Step

_NUMBERS = 2**17  # components times places that are bounded together: 1 MB of each thing that is made of them


@dataclass(frozen=True, eq=False)
class Stacked(Vectors):
    """As many components of each of several pieces; a place is a place of one of them. Parameters: `blocks`, of the pieces."""

    blocks: tuple[Vectors, ...] = ()

    def dot(self, u: Float[Tensor, "place d_model"]) -> Float[Tensor, "place component"]:
        shares = u.split([len(block.where) for block in self.blocks])
        return torch.cat([block.dot(share) for block, share in zip(self.blocks, shares, strict=True)])

    def each(self, length: Callable[[Tensor], Tensor]) -> Float[Tensor, "place component"]:
        return torch.cat([block.each(length) for block in self.blocks])

    @cached_property
    def squares(self) -> Tensor:
        return torch.cat([block.squares.expand_as(block.scale) for block in self.blocks])


def uppers(scene: Scene, pieces: Sequence[Piece], dtype: torch.dtype) -> list[Float[Tensor, "place component"]]:
    """What no score of some pieces exceeds, piece by piece. Parameters: `scene`; `pieces`; `dtype`, that sums are made in."""
    return [bound for some in groups(scene, pieces) for bound in _together(scene, some, dtype)]


def groups(scene: Scene, pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces in their order, those that can be laid below each other together. Parameters: `scene`; `pieces`."""
    assert isinstance(scene.reading, Normed)
    some: list[Piece] = []
    for piece in pieces:
        if some and not (_alike(scene.reading, some[0], piece) and (len(some) + 1) * piece.vectors.scale.numel() <= _NUMBERS):
            yield some
            some = []
        some.append(piece)
    if some:
        yield some


def _alike(reading: Normed, one: Piece, other: Piece) -> bool:
    a, b = one.vectors, other.vectors
    same = a.scale.shape == b.scale.shape and a.rows.dtype == b.rows.dtype
    return same and reading.norms[one.step.t] is reading.norms[other.step.t] and one.step.sign == other.step.sign


def _together(scene: Scene, pieces: list[Piece], dtype: torch.dtype) -> Sequence[Tensor]:
    reading, first = scene.reading, pieces[0]
    assert isinstance(reading, Normed)
    where = torch.cat([piece.vectors.where for piece in pieces])
    x = torch.cat([piece.step.x[piece.vectors.where] for piece in pieces])
    found, every = first.vectors, torch.arange(len(where), device=where.device)
    scale, blocks = torch.cat([piece.vectors.scale for piece in pieces]), tuple(piece.vectors for piece in pieces)
    held = Stacked(found.label, found.kind, found.axes, found.sizes, found.offset, every, scale, found.rows, False, blocks)
    one = Piece(Step(first.step.write, first.step.t, x, first.step.sign), held, True)
    there = reading if reading.scale is None else replace(reading, scale=reading.scale[where])
    at = scene.surveyed(0, dtype).of([(piece.step.write.label, piece.vectors.where) for piece in pieces])
    return above(there, scene.goal.at(where), one, at, change(there, one, dtype)).split([len(p.vectors.where) for p in pieces])
