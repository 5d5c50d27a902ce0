"""Turns writes into numbers about a prediction."""

from ._dla import direct
from ._goal import Goal
from ._lens import NORMS, Lens, lens
from ._queries import Queries, Switch, Value, queries, switched_on
from ._registry import Choices, Score, score_named, scores, top
from ._words import Words, component, words

__all__ = [
    "NORMS",
    "Choices",
    "Goal",
    "Lens",
    "Queries",
    "Score",
    "Switch",
    "Value",
    "Words",
    "component",
    "direct",
    "lens",
    "queries",
    "score_named",
    "scores",
    "switched_on",
    "top",
    "words",
]
