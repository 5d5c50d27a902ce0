"""Turns writes into numbers about a prediction."""

from ._additivity import Sums, additivity
from ._bend import Bend, bend
from ._dla import direct
from ._goal import Goal
from ._lens import NORMS, Lens, lens
from ._norm_linearity import Linearity, norm_linearity
from ._queries import Queries, Switch, Value, queries, switched_on
from ._registry import Choices, Score, score_named, scores, top
from ._said import likeliest
from ._words import OF, Words, component, ends, stacked, values, vectors, words

__all__ = [
    "NORMS",
    "OF",
    "Bend",
    "Choices",
    "Goal",
    "Lens",
    "Linearity",
    "Queries",
    "Score",
    "Sums",
    "Switch",
    "Value",
    "Words",
    "additivity",
    "bend",
    "component",
    "direct",
    "ends",
    "lens",
    "likeliest",
    "norm_linearity",
    "queries",
    "score_named",
    "scores",
    "stacked",
    "switched_on",
    "top",
    "values",
    "vectors",
    "words",
]
