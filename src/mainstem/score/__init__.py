"""Turns writes into numbers about a prediction."""

from ._dla import direct
from ._goal import Goal
from ._lens import NORMS, Lens, lens
from ._words import Words, component, words

__all__ = ["NORMS", "Goal", "Lens", "Words", "component", "direct", "lens", "words"]
