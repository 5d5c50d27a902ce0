"""What may be said of two variants: an interval, a paired test, an effect size, and a correction for many comparisons."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mainstem.core import InputError

from ._extras import needed

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with the interval of Student's t. Parameters: `mean`; `low`; `high`, NaN with one value; `n`, values."""

    mean: float
    low: float
    high: float
    n: int


def between(low: float, high: float, form: str = ".3g") -> str:
    """An interval in words; of one value there is none. Parameters: `low`; `high`; `form`, of numbers."""
    return f"[{low:{form}}, {high:{form}}]" if math.isfinite(low + high) else "(one value, no interval)"


@dataclass(frozen=True)
class Comparison:
    """Two variants with the same seeds.

    d_s = a_s - b_s for seed s, t = mean d / (sd d / sqrt n), effect = mean d / sd d (Cohen's d_z) times 1 - 3 / (4 n - 5) (Hedges).

    Parameters: `difference`, mean d with its interval; `p`, of the two-sided t test, as it is; `corrected`, after Holm over all
    comparisons of the experiment; `effect`; `verdict`, "lower", "higher" or "no difference shown".
    """

    difference: Interval
    p: float
    corrected: float
    effect: float
    verdict: str


def interval(values: Sequence[float]) -> Interval:
    """mean +- t sd / sqrt n at 95 %.

    Parameters: `values`. Raises `InputError` for none.
    """
    if not values:
        raise InputError("there is no value to take a mean of: have all runs failed?")
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Interval(mean, math.nan, math.nan, n)
    half = float(needed("scipy.stats").t.ppf((1 + LEVEL) / 2, n - 1)) * _deviation(values) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def compare(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> list[Comparison]:
    """Each pair of samples, value by value, with p values corrected for their number.

    Parameters: `pairs`, (a, b) of equal length and at least two. Raises `InputError` for others.
    """
    tests = [_paired(a, b) for a, b in pairs]
    corrected = holm([p for _, p, _ in tests])
    return [
        Comparison(d, p, adjusted, effect, _verdict(d.mean, adjusted))
        for (d, p, effect), adjusted in zip(tests, corrected, strict=True)
    ]


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction: the k-th smallest of m is multiplied by m - k + 1, never falling, at most 1.

    Source: Holm 1979. Parameters: `p`, values of tests, NaN where there was none, which stay so and do not count.
    """
    order = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    found, least = list(p), 0.0
    for k, (value, i) in enumerate(order):
        least = max(least, min(1.0, value * (len(order) - k)))
        found[i] = least
    return found


def _paired(a: Sequence[float], b: Sequence[float]) -> tuple[Interval, float, float]:
    if len(a) != len(b) or len(a) < 2:
        raise InputError(f"a paired test needs the same seeds in both, two at least, not {len(a)} and {len(b)}.")
    differences = [x - y for x, y in zip(a, b, strict=True)]
    found, deviation, n = interval(differences), _deviation(differences), len(differences)
    if deviation == 0:  # all differences are equal: none, or a certain one
        return found, 1.0 if found.mean == 0 else 0.0, 0.0 if found.mean == 0 else math.copysign(math.inf, found.mean)
    t = found.mean / (deviation / math.sqrt(n))
    p = 2 * float(needed("scipy.stats").t.sf(abs(t), n - 1))
    return found, p, found.mean / deviation * (1 - 3 / (4 * n - 5))


def _deviation(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (len(values) - 1))


def _verdict(mean: float, p: float) -> str:
    if not p < 1 - LEVEL:
        return "no difference shown"
    return "lower" if mean < 0 else "higher"
