"""Curves along the stream: what stays of a write, where a loss looks, how a change grows, point by point."""

from typing import Any

from mainstem.core import InputError

from ._altair import Chart, altair
from ._svg import number
from ._tables import every, own_heading, table
from ._theme import hues

WIDE, HIGH, TICKS = 620, 280, 14
_NORMS = {"live": "norms live", "frozen": "norms frozen", "absent": "norms absent"}


def persistence(data: Any, title: str = "What stays of it", about: str | None = None) -> Chart:
    """How much of a component the stream holds at every later point: kept and overlap, beside 1, what was added, and 0, nothing.

    Parameters: `data`, a frame of `Trace.persistence`, or records with point, kept and overlap, of one component or several; `title`;
    `about`, lines below it, by default what the frame is of. Raises `InputError` for an empty table, numbers that are not finite, or
    where altair is missing.
    """
    frame = table(data, ("kept", "overlap"), ("point",))
    several = "component" in frame.columns and frame["component"].n_unique() > 1
    names = {"kept": "kept: 1 + what later writes add along it", "overlap": "overlap: what the stream holds along it"}
    rows = [
        {"point": row["point"], "value": row[name], "series": f"{row['component']}, {name}" if several else said}
        for name, said in names.items()
        for row in frame.to_dicts()
    ]
    one = "" if several or "component" not in frame.columns else f" of {frame['component'][0]}"
    return _drawn(rows, own_heading(frame, f"{title}{one}", about, WIDE), "share of what was added", held=(0.0, 1.0))


def gradients(data: Any, title: str = "What the loss looks at", about: str | None = None) -> Chart:
    """|dL/dx| at every point with the gradient through the skips and without it, on a scale of decades: a root of the sum of squares over places.

    Points at which it is zero, which a scale of decades has no place for, are left out.

    Parameters: `data`, a frame of `Trace.gradients`, or records with point, skip and blocks; `title`; `about`, as of `persistence`.
    Raises `InputError` for an empty table, several prompts, numbers that are not finite, or where all are zero, or altair is missing.
    """
    frame = table(data, ("skip", "blocks"), ("point",))
    if "prompt" in frame.columns and (n := frame["prompt"].n_unique()) > 1:
        raise InputError(f"this chart shows one prompt; here are {n}: filter the table, frame.filter(pl.col('prompt') == 0).")
    sums: dict[tuple[str, str], float] = {}
    for name, said in {"skip": "through skips and blocks", "blocks": "through blocks alone"}.items():
        for row in frame.to_dicts():
            sums[row["point"], said] = sums.get((row["point"], said), 0.0) + row[name] ** 2
    rows = [{"point": point, "value": value**0.5, "series": said} for (point, said), value in sums.items()]
    return _drawn(rows, own_heading(frame, title, about, WIDE), "length of the loss's gradient", log=True)


def growth(data: Any, title: str = "How a small change grows", about: str | None = None) -> Chart:
    """The size of a change at every point over that where it was made, a line for each rule of norms, on a scale of decades.

    Parameters: `data`, a frame of `Trace.perturbed`, or records with point, norms and growth; `title`; `about`, as of `persistence`.
    Raises `InputError` for an empty table, numbers that are not finite, or where all are zero, or altair is missing.
    """
    frame = table(data, ("growth",), ("point", "norms"))
    rows = [{"point": r["point"], "value": r["growth"], "series": _NORMS.get(r["norms"], r["norms"])} for r in frame.to_dicts()]
    return _drawn(rows, own_heading(frame, title, about, WIDE), "size over that at the start", log=True, held=(1.0,))


def _drawn(
    rows: list[dict[str, Any]], head: dict[str, Any], measure: str, log: bool = False, held: tuple[float, ...] = ()
) -> Chart:
    """Lines over points in their order. Parameters: `rows`, of point, value and series; `head`; `measure`; `log`; `held`, lines beside them."""
    alt = altair()
    points = list(dict.fromkeys(row["point"] for row in rows))
    rows = [
        row | {"said": f"{row['series']}, {row['point']}: {number(row['value'], 4)}"}
        for row in rows
        if not log or row["value"] > 0
    ]
    if not rows:
        raise InputError("there is nothing to draw: every number is zero.")
    series = list(dict.fromkeys(row["series"] for row in rows))
    named = [points[i] for i in every(len(points), TICKS)]
    x = alt.X("point:N", sort=points, title=None, axis=alt.Axis(values=named, labelAngle=-40), scale=alt.Scale(domain=points))
    up = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=True)
    y = alt.Y("value:Q", title=measure, scale=up, axis=alt.Axis(format="~g", tickCount=6))
    legend = (
        alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=3, labelLimit=0) if len(series) > 1 else None
    )
    colour = alt.Color("series:N", scale=alt.Scale(domain=series, range=hues(len(series))), legend=legend)
    base = alt.Chart(alt.Data(values=rows), width=WIDE, height=HIGH).encode(x=x, y=y, color=colour, description="said:N")
    tips = ["series:N", "point:N", alt.Tooltip("value:Q", format=".4~g", title=measure)]
    lines = base.mark_line(strokeWidth=2, aria=False) + base.mark_circle(size=30, opacity=1).encode(tooltip=tips)
    rules = [
        alt.Chart(alt.Data(values=[{}]))
        .mark_rule(strokeDash=[5, 4], aria=False)
        .encode(y=alt.datum(value), opacity=alt.value(0.5))
        for value in held
    ]
    return Chart(alt.layer(*rules, lines).properties(title=head))
