"""Trains variants with many seeds, repeats the experiments that the sources tell of, and keeps their ledger."""

from ._config import VariantConfig, parameters
from ._do import run, sweep
from ._explain import Explained, explained
from ._findings import Findings
from ._kinds import kind
from ._ledger import Ledger, ledger
from ._measured import Measured
from ._optimizers import RotatedAdam
from ._setup import Plan, Setup, Training, grid
from ._shapley import shapley
from ._shares import parameter_shares
from ._statistics import Comparison, Interval, between, compare, holm, interval
from ._transformer import Block, Variant, folded
from .recipes import recipe, recipes

__all__ = [
    "Block",
    "Comparison",
    "Explained",
    "Findings",
    "Interval",
    "Ledger",
    "Measured",
    "Plan",
    "RotatedAdam",
    "Setup",
    "Training",
    "Variant",
    "VariantConfig",
    "between",
    "compare",
    "explained",
    "folded",
    "grid",
    "holm",
    "interval",
    "kind",
    "ledger",
    "parameter_shares",
    "parameters",
    "recipe",
    "recipes",
    "run",
    "shapley",
    "sweep",
]
