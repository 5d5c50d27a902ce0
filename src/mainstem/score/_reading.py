"""What the model would predict if a point of the stream held something else, at some places: exactly, in float64.

Three ways, the first that fits: a norm and a matrix (most language models), by rows (a norm, a matrix and a soft cap; or
the model's own calls), or whole tensors through the model's calls.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.algebra import Affine, Split
from mainstem.core import InputError
from mainstem.stream import Pass, Spots, readout, transport

from ._goal import Goal
from ._norm import Norm
from ._tiles import Unembedding
from ._ways import Way, doubled, factor_of, norms, product, ways

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

    Parameters: `norms`, by point; `unembedding`; `scale`, [place], None for each vector's own; `faces`, by point, what is done
    to the rows of a few before their norm. Nothing is added to those.
    """

    norms: dict[int, Norm]
    unembedding: Unembedding
    scale: Tensor | None = None
    faces: dict[int, Callable[[Tensor], Tensor]] = field(default_factory=dict)

    def normed(self, t: int, where: Tensor, rows: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_model"]:
        """The rows as the matrix reads them. Parameters: `t`, the point; `where`, places of the rows; `rows`."""
        rows = self.faces[t](rows) if t in self.faces else rows
        return self.norms[t](rows, None if self.scale is None else self.scale[where])

    def values(self, asked: Sequence[Asked], goal: Goal) -> list[Tensor]:
        return self._all(asked, partial(self.unembedding.value, goal=goal))

    def ranks(self, asked: Sequence[Asked], goal: Goal) -> list[Tensor]:
        return self._all(asked, partial(self.unembedding.ranks, goal=goal))

    def _all(self, asked: Sequence[Asked], say: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        """One pass over the vocabulary for all rows."""
        if not asked:
            return []
        rows = torch.cat([self.normed(*each) for each in asked])
        found = say(rows, torch.cat([where for _, where, _ in asked]))
        return list(found.split([len(where) for _, where, _ in asked]))


@dataclass(frozen=True, eq=False)
class ByRows(Reading):
    """Any readout that treats every row by itself.

    Parameters: `before`, of a point, places and rows there, up to the matrix; `unembedding`; `after`, from its logits on.
    """

    before: Callable[[int, Tensor, Tensor], Tensor]
    unembedding: Unembedding
    after: Affine

    def values(self, asked: Sequence[Asked], goal: Goal) -> list[Tensor]:
        return [self._said(self.before(*each), each[1], goal, Goal.value) for each in asked]

    def ranks(self, asked: Sequence[Asked], goal: Goal) -> list[Tensor]:
        return [self._said(self.before(*each), each[1], goal, Goal.ranks) for each in asked]

    def _said(self, rows: Tensor, where: Tensor, goal: Goal, say: Say) -> Tensor:
        step = max(1, 2**22 // self.unembedding.matrix.shape[0])
        return torch.cat([self._some(*pair, goal, say) for pair in zip(rows.split(step), where.split(step), strict=True)])

    def _some(self, rows: Tensor, where: Tensor, goal: Goal, say: Say) -> Tensor:
        tiles = [rows @ matrix.T if bias is None else rows @ matrix.T + bias for _, matrix, bias in self.unembedding.tiles()]
        return say(goal.at(where), self.after.live(torch.cat(tiles, -1)))


@dataclass(frozen=True, eq=False)
class Whole(Reading):
    """Any readout: a tensor of the stream's shape for every vector, with one place changed.

    Parameters: `run`; `spots`; `read`, from the last point's face to the output.
    """

    run: Pass
    spots: Spots
    read: Callable[[Tensor], Tensor]

    @cached_property
    def _ways(self) -> dict[int, tuple[Affine, ...]]:
        return {}

    def values(self, asked: Sequence[Asked], goal: Goal) -> list[Tensor]:
        return [self._said(*each, goal, Goal.value) for each in asked]

    def ranks(self, asked: Sequence[Asked], goal: Goal) -> list[Tensor]:
        return [self._said(*each, goal, Goal.ranks) for each in asked]

    def _said(self, t: int, where: Tensor, rows: Tensor, goal: Goal, say: Say) -> Tensor:
        """One vector of every prompt at a time: prompts do not read each other."""
        found, like = rows.new_empty(len(rows)), self.run.point(t).double()
        turn = turns(self.spots.at[where, 0])
        for k in range(int(turn.max()) + 1):
            now = (turn == k).nonzero()[:, 0]
            at = Spots(self.spots.at[where[now]], self.spots.sizes)
            goals = goal.at(where[now])
            said = say(goals, goals.logits(self.read(self._face(t, at.onto(rows[now], like)))))
            found[now] = said.to(found.dtype)
        return found

    def _face(self, t: int, value: Tensor) -> Tensor:
        """What the readout would read if point t held a value: its face, or where the stream changes shape later, what comes of it."""
        run, last = self.run, len(self.run.stream.points) - 1
        if t not in self._ways:
            to_last = () if run.point(t).shape == run.point(last).shape else range(t, last)
            face = run.stream.points[last if to_last else t].face
            self._ways[t] = (*(doubled(step) for u in to_last for step in transport(run, u)), doubled(run.affine(face)))
        for step in self._ways[t]:
            value = step.live(value)
        return run.shaped(value)


def turns(prompt: Tensor) -> Tensor:
    """For every row the number of rows of the same prompt that come before it. Parameters: `prompt`, of every row."""
    order = prompt.argsort(stable=True)
    sorted_prompts = prompt[order].contiguous()
    turn = torch.empty_like(prompt)
    turn[order] = torch.arange(len(prompt), device=prompt.device) - torch.searchsorted(sorted_prompts, sorted_prompts)
    return turn


@torch.no_grad()
def reading(run: Pass, spots: Spots, norm: str = "own", norm_bias: bool = True) -> Reading:
    """The readout of a run as a function of what points hold at some places.

    Parameters: `run`; `spots`; `norm`, "own", by the scale of what is read, "final", by the scale that the last point has at
    the place, "none", not divided by a scale; `norm_bias`, whether the norm's bias is added. Where the readout is more than a
    norm, a matrix and what is done to each logit, "final" freezes all of it at the last point. Raises `InputError` for
    another `norm`, and for such a readout where the norm, or its bias, is to be left out.
    """
    if norm not in NORMS:
        raise InputError(f"no norm rule {norm!r}; there are {', '.join(NORMS)}.")
    found = product(run) if len(spots.sizes) == 2 else None
    made = None if found is None else ways(run, spots, found)
    known = None if found is None or made is None else norms(run, spots, found, made)
    if found is not None and known is not None:
        return _by_norms(run, spots, found, *known, norm, norm_bias)
    if norm == "none" or not norm_bias:
        raise InputError("this model's readout is not one norm and one matrix: its norm cannot be left out, nor its bias.")
    if norm == "final":
        return Whole(run, spots, doubled(run.affine(run.stream.points[-1].onward)))
    if found is None or made is None:
        return Whole(run, spots, doubled(readout(run)).live)
    return ByRows(lambda t, where, rows: made[t](rows), _unembedding(found), doubled(found.after))


def _by_norms(
    run: Pass, spots: Spots, found: Split, known: dict[int, Norm], faces: dict[int, Way], norm: str, norm_bias: bool
) -> Reading:
    """By the rules of the norm; logits that are not only multiplied after the matrix need all of a row."""
    last = len(known) - 1
    scale = None if norm == "own" else known[last].scale(spots.of(run.point(last)))
    if scale is not None and norm == "none":
        scale = torch.ones_like(scale)
    if not norm_bias:
        known = {t: replace(n, bias=torch.zeros_like(n.bias)) for t, n in known.items()}
    factor = factor_of(found)
    normed = Normed(known, replace(_unembedding(found), factor=factor or 1.0), scale, faces)
    return normed if factor is not None else ByRows(normed.normed, normed.unembedding, doubled(found.after))


def _unembedding(found: Split) -> Unembedding:
    return Unembedding(found.matrix.detach(), None if found.bias is None else found.bias.detach())
