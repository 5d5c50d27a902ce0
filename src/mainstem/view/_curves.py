"""Curves of what a score does not say of itself: how it bends with what is there already, and how single ones add up."""

from typing import Any

from mainstem.core import InputError

from ._altair import Chart, altair
from ._svg import number
from ._tables import every, own_heading, table
from ._theme import colours

PANEL, PANELS = 320, 12
_SERIES = ("the first k together", "their best line", "if they added up")


def lower_layer_curve(data: Any, title: str = "The lower-layer problem", about: str | None = None) -> Chart:
    """Probability and log-probability of the target against what is added to its before-softmax value, a line for each layer.

    p = A e^a / (A e^a + B), a sigmoid in a, whose log has the slope 1 - p: the same value added is worth much in nats where
    the probability is low, and little where it is high. A dot is where nothing is added. Source: Yu and Ananiadou,
    arXiv 2312.12141.

    Parameters: `data`, a frame or records with layer (what layer n reads, one more for the last point), added (a, in logits),
    probability and logprob (in nats); `title`; `about`, lines below it. Where it is left out, the heading says what the
    frame is of. Raises `InputError` for an empty table, numbers that are not finite, or where altair is missing.
    """
    alt = altair()
    frame = table(data, ("layer", "added", "probability", "logprob")).sort("layer", "added")
    rows = frame.select("layer", "added", "probability", "logprob").to_dicts()
    rows = [row | {"said": f"layer {row['layer']}"} for row in rows]
    named = sorted(set(frame["layer"]))
    legend = alt.Legend(title="layer", values=[named[i] for i in every(len(named), 12)], format="d")
    ramp = alt.Scale(scheme={"name": "viridis", "extent": [0.0, 0.88]}, domain=[named[0], max(named[-1], named[0] + 1)])
    colour = alt.Color("layer:Q", scale=ramp, legend=legend)
    base = alt.Chart(alt.Data(values=rows), width=PANEL, height=260)
    panels = []
    for field, name in (("probability", "probability of the target"), ("logprob", "log-probability of the target (nats)")):
        at = base.encode(
            x=alt.X("added:Q", title="added to the before-softmax value (logit)"),
            y=alt.Y(f"{field}:Q", title=name),
            color=colour,
            detail="layer:N",
            description="said:N",
            tooltip=["layer:O", "added:Q", alt.Tooltip("probability:Q", format=".4f"), alt.Tooltip("logprob:Q", format=".4f")],
        )
        panels.append(at.mark_line(strokeWidth=2) + at.transform_filter("datum.added == 0").mark_circle(size=36, opacity=1))
    return Chart(alt.hconcat(*panels, spacing=30).properties(title=own_heading(frame, title, about, 2 * PANEL)))


def additivity(data: Any, title: str = "Do single scores add up?", about: str | None = None, unit: str = "nats") -> Chart:
    """The score of the k strongest together against the sum of their single scores, a panel for each write or layer.

    Points (c_k, t_k), c_k the sum of the first k single scores and t_k the score of the sum of their vectors; beside them their
    best line t = slope c + intercept, and the line t = c on which they would lie if scores added up.

    Parameters: `data`, a frame or records with write or layer, cumulative (c), together (t), slope, intercept and r2 (null
    where there is none), of at most 12 writes; `title`; `about`, lines below it, by default what the frame is of;
    `unit`, of the values. Raises `InputError` for an empty table, numbers that are not finite, more writes than have room, or
    where altair is missing.
    """
    alt = altair()
    frame = table(data, ("cumulative", "together", "slope", "intercept"), ("r2",))
    if not (by := next((name for name in ("write", "layer") if name in frame.columns), "")):
        raise InputError("a table for this chart says in a column 'write' or 'layer' what its rows are of.")
    parts = frame.partition_by(by, maintain_order=True)
    if len(parts) > PANELS:
        raise InputError(f"this chart has room for {PANELS} panels; here are {len(parts)} values of {by!r}: filter the table.")
    rows = [row for part in parts for row in _panel(part, by)]
    paint = [colours()["water"], colours()["ebb"], colours()["constant"]]
    legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=3)
    fields = {
        "description": "said:N",
        "x": alt.X("c:Q", title=f"sum of single scores ({unit})"),
        "y": alt.Y("t:Q", title=f"score of the sum ({unit})", axis=alt.Axis(minExtent=30, labelFlush=True)),
        "color": alt.Color("series:N", scale=alt.Scale(domain=_SERIES, range=paint), legend=legend),
        "tooltip": [alt.Tooltip(f"{name}:Q", format="+.4f", title=said) for name, said in (("c", "sum"), ("t", "together"))],
    }
    single = len(parts) == 1
    base = alt.Chart(width=2 * PANEL if single else PANEL, height=300 if single else 220).encode(**fields)
    lines = base.transform_filter("datum.k < 0").mark_line(strokeWidth=1.5)
    points = base.transform_filter("datum.k >= 0").mark_circle(size=28, opacity=0.9)
    header = alt.Header(title=None, labelAnchor="start", labelPadding=4)
    order = list(dict.fromkeys(row["panel"] for row in rows))
    drawn = alt.layer(lines, points, data=alt.Data(values=rows)).facet(
        facet=alt.Facet("panel:N", sort=order, header=header), columns=2, spacing=24
    )
    drawn = drawn.resolve_scale(x="independent", y="independent")
    return Chart(drawn.properties(title=own_heading(frame, title, about, 2 * PANEL)))


def _panel(part: Any, by: str) -> list[dict[str, Any]]:
    """The points of one panel and the ends of its two lines."""
    slope, intercept, r2 = (part[name][0] for name in ("slope", "intercept", "r2"))
    name = part[by][0] if by == "write" else f"layer {part[by][0]}"
    said = f"{name}: slope {number(slope, 3)}, intercept {number(intercept, 3, sign=True)}"
    said += f", R² {number(r2, 3)}" if r2 is not None and r2 == r2 else ""
    low, high = min(0.0, part["cumulative"].min()), max(0.0, part["cumulative"].max())
    points = part.select("cumulative", "together").iter_rows()
    rows = [
        {"series": _SERIES[0], "c": c, "t": t, "k": k, "said": f"the first {k}: {number(c, 4)} singly, {number(t, 4)} together"}
        for k, (c, t) in enumerate(points, 1)
    ]
    for name, tilt, start in ((_SERIES[1], slope, intercept), (_SERIES[2], 1.0, 0.0)):
        rows += [{"series": name, "c": c, "t": tilt * c + start, "k": -1, "said": name} for c in (low, high)]
    return [row | {"panel": said} for row in rows]
