"""Turns writes into numbers about a prediction."""

from ._dla import direct
from ._goal import Goal
from ._lens import NORMS, Lens, lens, likeliest
from ._queries import switched_on
from ._registry import Choices, Score, score_named, scores, top
from ._words import OF, Words, component, ends, stacked, values, vectors, words

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
    "ends",
    "lens",
    "likeliest",
    "score_named",
    "scores",
    "stacked",
    "switched_on",
    "top",
    "values",
    "vectors",
    "words",
]
