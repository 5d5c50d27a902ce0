"""Heat maps of components by the tokens that something was done at."""

from typing import Any

from mainstem.core import InputError

from ._altair import Chart, altair
from ._maps import CELL, squares
from ._tables import every, heading, marked, table

WIDE, ROW = 900, 22


def token_map(
    data: Any, k: int = 40, title: str = "Effect by component and token", about: str = "", measure: str = "effect"
) -> Chart:
    """A map of components by tokens: blue above zero and red below, the last component of the stream on top.

    The colours are as strong at -m as at m, the largest size.

    Parameters: `data`, a frame of one prompt with component, position, value and, to name positions, token, its components in the order of
    the stream, or such records; `k`, how many components at most, those with the largest sum of sizes; `title`; `about`, lines below
    it; `measure`, what the values are, with their unit. Raises `InputError` for a table with no positions, numbers that are not
    finite, k below 1, or where altair is missing.
    """
    import polars as pl

    alt = altair()
    if k < 1:
        raise InputError(f"a map shows 1 component or more, not {k}.")
    frame = table(data, ("value",), ("component", "position")).filter(pl.col("position").is_not_null())
    if frame.is_empty():
        raise InputError("this table has no positions: patch one token at a time, positions='each'.")
    sizes = frame.group_by("component", maintain_order=True).agg(pl.col("value").abs().sum().alias("size"))
    kept = set(sizes.sort("size", descending=True, maintain_order=True).head(k)["component"])
    names = [name for name in sizes["component"] if name in kept][::-1]
    places = _columns(frame)
    rows = [
        {"label": name, "source": places[at], "value": value, "said": f"{name} at {places[at]}"}
        for name, at, value in frame.select("component", "position", "value").iter_rows()
        if name in kept
    ]
    size = min(CELL, max(WIDE / len(places), 2))
    columns = list(places.values())
    shown = [columns[i] for i in every(len(columns), int(size * len(columns) / 13))]
    x = alt.X("source:O", title="token", scale=alt.Scale(domain=columns), axis=alt.Axis(values=shown, labelAngle=-45))
    y = alt.Y("label:O", title=None, scale=alt.Scale(domain=names))
    drawn = squares(alt, rows, x, y, ["label:O", "source:O"], measure, size)
    drawn = drawn.properties(width=size * len(columns), height=ROW * len(names))
    return Chart(drawn.properties(title=heading(title, about, size * len(columns))))


def _columns(frame: Any) -> dict[int, str]:
    """What every position is called, in order."""
    import polars as pl

    token = pl.col("token") if "token" in frame.columns else pl.lit(None, pl.String).alias("token")
    found = frame.select("position", token).unique(subset="position").sort("position")
    return {at: f"{at} {marked(text or '', 14)}".strip() for at, text in found.iter_rows()}
