"""Variants of an experiment: a number of each with its interval, and loss against size with the curve of the vanilla ones."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mainstem.core import InputError

from ._altair import Chart, altair
from ._tables import heading
from ._theme import colours, hues

WIDE, ROW, HIGH = 560, 22, 320
Rows = Iterable[Mapping[str, Any]]


def intervals(rows: Rows, outcome: str, title: str, about: str = "") -> Chart:
    """A point with its interval for each variant, in their order, and a faint dot for each seed.

    Parameters: `rows`, records with variant, mean, low, high and values, a list of one number a seed; `outcome`, what they are of; `title`;
    `about`, lines below it. Raises `InputError` where no variant has a mean, and where altair is missing.
    """
    alt = altair()
    shown = [dict(row) for row in rows if row["mean"] is not None]
    if not shown:
        raise InputError("there is nothing to draw: no variant has a run that is done.")
    names, ink = [row["variant"] for row in shown], hues(1)[0]
    y = alt.Y("variant:N", sort=names, title=None, axis=alt.Axis(labelLimit=320))
    across = alt.Scale(zero=False, nice=True)
    dots = [{"variant": row["variant"], "value": value} for row in shown for value in row["values"]]
    seeds = alt.Chart(alt.Data(values=dots)).mark_circle(size=22, opacity=0.35, color=colours()["muted"])
    base = alt.Chart(alt.Data(values=shown)).encode(y=y)
    drawn = alt.layer(
        seeds.encode(y=y, x=alt.X("value:Q", title=outcome, scale=across)),
        base.mark_rule(strokeWidth=2, color=ink).encode(x=alt.X("low:Q", scale=across), x2="high:Q"),
        base.mark_circle(size=70, color=ink).encode(x="mean:Q"),
    )
    return Chart(drawn.properties(width=WIDE, height=ROW * len(shown), title=heading(title, about, WIDE)))


def against(rows: Rows, curve: Sequence[str], x: str, outcome: str, title: str, about: str = "") -> Chart:
    """Each run by a size on a logarithmic axis and its outcome; vanilla variants joined by a line through their means.

    Parameters: `rows`, records with variant, x and y, one a run; `curve`, the vanilla variants; `x`, the size's name; `outcome`; `title`;
    `about`, lines below it. Raises `InputError` where there is no run, and where altair is missing.
    """
    alt = altair()
    shown = [dict(row) | {"kind": "vanilla" if row["variant"] in curve else row["variant"]} for row in rows]
    if not shown:
        raise InputError("there is nothing to draw: no run is done.")
    kinds = list(dict.fromkeys(row["kind"] for row in shown))
    colour = alt.Color(
        "kind:N", scale=alt.Scale(domain=kinds, range=hues(len(kinds))), legend=alt.Legend(title=None, labelLimit=0)
    )
    across = alt.X("x:Q", title=x, scale=alt.Scale(type="log", nice=False, padding=12), axis=alt.Axis(format="~s"))
    up = alt.Y("y:Q", title=outcome, scale=alt.Scale(zero=False))
    points = alt.Chart(alt.Data(values=shown)).mark_circle(size=55, opacity=0.8).encode(x=across, y=up, color=colour)
    means = [_mean([row for row in shown if row["variant"] == name]) for name in curve]
    line = alt.Chart(alt.Data(values=[m for m in means if m])).mark_line(
        color=hues(len(kinds))[kinds.index("vanilla")] if curve else "grey"
    )
    drawn = alt.layer(line.encode(x=across, y=up), points) if any(means) else points
    return Chart(drawn.properties(width=WIDE, height=HIGH, title=heading(title, about, WIDE)))


def _mean(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in ("x", "y")} if rows else {}
