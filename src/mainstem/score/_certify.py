"""The k best components, and all scores to a tolerance, proved by bounds: only what these leave open is worked out exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mainstem.core import InputError, Tops, name_inside

from ._bounds import above, between
from ._change import change
from ._reading import Normed
from ._scene import Piece, Scene
from ._survey import Survey

TOKENS = 256  # the likeliest ones, taken exactly in bounds from both sides
_ROUND = 32  # components of a place that are worked out together
_MANY = 4096  # rows that are asked about in one go


class Board:
    """Components of all pieces in one row: pieces of other prompts hold the same components.

    Parameters: `scene`; `pieces`.
    """

    def __init__(self, scene: Scene, pieces: Sequence[Piece]) -> None:
        self.scene, self.pieces = scene, pieces
        self.first: dict[tuple[str, int], int] = {}
        self.count = 0
        for piece in pieces:
            key = piece.vectors.label, piece.vectors.offset
            if key not in self.first:
                self.first[key] = self.count
                self.count += piece.vectors.scale.shape[1]

    def start(self, piece: Piece) -> int:
        """Where the components of a piece begin. Parameters: `piece`."""
        return self.first[piece.vectors.label, piece.vectors.offset]

    def name(self, index: int) -> str:
        """The label of a component. Parameters: `index`."""
        for piece in self.pieces:
            found, inside = piece.vectors, index - self.start(piece)
            if 0 <= inside < found.scale.shape[1]:
                return name_inside(found.label, found.axes, found.sizes, found.offset + inside)
        raise IndexError(index)

    def spread(self, values: Sequence[Tensor]) -> Float[Tensor, "place component"]:
        """Values of the pieces side by side. Parameters: `values`, [place, component] of every piece."""
        found = values[0].new_full((len(self.scene.spots), self.count), -torch.inf)
        for piece, value in zip(self.pieces, values, strict=True):
            found[piece.vectors.where, self.start(piece) : self.start(piece) + value.shape[1]] = value
        return found

    def exact(self, place: Tensor, index: Tensor) -> Float[Tensor, "some"]:
        """Scores worked out. Parameters: `place` and `index`, pairs of a place and a component."""
        found = self.scene.without[self.pieces[0].step.write.label].new_full(place.shape, torch.nan)
        wanted, slots = [], []
        place, index = place.contiguous(), index.contiguous()
        for piece in self.pieces:
            where = piece.vectors.where
            inside = index - self.start(piece)
            along = torch.searchsorted(where, place).clamp_max(len(where) - 1)
            mine = (inside >= 0) & (inside < piece.vectors.scale.shape[1]) & (where[along] == place)
            if bool(mine.any()):
                wanted.append((piece, along[mine], inside[mine]))
                slots.append(mine)
        for slot, value in zip(slots, self.scene.values(wanted), strict=True):
            found[slot] = value
        return found


def best(scene: Scene, level: str, k: int) -> Tops:
    """The k components of a level with the highest scores in every cell of the goal, in order, none missed.

    They are worked out in the order of their upper bounds until the k-th best is at least the next bound.

    Parameters: `scene`; `level`; `k`.
    """
    board = Board(scene, [piece for piece in scene.pieces(level) if piece.part or level == "write"])
    if not board.count:
        raise InputError(f"nothing in this model is taken apart at level {level!r}.")
    scored = [everything(scene, p) for p in board.pieces] if not isinstance(scene.reading, Normed) else _uppers(scene, board)
    upper = scene.goal.total(board.spread(scored).T).flatten(1).T
    search = _Search(board, upper, min(k, board.count))
    return search.exact() if not isinstance(scene.reading, Normed) else search.bounded()


def _uppers(scene: Scene, board: Board) -> list[Tensor]:
    """What no score exceeds, piece by piece."""
    assert isinstance(scene.reading, Normed)
    down = scene.base == "last"
    known = scene.surveyed(TOKENS if down else 0)
    found = []
    for piece in board.pieces:
        at, moved = known[piece.step.write.label].at(piece.vectors.where), change(scene.reading, piece, _precision(down))
        low_high = between(scene.reading, scene.goal, piece, at, moved) if down else None
        found.append(above(scene.reading, scene.goal, piece, at, moved) if low_high is None else -low_high[0])
    return found


def _precision(down: bool) -> torch.dtype:
    """Bounds from above may be summed in float32: what that puts them off by is added to them. Not where torch may take less."""
    return torch.float64 if down or not _float32_is_float32() else torch.float32


def _float32_is_float32() -> bool:
    """Whether products of float32 matrices are made in float32, rather than in TF32 or bfloat16."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # set for one backend, so that there is no answer for all
        return False


