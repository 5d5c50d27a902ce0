"""Turns points into numbers about a distribution: mergeable, tensors in, numbers out."""

from ._apart import first_apart
from ._coherence import Coherence, coherence_of
from ._fused import Fused
from ._kurtosis import rotated_mean, rotated_scatter
from ._llm_int8 import outlier_dimensions
from ._measure import Measure, Pair
from ._principal import Principal, principal, signed
from ._registry import measure_named, measures, pairs
from ._rotation import directions
from ._shift import FullShift, Shift, bures, shift_by
from ._state import State
from ._subspace import captured, leading, principal_angles, project, span

__all__ = [
    "Coherence",
    "FullShift",
    "Fused",
    "Measure",
    "Pair",
    "Principal",
    "Shift",
    "State",
    "bures",
    "captured",
    "coherence_of",
    "directions",
    "first_apart",
    "leading",
    "measure_named",
    "measures",
    "outlier_dimensions",
    "pairs",
    "principal",
    "principal_angles",
    "project",
    "rotated_mean",
    "rotated_scatter",
    "shift_by",
    "signed",
    "span",
]
