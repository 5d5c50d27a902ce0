"""Turns writes into numbers about a prediction."""

from ._dla import direct
from ._lens import NORMS, Lens, lens
from ._queries import switched_on
from ._words import Words, component, words

__all__ = ["NORMS", "Lens", "Words", "component", "direct", "lens", "switched_on", "words"]
