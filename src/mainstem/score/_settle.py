"""All scores to a tolerance: by their bounds, and what these leave open is worked out, no more exactly than it has to be."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._bounds import Named, between, expected, named, room
from ._certify import float32_is_float32, likeliest
from ._change import Change, change
from ._delta import likelier, roughly, second_moment
from ._later import Later
from ._reading import Normed
from ._scene import Piece, Scene
from ._survey import Survey

_WORTH = 1.5  # so many times the width left open at a place, and its second moment costs less than working them out
_FEW = 24  # components left open at a place that are worked out rather than looked at again
_FIRST = 64  # tokens taken exactly at first, which settles most components
_MORE = 2048  # and at last, or a sixteenth of the vocabulary where that is less


def settled(scene: Scene, level: str, within: float) -> tuple[list[tuple[Piece, Float[Tensor, "place component"]]], int]:
    """All pieces of a level, without their rows, with all scores, each to a tolerance; and how many had to be worked out.

    What the likeliest tokens leave open is bounded with more of them, or with the second moment of the others where there is
    much of it; then it is worked out in float32 where that is near enough, else in float64, of many pieces in one pass.

    Parameters: `scene`; `level`; `within`, nats.
    """
    later, found, worked = Later(scene), [], 0
    for piece in scene.pieces(level):
        values, count = _settled(scene, piece.double(), within, later)
        found.append((piece.bare(), values))
        worked += count
    later.flush()
    return [(piece, piece.step.sign * values) for piece, values in found], worked


def _settled(scene: Scene, piece: Piece, within: float, later: Later) -> tuple[Tensor, int]:
    """Scores without their sign, those for later apart."""
    reading = scene.reading
    assert isinstance(reading, Normed)
    at = scene.surveyed(likeliest(reading))[piece.step.write.label].at(piece.vectors.where)
    moved = change(reading, piece)
    found = _Settling(scene, reading, piece, at, moved, within)
    found.put(slice(None), between(reading, scene.goal, piece, at.likeliest(_FIRST), moved))
    quick = float32_is_float32()
    if scene.goal.against is None:
        for place in range(len(at.normed)):
            found.closer(place, quick)
    worked = int(found.open.sum())
    if scene.goal.against is None and quick and worked:
        found.nearly(later)
    later.exactly(piece, found.open.nonzero(), found.values)
    return found.values, worked


@dataclass(frozen=True, eq=False)
class _Settling:
    """A piece on its way: `values`, and which of them are `open`, as far as is known."""

    scene: Scene
    reading: Normed
    piece: Piece
    at: Survey
    moved: Change
    within: float
    values: Float[Tensor, "place component"] = field(init=False)
    open: Bool[Tensor, "place component"] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", torch.zeros_like(self.piece.vectors.scale))
        object.__setattr__(self, "open", torch.ones_like(self.values, dtype=torch.bool))

    def put(self, index: Any, sides: tuple[Tensor, Tensor]) -> None:
        """Numbers that scores lie between. Parameters: `index`, of the scores; `sides`."""
        self.values[index] = (sides[0] + sides[1]) / 2
        self.open[index] = ~(sides[1] - sides[0] <= 2 * self.within)

    def closer(self, place: int, quick: bool) -> None:
        """Closer bounds at a place: more tokens, then the second moment of the others where much is open, or yet more tokens.

        Parameters: `place`; `quick`, whether sums of float32 may be trusted.
        """
        at, unembedding = self.at.at(slice(place, place + 1)), self.reading.unembedding
        width, more = at.normed.shape[1], min(_MORE, unembedding.matrix.shape[0] // 16)
        if len(some := self._left(place)) > _FEW and at.tokens.shape[1] > _FIRST:
            self._put(place, some, at)
        if len(some := self._left(place)) > _WORTH * width and quick:
            self._put(place, some, at, moment=True)
        elif len(some) > _FEW and more > at.tokens.shape[1]:
            self._put(place, some, likelier(unembedding, at, more))

    def _left(self, place: int) -> Tensor:
        return self.open[place].nonzero()[:, 0]

    def _put(self, place: int, some: Tensor, at: Survey, moment: bool = False) -> None:
        piece = self.piece.at(place, some)
        moved = change(self.reading, piece)
        known = self._bent(at, moved) if moment else None
        low, high = between(self.reading, self.scene.goal, piece, at, moved, known)
        self.put((place, some), (low[0], high[0]))

    def _bent(self, at: Survey, moved: Change) -> Named:
        """What is known of changes at a place, with the second moment of the tokens that are not named."""
        known, space, unembedding = named(self.reading, at, moved), room(self.reading, at, moved), self.reading.unembedding
        tail = float(known.tail + space.summed)
        moment, off = second_moment(unembedding, at, (unembedding.factor * unembedding.longest) ** 2 * tail)
        every = torch.arange(moved.shrink.shape[1], device=moved.shrink.device)
        rows = moved.rows(torch.zeros_like(every), every)
        blur = off * moved.length.square() + 3 * tail * space.reach * space.tokens
        return replace(known, moment=((rows @ moment) * rows).sum(-1)[None], blur=blur)

    def nearly(self, later: Later) -> None:
        """What is open is left to float32 where what that may put it off by is little enough."""
        where, space = self.piece.vectors.where, room(self.reading, self.at, self.moved)
        wanted, miss = expected(self.reading, self.at, self.scene.goal.ids[where], self.scene.goal.mask[where], self.moved)
        off = miss + space.slack + space.tokens + roughly(self.reading.unembedding, self.moved.length)
        near = self.open & (off <= self.within)
        later.nearly(self.at, self.moved, near.nonzero(), wanted, self.values)
        self.open[near] = False
