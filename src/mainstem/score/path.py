"""Path score: the gradient of the target's log-probability along the way that a block's writes move the stream, shared out.

score(v) = integral over a from 0 to 1 of <grad log p(w | x + a W), v> da, x the stream before the block and W the sum of its writes:
Aumann and Shapley's prices, the continuous form of Shapley values (and integrated gradients from x to x + W, Sundararajan et al.,
arXiv 1703.01365). The parts of a write sum to its score, the writes of a block to what the block gains, transports are rows of
their own. Where something lies between a block's writes, such as the norm of a post-norm model, they are taken one by one.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mainstem.core import Group, InputError, Parts, bound, error
from mainstem.stream import Pass, Spots, spots

from ._components import along
from ._goal import Goal
from ._path import Change, Leg, course, mean_slopes
from ._reading import Reading, reading
from ._registry import Choices, Score

WITHIN = 1e-6  # nats, of every way
BASES = ("block", "before")


@torch.no_grad()
def _rows(run: Pass, goal: Goal, choices: Choices) -> Parts:
    base, norm = choices.base or "block", choices.norm or "own"
    if base not in BASES:
        raise InputError(
            f"by='path' adds a part to the stream as it is before the block or before the write: base={BASES}, not {base!r}."
        )
    within = WITHIN if choices.within is None else choices.within
    bias = True if choices.norm_bias is None else choices.norm_bias
    where = spots(run, goal.places)
    read, way = reading(run, where, norm, bias), list(course(run, where, base == "block"))
    legs = [each for each in way if isinstance(each, Leg)]
    slopes = mean_slopes(read, legs, goal, within, run.dtype)
    directions = {write.label: g for leg, g in zip(legs, slopes, strict=True) for write in leg.writes}
    parts = {write.label: some for write, some in along(run, choices.level, where, directions)}
    *gains, gained = _gains(run, where, read, way, goal)
    groups = []
    for each, gain in zip(way, gains, strict=True):
        if isinstance(each, Change):
            groups += [Group(each.label, each.kind, goal.total(gain))] if bool((gain != 0).any()) else []
        else:
            groups += [one.group(goal) for write in each.writes for one in parts[write.label]]
    said = {"by": SCORE.name, "level": choices.level, "base": base, "norm": norm, "norm_bias": bias, "within": within}
    return _closed(run, goal, groups, gained, within * len(legs), said)


def _gains(run: Pass, where: Spots, read: Reading, way: Sequence[Leg | Change], goal: Goal) -> list[Tensor]:
    """What is gained by everything on the way, and from its beginning to its end, place by place."""
    every, last = torch.arange(len(where), device=where.at.device), len(run.stream.points) - 1
    ends = [((t, every, where.of(run.point(t)))) for t in (0, last)]
    states = [state for each in way for state in each.states(every)] + ends
    values = read.values(states, goal)
    return [after - before for before, after in zip(values[::2], values[1::2], strict=True)]


def _closed(run: Pass, goal: Goal, groups: Sequence[Group], gained: Tensor, miss: float, said: dict[str, object]) -> Parts:
    """The rows with what they sum to; `miss` is what the mean gradients of a place may be off by."""
    whole = goal.total(gained)
    parts = Parts(tuple(groups), whole, ("batch", "pos")[: len(goal.shape)], 0.0, 0.0, said)
    total = parts.sum()
    assert isinstance(total, Tensor)
    size = sum((g.flat().abs().sum(0) for g in groups), whole.abs())
    room = bound(run.dtype, size) + miss * float(goal.total(torch.ones_like(gained)).max())
    return replace(parts, error=error(total, whole), bound=room).checked()


SCORE = Score(
    "path",
    "The part's share of what its block gains the target's log-probability, in nats, along the way that the block moves the stream.",
    "nats",
    _rows,
    ("base", "norm", "norm_bias", "within"),
)
