"""The k best components, and all scores to a tolerance, proved by bounds: only what these leave open is worked out exactly."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mainstem.core import InputError, Tops, name_inside

from ._bounds import between
from ._change import change
from ._reading import Normed
from ._scene import Piece, Scene
from ._stack import uppers

TOKENS, _MORE = 256, 2048  # the likeliest ones, taken exactly in bounds from both sides
_ROUND = 24  # components of a place that are worked out at first, if not more are asked for
_PATIENCE = 2  # rounds before bounds are made anew in float64
_MANY = 4096  # rows that are asked about in one go


class Board:
    """Components of all pieces in one row: pieces of other prompts hold the same components.

    Parameters: `scene`; `pieces`.
    """

    def __init__(self, scene: Scene, pieces: Sequence[Piece]) -> None:
        self.scene, self.pieces = scene, pieces
        self.count = 0
        self._starts: list[int] = []
        self._same: list[list[Piece]] = []
        first: dict[tuple[str, int], int] = {}
        for piece in pieces:
            key = piece.vectors.label, piece.vectors.offset
            if key not in first:
                first[key] = len(self._starts)
                self._starts.append(self.count)
                self._same.append([])
                self.count += piece.vectors.scale.shape[1]
            self._same[first[key]].append(piece)
        self._begin = {id(piece): start for start, same in zip(self._starts, self._same, strict=True) for piece in same}

    def start(self, piece: Piece) -> int:
        """Where the components of a piece begin. Parameters: `piece`."""
        return self._begin[id(piece)]

    def name(self, index: int) -> str:
        """The label of a component. Parameters: `index`."""
        at = bisect_right(self._starts, index) - 1
        found = self._same[at][0].vectors
        return name_inside(found.label, found.axes, found.sizes, found.offset + index - self._starts[at])

    def spread(self, values: Sequence[Tensor]) -> Float[Tensor, "place component"]:
        """Values of the pieces side by side. Parameters: `values`, [place, component] of every piece."""
        found = values[0].new_full((len(self.scene.spots), self.count), -torch.inf)
        for piece, value in zip(self.pieces, values, strict=True):
            found[piece.vectors.where, self.start(piece) : self.start(piece) + value.shape[1]] = value
        return found

    def exact(self, place: Tensor, index: Tensor) -> Float[Tensor, "some"]:
        """Scores worked out. Parameters: `place` and `index`, pairs of a place and a component."""
        found = torch.full(place.shape, torch.nan, dtype=torch.float64, device=place.device)
        wanted = list(self._wanted(place, index))
        values = self.scene.values([asked for _, asked in wanted]) if wanted else []
        for (slot, _), value in zip(wanted, values, strict=True):
            found[slot] = value
        return found

    def _wanted(self, place: Tensor, index: Tensor) -> Iterator[tuple[Tensor, tuple[Piece, Tensor, Tensor]]]:
        """Which pairs are whose, and where in the piece."""
        starts = torch.tensor(self._starts, device=index.device)
        group = torch.searchsorted(starts, index, right=True) - 1
        order = group.argsort(stable=True)
        which, counts = group.unique(return_counts=True)
        for at, mine in zip(which.tolist(), order.split(counts.tolist()), strict=True):
            for piece in self._same[at]:
                where = piece.vectors.where
                along = torch.searchsorted(where, place[mine]).clamp_max(len(where) - 1)
                here = where[along] == place[mine]
                if len(self._same[at]) == 1 or bool(here.any()):
                    slot = mine[here]
                    yield slot, (piece, along[here], index[slot] - self._starts[at])


def best(scene: Scene, level: str, k: int) -> Tops:
    """The k components of a level with the highest scores in every cell of the goal, in order, none missed.

    They are worked out in the order of their upper bounds until the k-th best is at least the next bound. Bounds are made in
    float32 where that is enough, from above and with their roundings.

    Parameters: `scene`; `level`; `k`.
    """
    pieces = [piece for piece in scene.pieces(level) if piece.part or level == "write"]
    board = Board(scene, pieces)
    if not board.count:
        raise InputError(f"nothing in this model is taken apart at level {level!r}.")

    def cells(values: Sequence[Tensor]) -> Tensor:
        return scene.goal.total(board.spread(values).T).flatten(1).T.contiguous()

    k = min(k, board.count)
    if not isinstance(scene.reading, Normed):
        return _Search(board, cells([everything(scene, piece) for piece in pieces]), k).exact()
    if scene.base == "last":
        return _Search(board, cells([_lowered(scene, piece) for piece in pieces]), k).bounded()
    precision = _precision(scene.base == "last")
    search = _Search(board, cells(uppers(scene, pieces, precision)), k)
    return search.bounded(None if precision == torch.float64 else lambda: cells(uppers(scene, pieces, torch.float64)))


def _lowered(scene: Scene, piece: Piece) -> Float[Tensor, "place component"]:
    """What no score of a piece exceeds that is taken out: its scores are the other way round."""
    assert isinstance(scene.reading, Normed)
    at, moved = scene.surveyed(TOKENS)[piece.step.write.label].at(piece.vectors.where), change(scene.reading, piece)
    return -between(scene.reading, scene.goal, piece, at, moved)[0]


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

    def bounded(self, finer: Callable[[], Tensor] | None = None) -> Tops:
        """Round by round. Parameters: `finer`, makes bounds that are worth it where the first ones leave much open."""
        left, (cells, count) = self.upper, self.upper.shape
        values, index = left.new_zeros(cells, 0), torch.zeros(cells, 0, dtype=torch.long, device=left.device)
        reached, rounds, most = left.new_full((cells, 1), -torch.inf), 0, min(max(self.k, _ROUND), count)
        size = most
        while size:
            some = left.topk(size)
            cell, column = _open(some.values, reached).nonzero().T if rounds else torch.ones_like(some.indices).nonzero().T
            component = some.indices[cell, column]
            exact = torch.full_like(some.values, -torch.inf)
            exact[cell, column], left[cell, component] = self._worked_out(cell, component), -torch.inf
            values, index, rounds = torch.cat([values, exact], 1), torch.cat([index, some.indices], 1), rounds + 1
            reached = values.topk(self.k).values[:, -1:]
            if rounds == _PATIENCE and finer is not None and bool(_open(left, reached).any()):
                left = torch.where(left == -torch.inf, left, finer())
            size = min(int(_open(left, reached).sum(1).max()), 4 * most)
        return self._ranked(left.amax(1), values, index)

    def _worked_out(self, cell: Tensor, index: Tensor) -> Float[Tensor, "some"]:
        """Scores of pairs of a cell and a component: the sum over the cell's places."""
        goal = self.board.scene.goal
        place = goal.owner.argsort(stable=True)
        place = place[goal.weights[place] != 0]
        counts = torch.bincount(goal.owner[place], minlength=self.upper.shape[0])
        first, each = counts.cumsum(0) - counts, counts[cell]
        pair = torch.arange(len(cell), device=cell.device).repeat_interleave(each)
        inside = torch.arange(len(pair), device=cell.device) - (each.cumsum(0) - each)[pair]
        place, index = place[first[cell][pair] + inside], index[pair]
        found = torch.cat([self.board.exact(*some) for some in zip(place.split(_MANY), index.split(_MANY), strict=True)])
        return found.new_zeros(len(cell)).index_add(0, pair, found * goal.weights[place].double())

    def _ranked(self, unseen: Tensor, values: Tensor, index: Tensor) -> Tops:
        """The highest of those worked out, of equals the first; `unseen`, what no other exceeds."""
        order = index.argsort(dim=1, stable=True)
        top = values.gather(1, order).sort(dim=1, descending=True, stable=True)
        index = index.gather(1, order).gather(1, top.indices)
        after = torch.maximum(top.values[:, self.k], unseen) if top.values.shape[1] > self.k else unseen
        done = int((values > -torch.inf).sum())
        return self._tops(index[:, : self.k], top.values[:, : self.k], after, done)

    def _tops(self, index: Tensor, values: Tensor, after: Tensor, evaluated: int) -> Tops:
        names = {i: self.board.name(i) for i in index.unique().tolist()}
        labels = tuple(tuple(names[i] for i in row) for row in index.tolist())
        scene, goal = self.board.scene, self.board.scene.goal
        choices = {"base": scene.base, **scene.rules, "certified": True}
        axes = ("batch", "pos")[: len(goal.shape)]
        return Tops(labels, values, after, axes, goal.shape, evaluated, self.board.count, choices)


