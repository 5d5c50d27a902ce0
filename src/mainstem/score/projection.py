"""Projection share: how much of the last point a part makes up, along that point itself.

score(v) = <A v, x_L> / |x_L|^2, x_L the sum at the last point, A all that lies between the part and it, frozen at this input.
The entry, the parts of writes and the constants of transports sum to 1; in a cell of several places it is their mean.
"""

from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from mainstem.core import Parts, bound, error
from mainstem.stream import Aimed, Pass, Spots, Sweep, pull, rows, spots

from ._components import along
from ._goal import Goal
from ._increase import Scored
from ._registry import Choices, Score


@torch.no_grad()
def _rows(run: Pass, goal: Goal, choices: Choices) -> Parts:
    where, mean = spots(run, goal.places), _averaged(goal)
    sweep = pull(run, _itself(run, where))
    found = rows(run, len(run.stream.points) - 1)
    at = {row.write.label: where.of(sweep.at[row.start]) for row in found if row.write is not None}
    opened = {write.label: some for write, some in along(run, choices.level, where, at)}
    scored, size = [], torch.zeros(len(where), dtype=torch.float64, device=where.at.device)
    for row in found:
        each = where.of(_direction(sweep, row.label, row.start)) * where.of(row.vector)
        size = size + each.abs().sum(-1)
        scored += opened[row.label] if row.write is not None else [Scored(row.label, row.kind, (), (), each.sum(-1)[None])]
    groups = tuple(one.group(mean) for one in scored)
    whole = mean.total(torch.ones_like(size))
    parts = Parts(groups, whole, ("batch", "pos")[: len(goal.shape)], 0.0, 0.0, {"by": SCORE.name, "level": choices.level})
    total = parts.sum()
    assert isinstance(total, Tensor)
    return replace(parts, error=error(total, whole), bound=bound(run.dtype, mean.total(size))).checked()


def _averaged(goal: Goal) -> Goal:
    """The goal with places that are averaged, not summed, in their cell."""
    count = goal.weights.new_zeros(prod(goal.shape)).index_add(0, goal.owner, goal.weights)
    return replace(goal, weights=goal.weights / count[goal.owner].clamp_min(1))


def _itself(run: Pass, where: Spots) -> Aimed:
    """The last point at the places, over its squared length there."""
    point = run.point(len(run.stream.points) - 1)
    x = where.of(point)
    square = x.square().sum(-1, keepdim=True)
    share = where.onto(x / torch.where(square == 0, 1.0, square), torch.zeros_like(point))
    return Aimed((), share, point, len(run.stream.points) - 1)


def _direction(sweep: Sweep, label: str, start: int) -> Tensor:
    return next((g for name, _, g in sweep.constants if name == label), sweep.at[start])


SCORE = Score("projection", "How much of the last point the part makes up, along that point itself.", "share", _rows, aimed=False)
