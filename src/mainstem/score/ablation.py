"""Ablation: what the target's log-probability loses in a run without a part, with everything behind the part live.

score(v) = log p(w) - log p(w | v taken out of the stream where it enters). A run for each part. What lies between a part and the
stream (a routing weight, a norm inside the write) is held at this input, as in every score: where a norm follows a neuron before it
is added, this is not quite `mainstem.zero`, which zeroes it in front of that norm. Effects do not add up: later parts answer to
what is gone.
"""

import torch

from mainstem.core import InputError, Parts
from mainstem.stream import Pass

from ._ablate import ZEROED, ablation, effects
from ._goal import Goal
from ._increase import loose
from ._registry import Choices, Score


@torch.no_grad()
def _rows(run: Pass, goal: Goal, choices: Choices) -> Parts:
    zeroed = choices.zeroed or "everywhere"
    if zeroed not in ZEROED:
        raise InputError(f"zeroed is {' or '.join(map(repr, ZEROED))}, not {zeroed!r}.")
    groups = effects(ablation(run, goal, zeroed), choices.level)
    return loose(groups, goal, {"by": SCORE.name, "level": choices.level, "zeroed": zeroed})


SCORE = Score(
    "ablation",
    "What the target's log-probability loses, in nats, in a run without the part, with everything behind it live.",
    "nats",
    _rows,
    ("zeroed",),
)
