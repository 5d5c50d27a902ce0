"""Straight ways of the stream through a block, and the mean gradient along each: what parts along it are worth adds up exactly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import FACTOR, NotClosedError
from mainstem.find import Write
from mainstem.stream import Pass, Spots, transport

from ._goal import Goal
from ._reading import Asked, Normed, Reading
from ._scene import operand
from ._slopes import slopes

_NODES = 8  # of a piece of the way
_FINEST = 2.0**-24  # of the way: pieces that are shorter than that do not settle
_OPEN = 16  # pieces of one way that are looked at in one go: a smooth way has fewer, one with kinks at every turn has more
_ROWS = 4096  # vectors that are read in one go


@dataclass(eq=False)
class Leg:
    """Writes that are added with nothing between them: the stream goes straight from x to x + their sum.

    Parameters: `t`, the last point of the way; `name`, of it; `x`; `writes`; `total`, their sum.
    """

    t: int
    name: str
    x: Float[Tensor, "place d_model"]
    writes: list[Write] = field(default_factory=list)
    total: Tensor = field(default_factory=lambda: torch.zeros(()))

    def end(self) -> Tensor:
        """The stream behind it."""
        return self.x + self.total

    def states(self, every: Tensor) -> tuple[Asked, Asked]:
        """The stream before it and behind it. Parameters: `every`, all places."""
        return (self.t, every, self.x), (self.t, every, self.end())


@dataclass(frozen=True, eq=False)
class Change:
    """What happens to the stream between legs: a transport, an edit, rounding. Parameters: `label`; `kind`; `before`; `after`."""

    label: str
    kind: str
    before: Asked
    after: Asked

    def states(self, every: Tensor) -> tuple[Asked, Asked]:
        """The stream before it and behind it. Parameters: `every`, all places."""
        return self.before, self.after


def course(run: Pass, where: Spots, together: bool) -> Iterator[Leg | Change]:
    """The stream from the entry to the last point as legs, with what happens between them.

    Parameters: `run`; `where`, the places; `together`, the writes of a block are one leg as far as nothing lies between them.
    """
    every = torch.arange(len(where), device=where.at.device)
    points, leg, block = run.stream.points, None, None
    for t, point in enumerate(points[1:], 1):
        moved = not all(step.idle for step in transport(run, t - 1)) or run.factor(t) != 1 or bool(point.face.steps)
        if leg is None or moved or not together or point.block != block or _edited(run, t - 1):
            if leg is not None:
                yield from _ended(run, where, leg)
            start = operand(run, where, t)
            if moved:
                before = (t - 1, every, where.of(run.point(t - 1)))
                yield Change(f"{points[t - 1].name}.transport", "transport", before, (t, every, start))
            leg, block = Leg(t, point.name, start), point.block
        leg.t, leg.name = t, point.name
        for write in point.writes:
            if leg.writes and not together:
                yield leg
                leg = Leg(t, point.name, leg.end())
            leg.writes.append(write)
            leg.total = leg.total + where.of(run.write(write).expand_as(run.point(t)))
    if leg is not None:
        yield from _ended(run, where, leg)


def _edited(run: Pass, t: int) -> bool:
    return any(patch.site == run.stream.points[t].site for patch in run.patches)


def _ended(run: Pass, where: Spots, leg: Leg) -> Iterator[Leg | Change]:
    """The leg, and what the point holds beyond it."""
    yield leg
    kind = "rounding" if run.low else "edit" if _edited(run, leg.t) else ""
    if kind:
        every = torch.arange(len(where), device=where.at.device)
        yield Change(f"{leg.name}.{kind}", kind, (leg.t, every, leg.end()), (leg.t, every, where.of(run.point(leg.t))))


def mean_slopes(
    reading: Reading, legs: Sequence[Leg], goal: Goal, within: float, dtype: torch.dtype
) -> list[Float[Tensor, "place d_model"]]:
    """For every leg the gradient of what is read, averaged along its way: its product with the leg's sum is what is gained.

    integral over a from 0 to 1 of grad f(x + a w) da. Gauss-Legendre with eight nodes on pieces of the way; a piece is halved
    until its product misses the gain on it, which is known, by no more than its share of `within`.

    Parameters: `reading`; `legs`; `goal`; `within`, nats; `dtype`, of the run. Raises `NotClosedError` where pieces do not settle.
    """
    floor = 0.0 if isinstance(reading, Normed) else FACTOR * torch.finfo(dtype).eps
    found = []
    for _, alike in groupby(legs, lambda leg: leg.x.shape):
        some = list(alike)
        n = len(some[0].x)
        step = max(1, _ROWS // (_NODES * n))
        for i in range(0, len(some), step):
            found += list(_Ways(reading, some[i : i + step], goal, within, floor).averaged().split(n))
    return found


@dataclass(frozen=True, eq=False)
class _Ways:
    """All ways of some legs, one for every place, in one row. `floor` is what a gain's own rounding may be, as a share of what is read."""

    reading: Reading
    legs: Sequence[Leg]
    goal: Goal
    within: float
    floor: float

    def averaged(self) -> Tensor:
        x, total = (torch.cat(column) for column in zip(*((leg.x, leg.total) for leg in self.legs), strict=True))
        nodes, weights = (t.to(x.device) for t in _gauss(_NODES))
        found = torch.zeros_like(x)
        way = torch.arange(len(x), device=x.device)
        first, last = torch.zeros(len(x)).to(x), torch.ones(len(x)).to(x)
        low, high = self._values(way, x), self._values(way, x + total)
        while len(way):
            length = last - first
            rows = x[way][:, None] + (first[:, None] + length[:, None] * nodes)[..., None] * total[way][:, None]
            slope = self._slopes(way.repeat_interleave(_NODES), rows.flatten(0, 1)).unflatten(0, (-1, _NODES))
            piece = length[:, None] * (weights[:, None] * slope).sum(1)
            miss = ((piece * total[way]).sum(-1) - (high - low)).abs()
            done = miss <= self.within * length + (self.floor + 1e-13) * (1 + low.abs() + high.abs())
            found.index_add_(0, way[done], piece[done])
            if bool((length[~done] < _FINEST).any()) or bool((way[~done].bincount() > _OPEN).any()):
                raise NotClosedError(
                    f"path: the gradient along a block's writes does not settle within {self.within} nats: each ReLU behind them "
                    "makes a kink. Pass a larger within=..., or take by='logprob_increase'."
                )
            way, first, last, low, high = (t[~done] for t in (way, first, last, low, high))
            middle = (first + last) / 2
            between = self._values(way, x[way] + middle[:, None] * total[way]) if len(way) else low
            way, first, last = way.repeat(2), torch.cat([first, middle]), torch.cat([middle, last])
            low, high = torch.cat([low, between]), torch.cat([between, high])
        return found

    def _asked(self, way: Tensor, rows: Tensor) -> tuple[list[Asked], Tensor]:
        """Rows leg by leg, and where they belong."""
        leg, place = way // len(self.legs[0].x), way % len(self.legs[0].x)
        order = leg.argsort(stable=True)
        counts = leg.bincount(minlength=len(self.legs)).tolist()
        split = zip(self.legs, place[order].split(counts), rows[order].split(counts), strict=True)
        return [(one.t, where, some) for one, where, some in split if len(where)], order

    def _values(self, way: Tensor, rows: Tensor) -> Tensor:
        asked, order = self._asked(way, rows)
        found = torch.cat(self.reading.values(asked, self.goal))
        return torch.empty_like(found).index_copy_(0, order, found)

    def _slopes(self, way: Tensor, rows: Tensor) -> Tensor:
        asked, order = self._asked(way, rows)
        found = torch.cat([g for _, g in slopes(self.reading, asked, self.goal)])
        return torch.empty_like(found).index_copy_(0, order, found)


def _gauss(n: int) -> tuple[Tensor, Tensor]:
    """Nodes in [0, 1] and weights of Gauss and Legendre, by the eigenvalues of the Jacobi matrix (Golub and Welsch)."""
    k = torch.arange(1, n, dtype=torch.float64)
    beta = k / (4 * k.square() - 1).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(beta, 1) + torch.diag(beta, -1))
    return (values + 1) / 2, vectors[0].square()
