"""Charts over the layers of a model: what every kind of write scores there, how many neurons of a kind are there."""

from typing import Any

from mainstem.core import InputError

from ._altair import Chart, altair
from ._svg import number
from ._tables import every, heading, single, table
from ._theme import NAMES, colours, kinds

WIDE, HIGH, SLOT = 700, 280, 60
_ROLES = {"value": "values", "query": "queries", "query-value": "values that are queries too"}


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


def query_histogram(
    data: Any, of: str = "count", title: str = "Values and queries by layer", about: str = "", measure: str = "score"
) -> Chart:
    """Where values and queries are: a row of bars for each role, stacked by the kind of their writes.

    bar(role, layer, kind) = sum of count, or of score, over the rows there; rows of no layer stand before the first ("entry"). Scores
    are on one scale; counts are not, since few are values and how many queries are counted is a choice.

    Parameters: `data`, a frame or records with role ("value", "query", "query-value"), layer, kind, and count or score, as
    `QueriesResult.histogram` gives them; `of`, "count" or "score"; `title`; `about`, lines below it; `measure`, what the scores
    are, with their unit. Raises `InputError` for an empty table, numbers that are not finite, or where altair is missing.
    """
    import polars as pl

    alt = altair()
    if of not in ("count", "score"):
        raise InputError(f"bars are of 'count' or 'score', not {of!r}.")
    sums = table(data, (of,), ("role", "layer", "kind")).group_by("role", "layer", "kind").agg(pl.col(of).sum())
    known = sums.filter(pl.col(of) != 0)
    places = [*(["entry"] if known["layer"].null_count() else []), *map(str, range((sums["layer"].max() or 0) + 1))]
    roles = [role for role in _ROLES if role in set(sums["role"])] + sorted(set(sums["role"]) - set(_ROLES))
    colour = kinds(set(known["kind"]) or {"mlp"})
    named = {kind: NAMES.get(kind, kind) for kind in colour}
    rows = []
    for role, layer, kind, value in known.sort("role", "layer", "kind").select("role", "layer", "kind", of).iter_rows():
        bar = {"role": _ROLES.get(role, role), "layer": "entry" if layer is None else str(layer), "kind": named[kind]}
        said = f"{bar['role']}, layer {bar['layer']}, {bar['kind']}: {value if of == 'count' else number(value, 4, sign=True)}"
        rows.append(bar | {"value": value, "order": list(colour).index(kind), "said": said})
    width = min(WIDE, max(260, 40 * len(places)))
    whole: dict[str, Any] = {}
    if of == "count":
        seen = alt.condition("datum.value % 1", alt.value(0), alt.value(1))
        whole = {"labelExpr": "datum.value % 1 ? '' : format(datum.value, 'd')", "gridOpacity": seen, "tickOpacity": seen}
    axis = alt.Axis(values=[places[i] for i in every(len(places), 24)], labelAngle=0, grid=False)
    bars = alt.Chart(alt.Data(values=[*rows, *({"role": _ROLES.get(role, role)} for role in roles)]), width=width, height=110)
    bars = bars.transform_filter("isValid(datum.value)").mark_bar()
    bars = bars.encode(
        x=alt.X("layer:O", title="layer", scale=alt.Scale(domain=places), axis=axis),
        y=alt.Y(
            "value:Q",
            title=of if of == "count" else measure,
            scale=alt.Scale(nice=4),
            axis=alt.Axis(tickCount=4, minExtent=24, **whole),
        ),
        color=alt.Color(
            "kind:N",
            scale=alt.Scale(domain=list(named.values()), range=list(colour.values())),
            legend=alt.Legend(title=None, orient="top", symbolType="square"),
        ),
        order="order:Q",
        description="said:N",
        tooltip=["layer:O", "kind:N", alt.Tooltip("value:Q", title=of)],
    )
    header = alt.Header(title=None, labelAnchor="start", labelFontWeight="bold", labelPadding=4)
    panels = alt.Facet("role:N", sort=[_ROLES.get(role, role) for role in roles], header=header)
    drawn = bars.facet(facet=panels, columns=1, spacing=14).resolve_scale(y="independent" if of == "count" else "shared")
    return Chart(drawn.properties(title=heading(title, about, width)))
