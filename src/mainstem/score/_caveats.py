"""What a direct score does not say: which writes are removed by later ones, and what later ones do about a part that is gone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, name_inside
from mainstem.find import Write
from mainstem.stream import Pass, Spots, Without, push, spots

from ._components import components
from ._goal import Goal
from ._registry import Choices, score_named, top
from ._scene import Scene, scene


@dataclass(frozen=True)
class Caveat:
    """One component of one prompt, frozen and live.

    Parameters: `component`; `prompt`; `dla`, its direct attribution, a logit; `logprob_increase`; `frozen`, what log p(target)
    loses if its carried vector is taken out of the last point; `live`, what it loses if the vector is taken out where it enters;
    `kept`, the share of it that later writes leave; `overlap`, <x_L, v> / |v|^2 at the last point; `eraser`, the later write
    that takes most of it away, and `erased`, which share that is (below zero; None and 0 where all add to it).
    """

    component: str
    prompt: int
    dla: float
    logprob_increase: float
    frozen: float
    live: float
    kept: float
    overlap: float
    eraser: str | None
    erased: float

    @property
    def repair(self) -> float:
        """live - frozen: below zero where what follows makes up for the part, above where it builds on it."""
        return self.live - self.frozen


@torch.no_grad()
def caveats(run: Pass, goal: Goal, by: str, choices: Choices, k: int, norm: str = "own", norm_bias: bool = True) -> list[Caveat]:
    """The k best components of every prompt with what their direct scores do not say, best first.

    kept = 1 + the sum over later writes u of <A u, A v> / |A v|^2, A all that leads to the last point, frozen at this input.

    Parameters: `run`; `goal`, one place of every prompt; `by`, the score that they are the best of; `choices`, with the level;
    `k`; `norm` and `norm_bias`, of the reading that increases go by. Raises `InputError` where a prompt has several places.
    """
    if len(goal.shape) != 1 or len(goal.places) != goal.shape[0]:
        raise InputError("caveats are of one place of every prompt: give one position, and a target that is one token.")
    tops = top(run, goal, by, choices, k)
    at = scene(run, goal, choices.level, norm=norm, norm_bias=norm_bias)
    dla, later = score_named("dla").rows(run, goal, Choices(choices.level)), _Later(at)
    numbers: dict[tuple[int, str], tuple[Any, ...]] = {}
    for some in _held(run, goal, choices.level, tops.labels):
        numbers |= {(some.cell, label): row for label, row in zip(some.labels, later.of(some), strict=True)}
    return [
        Caveat(label, cell, float(dla[label][cell]), *numbers[cell, label])
        for cell, labels in enumerate(tops.labels)
        for label in labels
    ]


@dataclass(frozen=True, eq=False)
class _Some:
    """Components of one write at one place. Parameters: `place`; `cell`, of the goal; `write`; `t`, its point; `labels`; `vectors`."""

    place: int
    cell: int
    write: Write
    t: int
    labels: tuple[str, ...]
    vectors: Float[Tensor, "component d_model"]


def _held(run: Pass, goal: Goal, level: str, wanted: Sequence[Sequence[str]]) -> Iterator[_Some]:
    """The vectors of the components that are asked for, of every cell its own."""
    entering = {write.label: t for t, point in enumerate(run.stream.points) for write in point.writes}
    for write, found in components(run, level, spots(run, goal.places)):
        names = {name_inside(found.label, found.axes, found.sizes, found.offset + i): i for i in range(found.scale.shape[1])}
        for row, place in enumerate(found.where.tolist()):
            cell = int(goal.owner[place])
            mine = tuple(label for label in wanted[cell] if label in names)
            if mine:
                index = torch.tensor([names[label] for label in mine], device=found.where.device)
                vectors = found.pick(torch.full_like(index, row), index)
                yield _Some(place, cell, write, entering[write.label], mine, vectors)


@dataclass(frozen=True, eq=False)
class _Later:
    """What becomes of components behind the point that they enter at. Parameters: `scene`."""

    scene: Scene

    @cached_property
    def _before(self) -> dict[str, Tensor]:
        """What the stream was before every write, [place, d_model]."""
        return {step.write.label: step.x for step in self.scene.steps}

    @cached_property
    def _ends(self) -> dict[str, Tensor]:
        """Every write as it is at the last point, [place, d_model], in their order."""
        run, where = self.scene.run, self.scene.spots
        found = {}
        for t, point in enumerate(run.stream.points):
            for write in point.writes:
                value = run.write(write).expand_as(run.point(t))
                found[write.label] = where.of(push(run, value[None], t, len(run.stream.points) - 1)[0])
        return found

    @cached_property
    def _last(self) -> Tensor:
        """The last point, [place, d_model]."""
        return self.scene.spots.of(self.scene.run.point(len(self.scene.run.stream.points) - 1))

    @cached_property
    def _without(self) -> Without:
        return Without(self.scene.run, self.scene.spots.sizes)

    def of(self, some: _Some) -> list[tuple[Any, ...]]:
        """Increase, frozen, live, kept, overlap, eraser and its share, of each component. Parameters: `some`."""
        carried, names = self._carried(some), list(self._ends)
        names = names[names.index(some.write.label) + 1 :]
        square = carried.square().sum(-1)
        ends = torch.stack([torch.zeros_like(carried[0]), *(self._ends[name][some.place] for name in names)])
        shares = carried @ ends.T / torch.where(square == 0, 1.0, square)[:, None]  # the first is nobody's
        erased, eraser = shares.min(-1)
        increase, frozen = self._read(some, carried)
        numbers = torch.stack(
            [
                increase,
                frozen,
                self._live(some),
                1 + shares.sum(-1),
                self._overlap(some, carried),
            ],
            1,
        )
        who = [([None, *names])[i] for i in eraser.tolist()]
        return [(*row, name, share) for row, name, share in zip(numbers.tolist(), who, erased.tolist(), strict=True)]

    def _carried(self, some: _Some) -> Tensor:
        """The vectors as they are at the last point."""
        run, where = self.scene.run, self._spot(some)
        point = torch.zeros_like(run.point(some.t))
        stack = torch.stack([where.onto(v[None], point) for v in some.vectors])
        return torch.cat([where.of(v) for v in push(run, stack, some.t, len(run.stream.points) - 1)])

    def _spot(self, some: _Some) -> Spots:
        return Spots(self.scene.spots.at[some.place][None], self.scene.spots.sizes)

    def _overlap(self, some: _Some, carried: Tensor) -> Tensor:
        square = carried.square().sum(-1)
        return carried @ self._last[some.place] / torch.where(square == 0, 1.0, square)

    def _read(self, some: _Some, carried: Tensor) -> tuple[Tensor, Tensor]:
        """What is gained as each is added to the stream before its write, and lost as it is taken out of the last point."""
        x, last = self._before.get(some.write.label), len(self.scene.run.stream.points) - 1
        where = torch.full((len(carried) + 1,), some.place, device=carried.device)
        nothing = torch.zeros_like(carried[:1])
        start = self.scene.spots.of(self.scene.run.point(0))[some.place] - some.vectors if x is None else x[some.place]
        asked = [(some.t, where[1:], start + some.vectors), (some.t, where[1:], start.expand_as(some.vectors))]
        asked.append((last, where, self._last[some.place] - torch.cat([nothing, carried])))
        with_it, without, (whole, *gone) = self.scene.reading.values(asked, self.scene.goal)
        return with_it - without, whole - torch.stack(gone)

    def _live(self, some: _Some) -> Tensor:
        """What is lost in a run where each is taken out where it enters."""
        goal = self.scene.goal.at(torch.tensor([some.place], device=some.vectors.device))
        outputs, own = self._without.outputs(some.t, self._spot(some).at, some.vectors[:, None])
        before, *after = goal.value(torch.stack([goal.logits(each) for each in (own, *outputs)]).double())
        return before - torch.cat(after)
