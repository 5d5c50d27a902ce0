"""Probability increase: how much more probability the target has as a part is added to what the stream was before it.

score(v) = p(w | x + v) - p(w | x). Low where p(w | x) is: it misses what early layers do, which is why Yu and Ananiadou
(arXiv 2312.12141) take logarithms.
"""

import torch

from mainstem.core import Parts
from mainstem.stream import Pass

from ._goal import Goal
from ._increase import WITHIN, increase, opened_scene
from ._registry import Choices, Score


@torch.no_grad()
def _rows(run: Pass, goal: Goal, choices: Choices) -> Parts:
    within = WITHIN if choices.within is None else choices.within
    return increase(opened_scene(run, goal, choices, parts=choices.base != "last"), choices.level, within, torch.exp, SCORE.name)


SCORE = Score(
    "prob_increase",
    "How much more probability the target has when the part is added to what the stream was before it.",
    "probability",
    _rows,
    ("base", "norm", "norm_bias", "within"),
)
