"""All scores to a tolerance: by their bounds, and what these leave open is worked out, no more exactly than it has to be."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ._bounds import Second, between, expected, room
from ._certify import MANY, TOKENS, float32_is_float32
from ._change import Change, change
from ._delta import log_mean, second_moment
from ._reading import Normed
from ._scene import Piece, Scene
from ._survey import Survey
from ._tiles import ROWS

_WORTH = 1.5  # so many times the width left open at a place, and its second moment costs less than working them out


def settled(scene: Scene, piece: Piece, within: float) -> tuple[Float[Tensor, "place component"], int]:
    """All scores of a piece, each to a tolerance, and how many had to be worked out.

    What the likeliest tokens leave open is bounded with the second moment of the others where there is much of it; then it is
    worked out in float32 where that is near enough, else in float64.

    Parameters: `scene`; `piece`; `within`, nats.
    """
    assert isinstance(scene.reading, Normed)
    at = scene.surveyed(TOKENS)[piece.step.write.label].at(piece.vectors.where)
    found = _Settling(scene, scene.reading, piece, at, change(scene.reading, piece), within)
    found.put(slice(None), between(scene.reading, scene.goal, piece, at, found.moved))
    quick = scene.goal.against is None and float32_is_float32()
    if quick:
        found.bend()
    worked = int(found.open.sum())
    if quick:
        found.nearly()
    found.fully()
    return piece.step.sign * found.values, worked


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

    def bend(self) -> None:
        """Bounds with the second moment, at places where much is open."""
        unembedding, width = self.reading.unembedding, self.at.normed.shape[1]
        for place in (self.open.sum(1) > _WORTH * width).nonzero()[:, 0].tolist():
            some = self.open[place].nonzero()[:, 0]
            at, one = self.at.at(slice(place, place + 1)), self.piece.at(place, some)
            moved = change(self.reading, one)
            space, longest = room(self.reading, at, moved), unembedding.factor * unembedding.longest
            tail = 1 - float(at.logprobs.exp().sum()) + float(space.summed)
            moment, off = second_moment(unembedding, at, longest**2 * tail)
            rows = moved.rows(torch.zeros_like(some), torch.arange(len(some), device=some.device))
            twice = ((rows @ moment) * rows).sum(-1)[None]
            second = Second(twice, off * moved.length.square() + 3 * tail * space.reach * space.tokens)
            low, high = between(self.reading, self.scene.goal, one, at, moved, second)
            self.put((place, some), (low[0], high[0]))

    def nearly(self) -> None:
        """What is open is worked out in float32, with what that may put it off by."""
        left = self.open.nonzero()
        if not len(left):
            return
        where, space = self.piece.vectors.where, room(self.reading, self.at, self.moved)
        wanted, miss = expected(self.reading, self.at, self.scene.goal.ids[where], self.scene.goal.mask[where], self.moved)
        off = miss + space.slack + space.tokens
        for pair in left.split(ROWS):
            index = tuple(pair.T)
            log, blur = log_mean(self.reading.unembedding, self.at, pair[:, 0], self.moved.rows(*index))
            value, more = wanted[index] - log, off[index] + blur
            self.put(index, (value - more, value + more))

    def fully(self) -> None:
        """What is open is worked out in float64."""
        for pair in self.open.nonzero().split(MANY):
            index = tuple(pair.T)
            self.values[index] = self.piece.step.sign * self.scene.values([(self.piece, *index)])[0]
            self.open[index] = False
