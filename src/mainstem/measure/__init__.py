"""Turns points into numbers about a distribution: mergeable, tensors in, numbers out."""

from ._fused import Fused
from ._measure import Measure, Pair
from ._registry import measure_named, measures, pairs
from ._state import State

__all__ = ["Fused", "Measure", "Pair", "State", "measure_named", "measures", "pairs"]