@dataclass(frozen=True, eq=False)
class _Search:
    """The k highest of every row of `upper`, [cell, component], which are bounds of the scores, or the scores."""

    board: Board
    upper: Tensor
    k: int

    def exact(self) -> Tops:
        found = self.upper.topk(min(self.k + 1, self.upper.shape[1]))
        after = found.values[:, self.k] if self.k < self.upper.shape[1] else torch.full_like(found.values[:, 0], -torch.inf)
        return self._tops(found.indices[:, : self.k], found.values[:, : self.k], after, self.upper.numel())

    def bounded(self) -> Tops:
        order = self.upper.argsort(dim=1, descending=True, stable=True)
        cells, count = order.shape
        values = self.upper.new_zeros(cells, 0)
        looking, seen, evaluated = torch.arange(cells, device=order.device), 0, 0
        while len(looking) and seen < count:
            some = order[looking, seen : seen + max(self.k, _ROUND)]
            exact = self.upper.new_full((cells, some.shape[1]), -torch.inf)
            exact[looking] = self._worked_out(looking[:, None].expand_as(some).flatten(), some.flatten()).reshape(some.shape)
            values, evaluated, seen = torch.cat([values, exact], 1), evaluated + some.numel(), seen + some.shape[1]
            if seen < count:
                after = self.upper[looking, order[looking, seen]]
                looking = looking[~(values[looking].topk(self.k).values[:, -1] >= after)]
        return self._ranked(order, values, evaluated)

    def _worked_out(self, cell: Tensor, index: Tensor) -> Tensor:
        """Scores of pairs of a cell and a component: the sum over the cell's places."""
        goal = self.board.scene.goal
        pair, place = ((goal.owner == cell[:, None]) & (goal.weights != 0)).nonzero().T
        found = self.board.exact(place, index[pair]) * goal.weights[place].double()
        return found.new_zeros(len(cell)).index_add(0, pair, found)

    def _ranked(self, order: Tensor, values: Tensor, evaluated: int) -> Tops:
        count, done = order.shape[1], (values > -torch.inf).sum(1)
        top = values.sort(dim=1, descending=True, stable=True)
        unseen = self.upper.gather(1, order.gather(1, done.clamp_max(count - 1)[:, None]))[:, 0]
        after = top.values[:, self.k] if top.values.shape[1] > self.k else torch.full_like(unseen, -torch.inf)
        after = torch.maximum(after, torch.where(done < count, unseen, -torch.inf))
        return self._tops(order.gather(1, top.indices[:, : self.k]), top.values[:, : self.k], after, evaluated)

    def _tops(self, index: Tensor, values: Tensor, after: Tensor, evaluated: int) -> Tops:
        names = {i: self.board.name(i) for i in index.unique().tolist()}
        labels = tuple(tuple(names[i] for i in row) for row in index.tolist())
        scene, goal = self.board.scene, self.board.scene.goal
        choices = {"base": scene.base, **scene.rules, "certified": True}
        axes = ("batch", "pos")[: len(goal.shape)]
        return Tops(labels, values, after, axes, goal.shape, evaluated, self.board.count, choices)


def everything(scene: Scene, piece: Piece) -> Float[Tensor, "place component"]:
    """All scores of a piece, each worked out. Parameters: `scene`; `piece`."""
    found = [scene.values([(piece, *some.T)])[0] for some in pairs(piece)]
    return torch.cat(found).reshape(piece.vectors.scale.shape)


def pairs(piece: Piece) -> Sequence[Int[Tensor, "pair 2"]]:
    """All components of a piece, each at all its places, as many as are asked about in one go. Parameters: `piece`."""
    n, count = piece.vectors.scale.shape
    return torch.cartesian_prod(torch.arange(n), torch.arange(count)).to(piece.vectors.where.device).split(_MANY)


def settled(scene: Scene, piece: Piece, at: Survey, within: float) -> tuple[Float[Tensor, "place component"], int]:
    """All scores of a piece, each to a tolerance, and how many had to be worked out.

    Parameters: `scene`; `piece`; `at`, the survey of its step, tokens named; `within`, nats.
    """
    assert isinstance(scene.reading, Normed)
    moved = change(scene.reading, piece)
    low, high = between(scene.reading, scene.goal, piece, at.at(piece.vectors.where), moved)
    found = piece.step.sign * (low + high) / 2
    left = (~(high - low <= 2 * within)).nonzero()
    for some in left.split(_MANY):
        found[tuple(some.T)] = scene.values([(piece, *some.T)])[0]
    return found, len(left)
