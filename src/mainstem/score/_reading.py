"""What the model would predict if a point of the stream held something else, at some places: exactly, in float64.

Three ways, the first that fits: a norm and a matrix (most language models), by rows through the model's own calls, or whole
tensors through them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.algebra import Affine, Split, cut, last_product, raised_to
from mainstem.core import InputError, bound, error
from mainstem.stream import Pass, Spots, readout, transport

from ._goal import Goal
from ._norm import Norm, recognised
from ._tiles import Unembedding

NORMS = ("own", "final", "none")
Asked = tuple[int, Tensor, Tensor]  # point, [row] places, [row, d_model] what it would hold there
Say = Callable[[Goal, Tensor], Tensor]  # what a goal makes of the logits at its places


class Reading(ABC):
    """The readout as a function of what a point holds at single places."""

    @abstractmethod
    def values(self, asked: Sequence[Asked], goal: Goal) -> list[Float[Tensor, "row"]]:
        """What is scored, were the points to hold other rows, each row by itself. Parameters: `asked`; `goal`."""

    @abstractmethod
    def ranks(self, asked: Sequence[Asked], goal: Goal) -> list[Float[Tensor, "row"]]:
        """How many tokens would be likelier than the target. Parameters: as of `values`."""


@dataclass(frozen=True, eq=False)
class Normed(Reading):
    """A norm for every point, its scale its own or given for every place, and one matrix.

    Parameters: `norms`, by point; `unembedding`; `scale`, [place], None for each vector's own.
    """

    norms: dict[int, Norm]
    unembedding: Unembedding
    scale: Tensor | None = None

    def normed(self, t: int, where: Tensor, rows: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_model"]:
        """The rows as the matrix reads them. Parameters: `t`, the point; `where`, places of the rows; `rows`."""
        return self.norms[t](rows, None if self.scale is None else self.scale[where])

    def values(self, asked: Sequence[Asked], goal: Goal) -> list[Tensor]:
        return self._all(asked, partial(self.unembedding.value, goal=goal))

    def ranks(self, asked: Sequence[Asked], goal: Goal) -> list[Tensor]:
        return self._all(asked, partial(self.unembedding.ranks, goal=goal))

    def _all(self, asked: Sequence[Asked], say: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        """One pass over the vocabulary for all rows."""
        rows = torch.cat([self.normed(*each) for each in asked])
        found = say(rows, torch.cat([where for _, where, _ in asked]))
        return list(found.split([len(where) for _, where, _ in asked]))


@dataclass(frozen=True, eq=False)
class ByRows(Reading):
    """Any readout that treats every row by itself. Parameters: `before`, by point, up to the matrix; `matrix`; `bias`; `after`."""

    before: dict[int, Callable[[Tensor], Tensor]]
    unembedding: Unembedding
    after: Affine

    def values(self, asked: Sequence[Asked], goal: Goal) -> list[Tensor]:
        return [self._said(self.before[t](rows), where, goal, Goal.value) for t, where, rows in asked]

    def ranks(self, asked: Sequence[Asked], goal: Goal) -> list[Tensor]:
        return [self._said(self.before[t](rows), where, goal, Goal.ranks) for t, where, rows in asked]

    def _said(self, rows: Tensor, where: Tensor, goal: Goal, say: Say) -> Tensor:
        step = max(1, 2**22 // self.unembedding.matrix.shape[0])
        return torch.cat([self._some(*pair, goal, say) for pair in zip(rows.split(step), where.split(step), strict=True)])

    def _some(self, rows: Tensor, where: Tensor, goal: Goal, say: Say) -> Tensor:
        tiles = [rows @ matrix.T if bias is None else rows @ matrix.T + bias for _, matrix, bias in self.unembedding.tiles()]
        return say(goal.at(where), self.after.live(torch.cat(tiles, -1)))


@dataclass(frozen=True, eq=False)
class Whole(Reading):
    """Any readout: a tensor of the stream's shape for every vector, with one place changed.

    Parameters: `run`; `spots`; `read`, from the last point's face to the output; `width`, how many rows the output has of a prompt.
    """

    run: Pass
    spots: Spots
    read: Callable[[Tensor], Tensor]

    def values(self, asked: Sequence[Asked], goal: Goal) -> list[Tensor]:
        return [self._said(*each, goal, Goal.value) for each in asked]

    def ranks(self, asked: Sequence[Asked], goal: Goal) -> list[Tensor]:
        return [self._said(*each, goal, Goal.ranks) for each in asked]

    def _said(self, t: int, where: Tensor, rows: Tensor, goal: Goal, say: Say) -> Tensor:
        """One vector of every prompt at a time: prompts do not read each other."""
        found = rows.new_empty(len(rows))
        turn = turns(self.spots.at[where, 0])
        for k in range(int(turn.max()) + 1):
            now = (turn == k).nonzero()[:, 0]
            at = Spots(self.spots.at[where[now]], self.spots.sizes)
            logits = self.read(face_of(self.run, t, at.onto(rows[now], self.run.point(t))))
            goals = goal.at(where[now])
            found[now] = say(goals, goals.logits(logits).double()).to(found.dtype)
        return found


def turns(prompt: Tensor) -> Tensor:
    """For every row the number of rows of the same prompt that come before it. Parameters: `prompt`, of every row."""
    order = prompt.argsort(stable=True)
    sorted_prompts = prompt[order].contiguous()
    turn = torch.empty_like(prompt)
    turn[order] = torch.arange(len(prompt), device=prompt.device) - torch.searchsorted(sorted_prompts, sorted_prompts)
    return turn


def face_of(run: Pass, t: int, value: Tensor) -> Tensor:
    """What the readout would read if point t held a value: its face, or where the stream changes shape later, what comes of it.

    Parameters: `run`; `t`; `value`, of the point's shape.
    """
    last = len(run.stream.points) - 1
    if run.point(t).shape == run.point(last).shape:
        return run.shaped(run.affine(run.stream.points[t].face).live(value))
    for u in range(t, last):
        for step in transport(run, u):
            value = step.live(value)
    return run.affine(run.stream.points[last].face).live(value)


def reading(run: Pass, spots: Spots, norm: str = "own", norm_bias: bool = True) -> Reading:
    """The readout of a run as a function of what points hold at some places.

    Parameters: `run`; `spots`; `norm`, "own", by the scale of what is read, "final", by the scale that the last point has at
    the place, "none", not divided by a scale; `norm_bias`, whether the norm's bias is added. Raises `InputError` for another
    `norm`, and where the readout is no norm and a matrix for what needs one.
    """
    if norm not in NORMS:
        raise InputError(f"no norm rule {norm!r}; there are {', '.join(NORMS)}.")
    found = _split(run) if len(spots.sizes) == 2 else None
    rows = _by_rows(run, spots, found) if found is not None else None
    normed = _normed(run, spots, rows) if rows is not None else None
    if normed is not None:
        return _ruled(run, spots, normed, norm, norm_bias)
    if norm == "none" or not norm_bias:
        raise InputError("this model's readout is not one norm and one matrix: its norm cannot be left out, nor its bias.")
    if norm == "final":
        return Whole(run, spots, run.affine(run.stream.points[-1].onward))
    return rows if rows is not None else Whole(run, spots, readout(run).live)


def _ruled(run: Pass, spots: Spots, found: Normed, norm: str, norm_bias: bool) -> Normed:
    norms, last = found.norms, len(run.stream.points) - 1
    if not norm_bias:
        norms = {t: Norm(n.gain, torch.zeros_like(n.bias), n.eps, n.centred, n.scaled) for t, n in norms.items()}
    if norm == "own":
        return Normed(norms, found.unembedding)
    scale = norms[last].scale(spots.of(run.point(last)))
    return Normed(norms, found.unembedding, scale if norm == "final" else torch.ones_like(scale))


def _split(run: Pass) -> Split | None:
    """The readout with nothing frozen, taken apart at its matrix."""
    assert run.trail is not None
    at = last_product(run.trail.program)
    return None if at is None else cut(run.trail, at)


def _by_rows(run: Pass, spots: Spots, found: Split) -> ByRows | None:
    """The readout row by row in float64; None where it does not say the same as the whole, for the last point or others like it."""
    last = len(run.stream.points) - 1
    if any(run.shaped(run.raw_point(t)).shape != run.point(last).shape for t in range(last)):
        return None
    like = run.raw_point(last)

    def way(t: int) -> Callable[[Tensor], Tensor]:
        face, before = (_doubled(a) for a in (run.frozen(run.stream.points[t].face), found.before))
        return lambda rows: before.live(face.live(_prompts(rows, like))).flatten(0, -2)[: len(rows)]

    ways = {t: way(t) for t in range(last + 1)}
    try:
        if not _agrees(run, spots, found, ways[last]):
            return None
    except (RuntimeError, ValueError, IndexError, TypeError):  # a module's own calls, made with another number of rows
        return None
    return ByRows(
        ways, Unembedding(found.matrix.detach(), None if found.bias is None else found.bias.detach()), _doubled(found.after)
    )


def _prompts(rows: Tensor, like: Tensor) -> Tensor:
    """Rows as prompts as long as those of the run, which some modules reshape to; the last one is filled up with zeros."""
    if like.ndim == 2:
        return rows
    length = like.shape[1]
    return torch.nn.functional.pad(rows, (0, 0, 0, -len(rows) % length)).unflatten(0, (-1, length))


def _agrees(run: Pass, spots: Spots, found: Split, way: Callable[[Tensor], Tensor]) -> bool:
    last = len(run.stream.points) - 1
    point, before = run.point(last), Affine(found.before.program, tuple(map(run.raised, found.before.calls)))
    random = torch.Generator(point.device).manual_seed(0)
    for value in (point, point * (1 + torch.rand(point.shape, generator=random, device=point.device))):
        whole = spots.of(
            run.shaped(before.live(run.affine(run.stream.points[last].face).live(value.reshape(run.raw_point(last).shape))))
        )
        rows = way(spots.of(value))
        if rows.shape != whole.shape or not error(rows, whole) <= bound(run.dtype, whole):
            return False
    return True


def _normed(run: Pass, spots: Spots, rows: ByRows) -> Normed | None:
    factor = _factor(rows.after, rows.unembedding.matrix)
    if factor is None:
        return None
    norms: dict[int, Norm] = {}
    for t, before in rows.before.items():
        same = t - 1 in norms and not run.stream.points[t].face.steps and not run.stream.points[t - 1].face.steps
        norm = norms[t - 1] if same else recognised(before, spots.of(run.point(t))[:8])
        if norm is None:
            return None
        norms[t] = norm
    return Normed(norms, Unembedding(rows.unembedding.matrix, rows.unembedding.bias, factor))


def _factor(after: Affine, matrix: Tensor) -> float | None:
    """What logits are multiplied by after the matrix; None where something else happens to them, such as a soft cap."""
    if not after.program.steps:
        return 1.0
    probe = torch.linspace(-40, 40, matrix.shape[0], dtype=torch.float64, device=matrix.device)[None]
    found = after.live(probe)
    factor = float((found * probe).sum() / probe.square().sum())
    linear = found.shape == probe.shape and error(found, factor * probe) <= 1e-12 * abs(factor) * 40
    return factor if linear and factor > 0 else None


def _doubled(found: Affine) -> Affine:
    return Affine(found.program, tuple(raised_to(call, torch.float64) for call in found.calls))
