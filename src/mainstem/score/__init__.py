"""Turns writes into numbers about a prediction."""

from ._dla import direct
from ._goal import Goal
from ._lens import NORMS, Lens, lens
from ._queries import Queries, Switch, Value, queries, switched_on
from ._reader import unembedding
from ._registry import Choices, Score, score_named, scores, top
from ._regression import Moments
from ._translators import Translators, no_translators
from ._tuned import Descent, divergences, gradients
from ._words import Words, component, words

__all__ = [
    "NORMS",
    "Choices",
    "Descent",
    "Goal",
    "Lens",
    "Moments",
    "Queries",
    "Score",
    "Switch",
    "Translators",
    "Value",
    "Words",
    "component",
    "direct",
    "divergences",
    "gradients",
    "lens",
    "no_translators",
    "queries",
    "score_named",
    "scores",
    "switched_on",
    "top",
    "unembedding",
    "words",
]
