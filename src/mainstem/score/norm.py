"""Norm: how long a part's vector is without its coefficient, such as a neuron's row of W_out: the same in every prompt.

score(v) = |u| where v = m u, m the coefficient of this run: a neuron's activation, an attention weight, a number of a head's
result. A part whose writer does not keep these two apart (a whole write, a head, what a norm follows before it is added) has
no coefficient of its own and scores |v|; the writes of which this holds are named in the choices, as `unfactored`.
"""

import torch

from mainstem.core import Parts
from mainstem.stream import Pass

from ._goal import Goal
from ._lengths import lengths
from ._registry import Choices, Score


@torch.no_grad()
def _rows(run: Pass, goal: Goal, choices: Choices) -> Parts:
    return lengths(run, goal, choices.level, SCORE.name, coefficient=False)


SCORE = Score("norm", "How long the part's vector is without its coefficient.", "length", _rows, aimed=False)
