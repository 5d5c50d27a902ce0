"""All scores to a tolerance: by their bounds, and what these leave open is worked out, no more exactly than it has to be."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._bounds import Named, between, expected, named, room
from ._certify import MANY, float32_is_float32, likeliest
from ._change import Change, change
from ._delta import likelier, log_mean, roughly, second_moment
from ._reading import Normed
from ._scene import Piece, Scene
from ._survey import Survey
from ._tiles import ROWS

_WORTH = 1.5  # so many times the width left open at a place, and its second moment costs less than working them out
_FEW = 24  # components left open that are worked out in float64 rather than looked at again
_MORE = 2048  # tokens taken exactly then, or a sixteenth of the vocabulary where that is less


def settled(scene: Scene, level: str, within: float) -> tuple[list[tuple[Piece, Float[Tensor, "place component"]]], int]:
    """All pieces of a level, without their rows, with all scores, each to a tolerance; and how many had to be worked out.

    What the likeliest tokens leave open is bounded with more of them, or with the second moment of the others where there is
    much of it; then it is worked out in float32 where that is near enough, else in float64, of many pieces in one pass.

    Parameters: `scene`; `level`; `within`, nats.
    """
    later, found, worked = _Later(scene), [], 0
    for piece in scene.pieces(level):
        values, count = _settled(scene, piece.double(), within, later)
        found.append((piece.bare(), values))
        worked += count
    later.flush()
    return [(piece, piece.step.sign * values) for piece, values in found], worked


def _settled(scene: Scene, piece: Piece, within: float, later: "_Later") -> tuple[Tensor, int]:
    """Scores without their sign, those for later apart."""
    reading = scene.reading
    assert isinstance(reading, Normed)
    at = scene.surveyed(likeliest(reading))[piece.step.write.label].at(piece.vectors.where)
    moved = change(reading, piece)
    known = named(reading, at, moved) if scene.goal.against is None else None
    found = _Settling(scene, reading, piece, at, moved, known, within)
    found.put(slice(None), between(reading, scene.goal, piece, at, moved, known))
    quick = known is not None and float32_is_float32()
    if quick:
        found.closer()
    worked = int(found.open.sum())
    if quick and worked > _FEW:
        found.nearly()
    later.add(piece, found.open.nonzero(), found.values)
    return found.values, worked


class _Later:
    """What is worked out in float64, of several pieces in one pass. Parameters: `scene`."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.held: list[tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...], Tensor]] = []

    def add(self, piece: Piece, left: Tensor, values: Tensor) -> None:
        """Notes some scores of a piece. Parameters: `piece`; `left`, [some, 2], places and components; `values`, where they go."""
        reading = self.scene.reading
        assert isinstance(reading, Normed)
        for pair in left.split(MANY):
            index = tuple(pair.T)
            t, where, rows = piece.asked(*index)
            before = self.scene.without[piece.step.write.label][where]
            self.held.append((reading.normed(t, where, rows), where, before, index, values))
            if sum(len(each[1]) for each in self.held) >= MANY:
                self.flush()

    def flush(self) -> None:
        """Works them out."""
        reading = self.scene.reading
        assert isinstance(reading, Normed)
        if not self.held:
            return
        rows, where, before = (torch.cat(column) for column in zip(*(each[:3] for each in self.held), strict=True))
        found = reading.unembedding.value(rows, where, self.scene.goal) - before
        for (*_, index, values), value in zip(self.held, found.split([len(each[1]) for each in self.held]), strict=True):
            values[index] = value
        self.held.clear()


@dataclass(frozen=True, eq=False)
class _Settling:
    """A piece on its way: `values`, and which of them are `open`, as far as is known."""

    scene: Scene
    reading: Normed
    piece: Piece
    at: Survey
    moved: Change
    known: Named | None
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

    def closer(self) -> None:
        """Closer bounds, place by place."""
        width, vocab = self.at.normed.shape[1], self.reading.unembedding.matrix.shape[0]
        for place, count in enumerate(self.open.sum(1).tolist()):
            some = self.open[place].nonzero()[:, 0]
            if count > _WORTH * width:
                self._put(place, some, *self._bent(place, some))
            elif count > _FEW and min(_MORE, vocab // 16) > self.at.tokens.shape[1]:
                self._put(place, some, likelier(self.reading.unembedding, self._at(place), min(_MORE, vocab // 16)), None)

    def _at(self, place: int) -> Survey:
        return self.at.at(slice(place, place + 1))

    def _put(self, place: int, some: Tensor, at: Survey, known: Named | None) -> None:
        piece = self.piece.at(place, some)
        low, high = between(self.reading, self.scene.goal, piece, at, change(self.reading, piece), known)
        self.put((place, some), (low[0], high[0]))

    def _bent(self, place: int, some: Tensor) -> tuple[Survey, Named]:
        """What is known of components at a place, with the second moment of the tokens that are not named."""
        assert self.known is not None
        at, unembedding, moved = self._at(place), self.reading.unembedding, change(self.reading, self.piece.at(place, some))
        known, space = self.known.at(place, some), room(self.reading, at, moved)
        tail = float(known.tail + space.summed)
        moment, off = second_moment(unembedding, at, (unembedding.factor * unembedding.longest) ** 2 * tail)
        rows = moved.rows(torch.zeros_like(some), torch.arange(len(some), device=some.device))
        blur = off * moved.length.square() + 3 * tail * space.reach * space.tokens
        return at, replace(known, moment=((rows @ moment) * rows).sum(-1)[None], blur=blur)

    def nearly(self) -> None:
        """What is open is worked out in float32 where what that may put it off by is little enough."""
        where, space = self.piece.vectors.where, room(self.reading, self.at, self.moved)
        left = (self.open & (self.within > roughly(self.reading.unembedding, self.moved.length))).nonzero()
        if not len(left):
            return
        wanted, miss = expected(self.reading, self.at, self.scene.goal.ids[where], self.scene.goal.mask[where], self.moved)
        off = miss + space.slack + space.tokens + roughly(self.reading.unembedding, self.moved.length)
        for pair in left.split(ROWS):
            index = tuple(pair.T)
            value = wanted[index] - log_mean(self.reading.unembedding, self.at, pair[:, 0], self.moved.rows(*index))
            self.put(index, (value - off[index], value + off[index]))
