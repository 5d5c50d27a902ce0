"""The strongest components as bars, with the words that they raise."""

from collections.abc import Callable, Sequence
from typing import Any

from mainstem.core import InputError

from ._altair import Chart, altair
from ._svg import number
from ._tables import heading, marked, single, table
from ._theme import colours, figures

Words = Callable[[Sequence[str]], Sequence[Sequence[str]]]
WIDE, NARROW, ROW = 700, 380, 22
_WORDLESS = ("constant", "transport", "rounding", "interaction")
_GAP = " \u00a0 "


def top_components(
    data: Any,
    k: int = 20,
    words: Words | None = None,
    title: str = "Strongest components",
    about: str = "",
    measure: str = "score",
) -> Chart:
    """Bars of the k components of the largest size, the strongest on top, blue above zero and red below.

    Parameters: `data`, a frame of scores of one prompt at one position, or records with component and value, and with rank
    where that is the order; `k`, how many at most; `words`, gives for each of several labels the words that its component raises
    most; `title`; `about`, lines below it; `measure`, what the values are, with their unit. Raises `InputError` for an empty table, numbers that are not finite, several prompts
    or positions, k below 1, or where altair is missing.
    """
    alt = altair()
    rows = _strongest(single(table(data, ("value",), ("component",))), k)
    said = _said(rows, words) if words else []
    order = [row["label"] for row in rows]
    drawn = _bars(alt, rows, order, measure).properties(width=NARROW if any(said) else WIDE)
    if any(said):
        drawn = alt.hconcat(drawn, _words(alt, order, said), spacing=12)
    return Chart(drawn.properties(title=heading(title, about, WIDE)))


def _strongest(frame: Any, k: int) -> list[dict[str, Any]]:
    import polars as pl

    if k < 1:
        raise InputError(f"a chart shows 1 component or more, not {k}.")
    rows = []
    order = pl.col("rank") if "rank" in frame.columns else -pl.col("value").abs()
    best = frame.sort(order, maintain_order=True).head(k)
    for row in best.iter_rows(named=True):
        source = row.get("token") if row.get("key_pos") is not None else None
        label = row["component"] if source is None else f"{row['component']} {marked(source, 16)}"
        said = f"{label}: {number(row['value'], 4, sign=True)}"
        rows.append({name: row.get(name) for name in ("component", "value", "kind")} | {"label": label, "said": said})
    return rows


def _bars(alt: Any, rows: list[dict[str, Any]], order: list[str], measure: str) -> Any:
    """Bars with their values at their ends, for which the scale has room."""
    values = [row["value"] for row in rows]
    low, high = min(0.0, *values), max(0.0, *values)
    room = (high - low or 1.0) / 5
    scale = alt.Scale(domain=[low - room * (low < 0), high + room * (low == 0 or high > 0)], nice=False)
    shown = [row | {"shown": text} for row, text in zip(rows, figures(values, 3), strict=True)]
    y = alt.Y("label:N", sort=order, title=None, axis=alt.Axis(ticks=False, domain=False, labelPadding=6))
    base = alt.Chart(alt.Data(values=shown), height=alt.Step(ROW)).encode(y=y, x=alt.X("value:Q", title=measure, scale=scale))
    blue, red = alt.value(colours()["water"]), alt.value(colours()["ebb"])
    bars = base.mark_bar(height=14).encode(
        color=alt.condition("datum.value < 0", red, blue),
        description="said:N",
        tooltip=["component:N", alt.Tooltip("value:Q", format="+.4f", title=measure)],
    )
    above = base.transform_filter("datum.value >= 0").mark_text(align="left", dx=5, aria=False).encode(text="shown:N")
    below = base.transform_filter("datum.value < 0").mark_text(align="right", dx=-5, aria=False).encode(text="shown:N")
    zero = alt.Chart(alt.Data(values=[{}])).mark_rule(color=colours()["muted"], aria=False).encode(x=alt.datum(0))
    return bars + above + below + zero


def _said(rows: list[dict[str, Any]], words: Words) -> list[str]:
    """The words of every row in one line; none for what has none, such as a constant."""
    asked = list(dict.fromkeys(row["component"] for row in rows if row["kind"] not in _WORDLESS))
    given = words(asked) if asked else []
    if len(given) != len(asked):
        raise InputError(
            f"words takes labels and gives a list of words for each: here {len(given)} lists for {len(asked)} labels."
        )
    found = dict(zip(asked, given, strict=True))
    return [_GAP.join(marked(word, 14) for word in found.get(row["component"], ())) for row in rows]


def _words(alt: Any, order: list[str], said: list[str]) -> Any:
    rows = [{"label": label, "words": text} for label, text in zip(order, said, strict=True)]
    small = {"text": "raises most", "fontSize": 12, "fontWeight": "normal", "color": colours()["muted"], "offset": 4}
    base = alt.Chart(alt.Data(values=rows), width=5.8 * max(map(len, said)), height=alt.Step(ROW), title=small)
    y = alt.Y("label:N", sort=order, axis=None)
    return base.mark_text(align="left").encode(y=y, x=alt.value(0), text="words:N", tooltip=["label:N", "words:N"])
