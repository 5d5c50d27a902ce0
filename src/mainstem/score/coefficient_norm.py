"""Coefficient x norm: how long a part's vector is as it is added to the stream.

score(v) = |v| = |m| |u|, m the coefficient of this run and u the vector without it. Source: Geva et al., arXiv 2203.14680.
"""

import torch

from mainstem.core import Parts
from mainstem.stream import Pass

from ._goal import Goal
from ._lengths import lengths
from ._registry import Choices, Score


@torch.no_grad()
def _rows(run: Pass, goal: Goal, choices: Choices) -> Parts:
    return lengths(run, goal, choices.level, SCORE.name, coefficient=True)


SCORE = Score("coefficient_norm", "How long the part's vector is as it is added to the stream.", "length", _rows, aimed=False)