def _open(upper: Tensor, reached: Tensor) -> Tensor:
    """Where a bound leaves open whether a score is among the best; one that is no number does, what was worked out does not."""
    return ~(upper <= reached) & (upper != -torch.inf)


def everything(scene: Scene, piece: Piece) -> Float[Tensor, "place component"]:
    """All scores of a piece, each worked out. Parameters: `scene`; `piece`."""
    found = [scene.values([(piece, *some.T)])[0] for some in pairs(piece)]
    return torch.cat(found).reshape(piece.vectors.scale.shape)


def pairs(piece: Piece) -> Sequence[Int[Tensor, "pair 2"]]:
    """All components of a piece, each at all its places, as many as are asked about in one go. Parameters: `piece`."""
    n, count = piece.vectors.scale.shape
    return torch.cartesian_prod(torch.arange(n), torch.arange(count)).to(piece.vectors.where.device).split(_MANY)


def settled(scene: Scene, piece: Piece, within: float) -> tuple[Float[Tensor, "place component"], int]:
    """All scores of a piece, each to a tolerance, and how many had to be worked out.

    What the likeliest tokens leave open is looked at with more of them before it is worked out. Parameters: `scene`; `piece`;
    `within`, nats.
    """
    found, left = _narrowed(scene, piece, TOKENS, within)
    some = left.any(0).nonzero()[:, 0]
    if len(some) and _many_tokens(scene):
        found[:, some], left[:, some] = _narrowed(scene, piece.only(some), _MORE, within)
    for pair in left.nonzero().split(_MANY):
        found[tuple(pair.T)] = scene.values([(piece, *pair.T)])[0]
    return found, int(left.sum())


def _many_tokens(scene: Scene) -> bool:
    """Whether there are so many more tokens that it is cheaper to look at some of them than at all."""
    return isinstance(scene.reading, Normed) and scene.reading.unembedding.matrix.shape[0] > 8 * _MORE


def _narrowed(scene: Scene, piece: Piece, likeliest: int, within: float) -> tuple[Tensor, Tensor]:
    """Scores in the middle of their bounds, and which of them can be farther off than the tolerance."""
    assert isinstance(scene.reading, Normed)
    at = scene.surveyed(likeliest)[piece.step.write.label].at(piece.vectors.where)
    low, high = between(scene.reading, scene.goal, piece, at, change(scene.reading, piece))
    return piece.step.sign * (low + high) / 2, ~(high - low <= 2 * within)
