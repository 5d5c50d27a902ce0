"""Turns writes into numbers about a prediction."""

from ._dla import direct
from ._lens import NORMS, Lens, lens
from ._words import OF, Words, component, values, words

__all__ = ["NORMS", "OF", "Lens", "Words", "component", "direct", "lens", "values", "words"]
