"""Turns writes into numbers about a prediction."""

from ._dla import direct
from ._goal import Goal
from ._lens import NORMS, Lens, lens
from ._registry import Choices, Score, score_named, scores, top
from ._words import OF, Words, component, values, words

__all__ = [
    "NORMS",
    "OF",
    "Choices",
    "Goal",
    "Lens",
    "Score",
    "Words",
    "component",
    "direct",
    "lens",
    "score_named",
    "scores",
    "top",
    "values",
    "words",
]
