"""How what was found is held against what was claimed: the value in words, and a verdict."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ._findings import Findings
from ._statistics import Comparison, Interval, between, compare, interval
from ._store import Record

CONFIRMED, NOT, UNJUDGED, OPEN = "confirmed", "not confirmed", "not judged", "cannot be run here"
FAR = "confirmed as far as 5 seeds tell"  # of claims that there is no difference, which no test can show


class Judged(NamedTuple):
    """What we found, in words, and the verdict."""

    ours: str
    verdict: str


Judge = Callable[[Findings], Judged]
Number = Callable[[Record], float]  # of one run; NaN where it has none


def at_end(name: str, site: str | None = None) -> Number:
    """A number that was seen when the training ended: at a site, or the mean over all that have it. Parameters: `name`; `site`."""

    def number(record: Record) -> float:
        last = max((row.step for row in record.rows), default=0)
        found = [row.value for row in record.rows if row.name == name and row.step == last and site in (None, row.site)]
        return math.fsum(found) / len(found) if found else math.nan

    return number


def outcome(name: str) -> Number:
    """What a run came to. Parameters: `name`."""
    return lambda record: record.numbers.get(name, math.nan)


def values(findings: Findings, variant: str, number: Number) -> dict[int, float]:
    """A number of each run that is done and has it, by seed. Parameters: `findings`; `variant`; `number`."""
    done = [r for r in findings.records if r.about["variant"] == variant and r.about["status"] == "done"]
    found = {record.about["seed"]: number(record) for record in done}
    return {seed: value for seed, value in found.items() if not math.isnan(value)}


def compared(findings: Findings, pairs: Iterable[tuple[str, str]], number: Number) -> dict[tuple[str, str], Comparison]:
    """Variants seed by seed, Holm over these pairs; those without two seeds in common are left out.

    Parameters: `findings`; `pairs`; `number`.
    """
    found = {}
    for a, b in pairs:
        one, other = values(findings, a, number), values(findings, b, number)
        seeds = sorted(one.keys() & other.keys())
        if len(seeds) > 1:
            found[a, b] = [one[s] for s in seeds], [other[s] for s in seeds]
    return dict(zip(found, compare(list(found.values())), strict=True))


def difference(pairs: Iterable[tuple[str, str]], number: Number, wanted: str) -> Judge:
    """Confirmed where every pair differs in the direction that was claimed. Parameters: `pairs`; `number`; `wanted`, "lower" or "higher"."""
    asked = tuple(pairs)

    def judge(findings: Findings) -> Judged:
        tests = compared(findings, asked, number)
        if not tests:
            return Judged("no runs", OPEN)
        shown = "; ".join(f"{a} - {b}: {said(one)}" for (a, b), one in tests.items())
        return Judged(shown, CONFIRMED if all(one.verdict == wanted for one in tests.values()) else NOT)

    return judge


def no_difference(pairs: Iterable[tuple[str, str]], number: Number, feared: str) -> Judge:
    """Of claims that something does no harm: not confirmed where some pair differs in the direction that would contradict it.

    Where none does, what can be said is only that no such difference was shown.

    Parameters: `pairs`; `number`; `feared`, "lower" or "higher".
    """
    asked = tuple(pairs)

    def judge(findings: Findings) -> Judged:
        tests = compared(findings, asked, number)
        if not tests:
            return Judged("no runs", OPEN)
        shown = "; ".join(f"{a} - {b}: {said(one)}" for (a, b), one in tests.items())
        return Judged(shown, NOT if any(one.verdict == feared for one in tests.values()) else FAR)

    return judge


def above(variants: Iterable[str], number: Number, line: float = 0.0) -> Judge:
    """Confirmed where the interval of every variant lies above a line. Parameters: `variants`; `number`; `line`."""
    asked = tuple(variants)

    def judge(findings: Findings) -> Judged:
        found = {v: interval(list(some.values())) for v in asked if len(some := values(findings, v, number)) > 1}
        if not found:
            return Judged("no runs", OPEN)
        shown = "; ".join(f"{variant}: {meant(one)}" for variant, one in found.items())
        return Judged(shown, CONFIRMED if all(one.low > line for one in found.values()) else NOT)

    return judge


def said(one: Comparison) -> str:
    """A comparison in words. Parameters: `one`."""
    words = one.verdict if one.verdict == "no difference shown" else f"p = {one.corrected:.2g}"
    return f"{one.difference.mean:+.3g} {between(one.difference.low, one.difference.high, '+.3g')}, {words}"


def meant(one: Interval) -> str:
    """A mean with its interval. Parameters: `one`."""
    return f"{one.mean:.3g} {between(one.low, one.high)}"
