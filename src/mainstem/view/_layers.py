"""Charts over the layers of a model: what every kind of write scores there, how many neurons of a kind are there."""

from typing import Any

from ._altair import Chart, altair
from ._svg import number
from ._tables import every, heading, single, table
from ._theme import NAMES, colours, kinds

WIDE, HIGH, SLOT = 700, 280, 60
_ROLES = {"value": "water", "query": "cross", "query-value": "skip"}


def score_by_layer(data: Any, title: str = "Score by layer", about: str = "", measure: str = "score") -> Chart:
    """Bars of every layer, one for each kind of write: the sum of its rows.

    bar(layer, kind) = sum of value over all rows of that layer and kind. Rows of no layer stand before the first ("entry")
    or behind the last ("end"), constants are bars of their own, so that all bars sum to what all rows sum to.

    Parameters: `data`, a frame of scores of one prompt at one position, or records with layer, kind and value; `title`;
    `about`, lines below it; `measure`, what the values are, with their unit. Raises `InputError` for an empty table, numbers
    that are not finite, several prompts or positions, or where altair is missing.
    """
    alt = altair()
    bars, colour, last = _bars(single(table(data, ("value",), ("layer", "kind"))))
    first, end = min(0, *(bar["slot"] for bar in bars)), max(bar["slot"] for bar in bars)
    ticks = [slot for slot in (*([-1] if first < 0 else []), *every(last + 1, 24), *([end] if end > last else []))]
    width = min(WIDE, max(260, SLOT * (end - first + 1)))
    named = f"datum.value < 0 ? 'entry' : datum.value > {last} ? 'end' : datum.value"
    scale = alt.Scale(domain=[first - 0.6, end + 0.6], nice=False)
    axis = alt.Axis(values=ticks, labelExpr=named, grid=False, labelOverlap="greedy")
    names = [NAMES.get(kind, kind) for kind in colour]
    legend = alt.Legend(title=None, orient="top", symbolType="square")
    drawn = alt.Chart(alt.Data(values=bars), width=width, height=HIGH).mark_rect()
    drawn = drawn.encode(
        x=alt.X("left:Q", title="layer", scale=scale, axis=axis),
        x2="right:Q",
        y=alt.Y("value:Q", title=measure),
        y2=alt.datum(0),
        color=alt.Color("kind:N", scale=alt.Scale(domain=names, range=list(colour.values())), legend=legend),
        description="said:N",
        tooltip=["layer:N", "kind:N", alt.Tooltip("value:Q", format="+.4f", title=measure)],
    )
    zero = alt.Chart(alt.Data(values=[{}])).mark_rule(color=colours()["muted"], aria=False).encode(y=alt.datum(0))
    return Chart((drawn + zero).properties(title=heading(title, about, width)))


def _bars(frame: Any) -> tuple[list[dict[str, Any]], dict[str, str], int]:
    """Bars with their left and right edges in layers, the colours of their kinds, and the last layer."""
    import polars as pl

    last = -1 if frame["layer"].is_null().all() else frame["layer"].max()
    write = pl.col("write") if "write" in frame.columns else pl.lit("")
    entry = (pl.col("kind") == "entry") | write.str.contains(r"(^|\.)entry\.")
    slot = pl.coalesce(pl.col("layer"), pl.when(entry).then(-1).otherwise(last + 1)).cast(pl.Int64).alias("slot")
    sums = frame.with_columns(slot).group_by("slot", "kind").agg(pl.col("value").sum()).sort("slot")
    colour = kinds(set(sums["kind"]))
    inner = set(sums.filter(pl.col("slot").is_between(0, last))["kind"])
    wide = 0.8 / max(len(inner), 1)
    bars = []
    for rows in sums.partition_by("slot", maintain_order=True):
        at, here = rows["slot"][0], dict(rows.select("kind", "value").iter_rows())
        order = [kind for kind in colour if kind in (inner if 0 <= at <= last else here)]
        for i, kind in enumerate(order):
            left = at + wide * (i - len(order) / 2)
            if kind in here:
                name, of = "entry" if at < 0 else "end" if at > last else str(at), NAMES.get(kind, kind)
                about = {"layer": name, "kind": of, "said": f"layer {name}, {of}: {number(here[kind], 4, sign=True)}"}
                bars.append({"slot": at, "value": here[kind], "left": left, "right": left + wide, **about})
    return bars, colour, last


def query_histogram(data: Any, title: str = "Neurons by layer", about: str = "") -> Chart:
    """How many neurons of each kind every layer has, a row of bars for each kind, all on one scale.

    bar(layer, kind) = sum of count over the rows of that layer and kind; none is a bar of height zero.

    Parameters: `data`, a frame or records with layer, kind ("value", "query", "query-value") and count; `title`; `about`, lines
    below it. Raises `InputError` for an empty table, numbers that are not finite, or where altair is missing.
    """
    import polars as pl

    alt = altair()
    frame = table(data, ("layer", "count"), ("kind",)).group_by("layer", "kind").agg(pl.col("count").sum())
    found = {(layer, kind): count for layer, kind, count in frame.select("layer", "kind", "count").iter_rows()}
    n, present = frame["layer"].max() + 1, set(frame["kind"])
    order = [kind for kind in _ROLES if kind in present] + sorted(present - set(_ROLES))
    counts = [(kind, i, found.get((i, kind), 0)) for kind in order for i in range(n)]
    rows = [{"layer": i, "kind": kind, "count": c, "said": f"layer {i}, {kind}: {c}"} for kind, i, c in counts]
    width = min(WIDE, max(260, 40 * n))
    axis = alt.Axis(values=every(n, 24), labelAngle=0, grid=False)
    fill = [colours()[_ROLES.get(kind, "write")] for kind in order]
    drawn = alt.Chart(alt.Data(values=rows), width=width, height=110).mark_bar().encode(
        x=alt.X("layer:O", title="layer", axis=axis),
        y=alt.Y("count:Q", title="neurons", scale=alt.Scale(nice=4), axis=alt.Axis(tickCount=4)),
        color=alt.Color("kind:N", scale=alt.Scale(domain=order, range=fill), legend=None),
        description="said:N",
        tooltip=["layer:O", "kind:N", "count:Q"],
    )  # fmt: skip
    header = alt.Header(title=None, labelAnchor="start", labelFontWeight="bold", labelPadding=4)
    rows_of = drawn.facet(facet=alt.Facet("kind:N", sort=order, header=header), columns=1, spacing=14)
    return Chart(rows_of.properties(title=heading(title, about, width)))
