"""Maps of signed cells: layers by heads, heads by the tokens they read."""

from typing import Any

from mainstem.core import InputError

from ._altair import Chart, altair
from ._svg import MINUS, TIMES, number
from ._tables import every, heading, marked, single, table
from ._theme import NAMES, colours, diverging, scaled

WIDE, CELL = 700, 44
_PALE = 0.1  # below this share of the largest size a cell is nearly white


def head_map(data: Any, title: str = "Score by layer and head", about: str = "", measure: str = "score") -> Chart:
    """A map of layers by heads: every cell the sum of its head's rows, blue above zero and red below.

    cell(layer, head) = sum of value over key positions and dims. The colours are as strong at -m as at m, the largest size.

    Parameters: `data`, a frame of scores by head, edge or dim of one prompt at one position, or records with layer, head and
    value; `title`; `about`, lines below it; `measure`, what the values are, with their unit. Raises `InputError` for a
    table with no heads, numbers that are not finite, several prompts or positions, or where altair is missing.
    """
    import polars as pl

    alt = altair()
    frame = single(table(data, ("value",), ("layer", "head")))
    heads = _heads(frame, "layer").with_columns(pl.col("kind") if "kind" in frame.columns else pl.lit("attn").alias("kind"))
    cells = heads.group_by("kind", "layer", "head").agg(pl.col("value").sum()).sort("kind", "layer", "head")
    n, most = frame["layer"].max() + 1, cells["head"].max() + 1
    size = max(7, min(CELL, WIDE // n, 900 // most))
    axes = [alt.Axis(values=every(k, size * k // room), labelAngle=0) for k, room in ((n, 20), (most, 13))]
    x = alt.X("layer:O", title="layer", scale=alt.Scale(domain=list(range(n))), axis=axes[0])
    y = alt.Y("head:O", title="head", scale=alt.Scale(domain=list(range(most))), axis=axes[1])
    rows = [
        row | {"kind": NAMES.get(row["kind"], row["kind"]), "said": f"layer {row['layer']}, head {row['head']}"}
        for row in cells.iter_rows(named=True)
    ]
    drawn = squares(alt, rows, x, y, ["layer:O", "head:O"], measure, size)
    drawn = drawn.properties(width=size * n, height=size * most)
    if cells["kind"].n_unique() > 1:
        header = alt.Header(title=None, labelAnchor="start", labelFontWeight="bold", labelPadding=4)
        drawn = drawn.facet(facet=alt.Facet("kind:N", header=header), columns=1, spacing=20)
    return Chart(drawn.properties(title=heading(title, about, size * n)))


def source_map(data: Any, k: int = 12, title: str = "Score by source", about: str = "", measure: str = "score") -> Chart:
    """A map of the k strongest heads by the tokens they read: every cell the sum of its rows, blue above zero and red below.

    cell(head, source) = sum of value over dims. Heads are in the order of the sum of their cells' sizes, the strongest on top.

    Parameters: `data`, a frame of scores by edge (head and key position) of one prompt at one position, or records with write,
    head, key_pos, value and, to name the sources, token; `k`, how many heads at most; `title`; `about`, lines below it;
    `measure`, what the values are, with their unit. Raises `InputError` for a table with no key positions, numbers that are
    not finite, several prompts or positions, k below 1, or where altair is missing.
    """
    import polars as pl

    alt = altair()
    if k < 1:
        raise InputError(f"a map shows 1 head or more, not {k}.")
    frame = _heads(single(table(data, ("value",), ("write", "head", "key_pos"))), "key_pos")
    token = pl.col("token") if "token" in frame.columns else pl.lit(None, pl.String).alias("token")
    cells = frame.with_columns(token).group_by("write", "head", "key_pos").agg(pl.col("value").sum(), pl.col("token").first())
    size_of = cells.group_by("write", "head").agg(pl.col("value").abs().sum().alias("size"))
    best = size_of.sort(["size", "write", "head"], descending=[True, False, False]).head(k)
    names = {(write, head): f"{write}.H{head}" for write, head in best.select("write", "head").iter_rows()}
    sources = {at: f"{at} {marked(token or '', 14)}".strip() for at, token in cells.select("key_pos", "token").iter_rows()}
    columns = [sources.get(at, str(at)) for at in range(max(sources) + 1)]
    rows = []
    for write, head, at, score in cells.sort("write", "head", "key_pos").select("write", "head", "key_pos", "value").iter_rows():
        if label := names.get((write, head)):
            rows.append({"label": label, "source": columns[at], "value": score, "said": f"{label} reading {columns[at]}"})
    size = min(CELL, max(1000 / len(columns), 2))
    named = [columns[i] for i in every(len(columns), int(size * len(columns) / 13))]
    axis = alt.Axis(values=named, labelAngle=-45 if size > 20 else -90)
    x = alt.X("source:O", title="token read", scale=alt.Scale(domain=columns), axis=axis)
    y = alt.Y("label:O", title=None, scale=alt.Scale(domain=list(names.values())))
    drawn = squares(alt, rows, x, y, ["label:O", "source:O"], measure, size)
    drawn = drawn.properties(width=size * len(columns), height=min(CELL, 26) * len(names))
    return Chart(drawn.properties(title=heading(title, about, size * len(columns))))


def _heads(frame: Any, place: str) -> Any:
    import polars as pl

    found = frame.filter(pl.col("head").is_not_null() & pl.col(place).is_not_null())
    if found.is_empty():
        level = "head" if place == "layer" else "edge"
        raise InputError(f'this table has no heads with a {place}: score them, scores(..., level="{level}").')
    return found


def squares(alt: Any, rows: list[dict[str, Any]], x: Any, y: Any, names: list[str], measure: str, size: int | float) -> Any:
    """Cells coloured around zero, each with what it says of itself, and with its number where there is room, else its sign.

    Without the signs nobody could tell blue from red in grey.

    Parameters: `alt`; `rows`, with value and said; `x` and `y`; `names`, fields of the tooltip; `measure`; `size`, of a cell.
    """
    values = [row["value"] for row in rows]
    domain, colour = diverging(values)
    texts, power = scaled(values)
    if size < 38:
        texts, power = [MINUS if value < -_PALE * domain[-1] else "" for value in values], 0
    shown = zip(rows, texts, strict=True)
    rows = [
        row
        | {"shown": text, "said": f"{row['said']}: {number(row['value'], 4, sign=True)}"}
        | {"strong": abs(row["value"]) > 0.42 * domain[-1]}
        for row, text in shown
    ]
    signed = "datum.value ? format(datum.value, '+.3~g') : '0'"
    lines = measure.replace(" (", "\n(").split("\n")  # the unit below, for the renderer cuts what is wider than it guessed
    name = [*lines, f"in the cells {TIMES} 1e{power}".replace("-", MINUS)] if power else lines if lines[1:] else measure
    legend = alt.Legend(title=name, gradientLength=120, values=[domain[0], 0, domain[-1]], labelExpr=signed)
    scale = alt.Scale(domain=domain, range=colour, interpolate="lab")
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y)
    drawn = base.mark_rect(stroke=colours()["paper"], strokeWidth=1 if size >= 7 else 0).encode(
        color=alt.Color("value:Q", scale=scale, legend=legend),
        description="said:N",
        tooltip=[*names, alt.Tooltip("value:Q", format="+.4f", title=measure)],
    )
    if size < 9:
        return alt.layer(drawn)
    ink = alt.condition("datum.strong", alt.value(colours()["foam"]), alt.value(colours()["ink"]))
    return drawn + base.mark_text(fontSize=10 if size >= 38 else min(11, 0.6 * size), aria=False).encode(
        text="shown:N", color=ink
    )
