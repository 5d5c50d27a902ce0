"""The three usual charts of Shapley values: a bar for each feature, a dot for each row and feature, rows by likeness."""

from collections.abc import Iterable, Mapping
from typing import Any

from ._altair import Chart, altair
from ._tables import heading
from ._theme import colours, hues

WIDE, ROW, HIGH = 560, 24, 260
Rows = Iterable[Mapping[str, Any]]


def feature_bars(rows: Rows, title: str, about: str = "") -> Chart:
    """A bar for each feature. Parameters: `rows`, records with feature and mean_abs, in order; `title`; `about`, lines below it."""
    alt, shown = altair(), [dict(row) for row in rows]
    y = alt.Y("feature:N", sort=[row["feature"] for row in shown], title=None)
    bars = (
        alt.Chart(alt.Data(values=shown)).mark_bar(color=hues(1)[0]).encode(x=alt.X("mean_abs:Q", title="mean |SHAP value|"), y=y)
    )
    return Chart(bars.properties(width=WIDE, height=ROW * len(shown), title=heading(title, about, WIDE)))


def beeswarm(rows: Rows, title: str, about: str = "") -> Chart:
    """A dot for each row and feature, coloured by the feature's own value; dots of one feature are spread so that none hides another.

    Parameters: `rows`, records with feature, row, shap and value; `title`; `about`, lines below it.
    """
    alt, shown = altair(), [dict(row) for row in rows]
    names = list(dict.fromkeys(row["feature"] for row in shown))
    for row in shown:  # a fixed spread by the row's number: the golden ratio's multiples never bunch
        row["lane"] = names.index(row["feature"]) + 0.6 * ((row["row"] * 0.618034) % 1 - 0.5)
    words = "".join(f"datum.value == {i} ? '{name}' : " for i, name in enumerate(names)) + "''"
    axis = alt.Axis(values=list(range(len(names))), labelExpr=words, labelLimit=200, title=None)
    y = alt.Y("lane:Q", axis=axis, scale=alt.Scale(domain=[len(names) - 0.5, -0.5], nice=False))
    paint = alt.Color("value:Q", title="feature's value", scale=alt.Scale(scheme="blueorange", domainMid=0))
    dots = (
        alt.Chart(alt.Data(values=shown))
        .mark_circle(size=26, opacity=0.8)
        .encode(x=alt.X("shap:Q", title="SHAP value"), y=y, color=paint)
    )
    return Chart(dots.properties(width=WIDE, height=ROW * len(names), title=heading(title, about, WIDE)))


def force_by_similarity(rows: Rows, base: float, title: str, about: str = "") -> Chart:
    """Each row's prediction with what pushes it up below it and what pushes it down above it; neighbours have alike explanations.

    Parameters: `rows`, records with place, prediction, up and down; `base`, the mean prediction; `title`; `about`, lines below it.
    """
    alt = altair()
    shown = [dict(row) | {"low": row["prediction"] - row["up"], "high": row["prediction"] - row["down"]} for row in rows]
    up, down = hues(2)
    base_chart = alt.Chart(alt.Data(values=shown)).encode(
        x=alt.X("place:O", title="rows, alike ones side by side", axis=alt.Axis(labels=False, ticks=False))
    )
    rule = alt.Chart(alt.Data(values=[{"base": base}])).mark_rule(strokeDash=[4, 3], color=colours()["muted"]).encode(y="base:Q")
    drawn = alt.layer(
        base_chart.mark_bar(color=up, width={"band": 1}).encode(y=alt.Y("low:Q", title="prediction"), y2="prediction:Q"),
        base_chart.mark_bar(color=down, width={"band": 1}).encode(y="prediction:Q", y2="high:Q"),
        rule,
    )
    return Chart(drawn.properties(width=WIDE, height=HIGH, title=heading(title, about, WIDE)))
