"""Turns writes into numbers about a prediction."""

from ._dla import direct
from ._goal import Goal
from ._lens import NORMS, Lens, lens
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
    "Score",
    "Translators",
    "Words",
    "component",
    "direct",
    "divergences",
    "gradients",
    "lens",
    "no_translators",
    "score_named",
    "scores",
    "top",
    "unembedding",
    "words",
]
