"""Turns writes into numbers about a prediction."""

from ._additivity import Sums, additivity
from ._backtrack import Backtrack, Origin, backtrack
from ._backward import Gradient, backward
from ._bend import Bend, bend
from ._caveats import Caveat, caveats
from ._composition import VIA, Composition, composition, virtual_weights
from ._dla import direct
from ._erasers import Eraser, erasers, presence
from ._goal import Goal
from ._lens import NORMS, Lens, lens
from ._norm_linearity import Linearity, norm_linearity
from ._patching import METRICS, Patched, attributed, exact, patched, ranked, scored
from ._persistence import Left, Taken, persistence, taken
from ._queries import Queries, Switch, Value, queries, switched_on
from ._reader import unembedding
from ._registry import Choices, Score, score_named, scores, top
from ._regression import Moments
from ._said import likeliest, read_out
from ._translators import Translators, no_translators
from ._tuned import Descent, divergences, gradients
from ._words import OF, Words, component, ends, values, vectors, words

__all__ = [
    "METRICS",
    "NORMS",
    "OF",
    "VIA",
    "Backtrack",
    "Bend",
    "Caveat",
    "Choices",
    "Composition",
    "Descent",
    "Eraser",
    "Goal",
    "Gradient",
    "Left",
    "Lens",
    "Linearity",
    "Moments",
    "Origin",
    "Patched",
    "Queries",
    "Score",
    "Sums",
    "Switch",
    "Taken",
    "Translators",
    "Value",
    "Words",
    "additivity",
    "attributed",
    "backtrack",
    "backward",
    "bend",
    "caveats",
    "component",
    "composition",
    "direct",
    "divergences",
    "ends",
    "erasers",
    "exact",
    "gradients",
    "lens",
    "likeliest",
    "no_translators",
    "norm_linearity",
    "patched",
    "persistence",
    "presence",
    "queries",
    "ranked",
    "read_out",
    "score_named",
    "scored",
    "scores",
    "switched_on",
    "taken",
    "top",
    "unembedding",
    "values",
    "vectors",
    "virtual_weights",
    "words",
]
