"""Turns writes into numbers about a prediction."""

from ._dla import direct
from ._lens import NORMS, Lens, lens

__all__ = ["NORMS", "Lens", "direct", "lens"]
