"""How far variants are from the curve that others make: loss against parameters, hours or tokens."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from mainstem.core import InputError

from ._setup import Plan
from ._statistics import compare

AGAINST = ("parameters", "hours", "tokens")
ByVariant = dict[str, dict[int, float]]


def interpolated(at: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """The value of a curve between its points, straight in log x; NaN outside of them, where nothing was measured.

    Parameters: `at`; `xs`, above 0, and `ys`, the curve's points.
    """
    points = sorted(zip(xs, ys, strict=True))
    for (x, y), (right, other) in pairwise(points):
        if x <= at <= right:
            share = 0.0 if x == right else math.log(at / x) / math.log(right / x)
            return y + share * (other - y)
    return math.nan


def distances(plan: Plan, outcome: ByVariant, sizes: ByVariant, against: str) -> Any:
    """A polars frame: how far each variant lies above (+) or below (-) the curve of the plan's own kind, with a paired test over seeds.

    For seed s, d_s = outcome_s - curve_s(x_s), the curve straight in log x between the vanilla variants of the same seed, so that seed noise is
    in it; variants beyond the curve's ends have none.

    Parameters: `plan`, with a `curve`; `outcome` and `sizes`, numbers by variant and seed; `against`, what the sizes are.

    Raises `InputError` for a plan that has no curve, and for another number.
    """
    import polars

    if against not in AGAINST:
        raise InputError(f"against is {against!r}: choose {', '.join(AGAINST)}.")
    if not plan.curve:
        raise InputError(f"{plan.name} has no vanilla variants to make a curve of: give its plan a `curve`.")
    found: dict[str, tuple[list[float], list[float]]] = {}
    for variant in (name for name in plan.setups if name not in plan.curve):
        pairs = [(value, _at(plan, outcome, sizes, variant, seed)) for seed, value in sorted(outcome[variant].items())]
        known = [(a, b) for a, b in pairs if not math.isnan(b)]
        if len(known) > 1:
            found[variant] = [a for a, _ in known], [b for _, b in known]
    tests = compare(list(found.values()))
    rows = []
    for variant, one in zip(found, tests, strict=True):
        d = one.difference
        rows.append({"variant": variant, "against": against, "distance": d.mean, "low": d.low, "high": d.high, "seeds": d.n})
        rows[-1] |= {"p_holm": one.corrected, "effect": one.effect, "verdict": one.verdict}
    return polars.DataFrame(rows)


def _at(plan: Plan, outcome: ByVariant, sizes: ByVariant, variant: str, seed: int) -> float:
    points = [(sizes[v][seed], outcome[v][seed]) for v in plan.curve if seed in outcome[v]]
    return interpolated(sizes[variant][seed], *zip(*points, strict=True)) if points else math.nan
