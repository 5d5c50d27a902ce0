"""Trains variants with many seeds, repeats the experiments that the sources tell of, and keeps their ledger."""

from ._config import VariantConfig, parameters
from ._do import run, sweep
from ._findings import Findings
from ._optimizers import RotatedAdam
from ._setup import Plan, Setup, Training, grid
from ._shares import parameter_shares
from ._statistics import Comparison, Interval, compare, holm, interval
from ._transformer import Variant, folded
from .recipes import recipe, recipes

__all__ = [
    "Comparison",
    "Findings",
    "Interval",
    "Plan",
    "RotatedAdam",
    "Setup",
    "Training",
    "Variant",
    "VariantConfig",
    "compare",
    "folded",
    "grid",
    "holm",
    "interval",
    "parameter_shares",
    "parameters",
    "recipe",
    "recipes",
    "run",
    "sweep",
]
