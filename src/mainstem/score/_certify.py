"""The k best components, and all scores to a tolerance, proved by bounds: only what these leave open is worked out exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ._bounds import above, between, change
from ._reading import Normed
from ._scene import Piece, Scene
from ._survey import Survey

TOKENS = 256  # the likeliest ones, taken exactly in bounds from both sides
_ROUND = 32  # components of a place that are worked out together
_MANY = 4096  # rows that are asked about in one go


@dataclass(frozen=True, eq=False)
class Best:
    """The k best components of every place, best first.

    Parameters: `index`, [place, k], along the components of all pieces; `values`, [place, k]; `next`, [place], what no other
    component exceeds; `evaluated`, how many scores were worked out exactly, of all places; `components`, how many there are.
    """

    index: Tensor
    values: Float[Tensor, "place k"]
    next: Float[Tensor, "place"]
    evaluated: int
    components: int


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

    def name(self, index: int) -> tuple[Piece, int]:
        """A piece that holds a component, and the component's number in it. Parameters: `index`."""
        for piece in self.pieces:
            inside = index - self.start(piece)
            if 0 <= inside < piece.vectors.scale.shape[1]:
                return piece, inside
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


def best(scene: Scene, pieces: Sequence[Piece], k: int) -> tuple[Board, Best]:
    """The k components with the highest scores at every place, in order, none missed.

    They are worked out in the order of their upper bounds until the k-th best is at least the next bound.

    Parameters: `scene`; `pieces`; `k`.
    """
    board = Board(scene, pieces)
    k = min(k, board.count)
    if not isinstance(scene.reading, Normed):
        every = board.spread([everything(scene, piece) for piece in pieces])
        found = every.topk(min(k + 1, board.count))
        after = found.values[:, k] if board.count > k else found.values.new_full(found.values.shape[:1], -torch.inf)
        return board, Best(found.indices[:, :k], found.values[:, :k], after, every.numel(), board.count)
    return board, _searched(board, _uppers(scene, board), k)


def _uppers(scene: Scene, board: Board) -> Float[Tensor, "place component"]:
    assert isinstance(scene.reading, Normed)
    down = scene.base == "last"
    known = scene.surveyed(TOKENS if down else 0)
    found = []
    for piece in board.pieces:
        at, moved = known[piece.step.write.label].at(piece.vectors.where), change(scene.reading, piece)
        if down:
            found.append(-between(scene.reading, scene.goal, piece, at, moved)[0])
        else:
            found.append(above(scene.reading, scene.goal, piece, at, moved))
    return board.spread(found)


def _searched(board: Board, upper: Tensor, k: int) -> Best:
    order = upper.argsort(dim=1, descending=True, stable=True)
    n, count = order.shape
    values = upper.new_full((n, 0), 0.0)
    looking, seen, evaluated = torch.arange(n, device=order.device), 0, 0
    while len(looking):
        some = order[looking, seen : seen + max(k, _ROUND)]
        exact = upper.new_full((n, some.shape[1]), -torch.inf)
        place = looking[:, None].expand_as(some)
        exact[looking] = board.exact(place.flatten(), some.flatten()).reshape(some.shape)
        values, evaluated, seen = torch.cat([values, exact], 1), evaluated + some.numel(), seen + some.shape[1]
        if seen >= count:
            break
        after = upper[looking, order[looking, seen]]
        looking = looking[values[looking].topk(k).values[:, -1] < after]
    return _ranked(order, values, upper, k, evaluated)


def _ranked(order: Tensor, values: Tensor, upper: Tensor, k: int, evaluated: int) -> Best:
    count = order.shape[1]
    done = (values > -torch.inf).sum(1)
    top = values.sort(dim=1, descending=True, stable=True)
    index = order.gather(1, top.indices[:, :k])
    rest = torch.where(done < count, upper.gather(1, order.gather(1, done.clamp_max(count - 1)[:, None]))[:, 0], -torch.inf)
    after = top.values[:, k] if top.values.shape[1] > k else torch.full_like(rest, -torch.inf)
    return Best(index, top.values[:, :k], torch.maximum(rest, after), evaluated, count)


def everything(scene: Scene, piece: Piece) -> Float[Tensor, "place component"]:
    """All scores of a piece, each worked out. Parameters: `scene`; `piece`."""
    n, count = piece.vectors.scale.shape
    pairs = torch.cartesian_prod(torch.arange(n), torch.arange(count)).to(piece.vectors.where.device)
    found = [scene.values([(piece, *some.T)])[0] for some in pairs.split(_MANY)]
    return torch.cat(found).reshape(n, count)


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
