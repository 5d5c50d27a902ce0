"""Log-probability increase: how much likelier the target becomes as a part is added to what the stream was before it.

score(v) = log p(w | x + v) - log p(w | x), p(. | y) = softmax(U n(y) + b). Source: Yu and Ananiadou, arXiv 2312.12141. Their
released code freezes the final norm at the final state and leaves its bias out: norm="final", norm_bias=False.
"""

import torch

from mainstem.core import Parts, Tops
from mainstem.stream import Pass

from ._certify import best
from ._goal import Goal
from ._increase import WITHIN, increase, opened_scene
from ._registry import Choices, Score


@torch.no_grad()
def _rows(run: Pass, goal: Goal, choices: Choices) -> Parts:
    within = WITHIN if choices.within is None else choices.within
    return increase(
        opened_scene(run, goal, choices, parts=choices.base != "last"), choices.level, within, lambda logprob: logprob, SCORE.name
    )


@torch.no_grad()
def _top(run: Pass, goal: Goal, choices: Choices, k: int) -> Tops:
    return best(opened_scene(run, goal, choices, parts=choices.level != "write"), choices.level, k)


SCORE = Score(
    "logprob_increase",
    "How much likelier the target becomes, in nats, when the part is added to what the stream was before it.",
    "nats",
    _rows,
    ("base", "norm", "norm_bias", "within"),
    _top,
)
