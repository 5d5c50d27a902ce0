"""A chart of any table: one column over another, in colours of a third."""

from collections.abc import Sequence
from typing import Any

from mainstem.core import InputError

from ._altair import Chart, altair

WIDE, HIGH, BARS = 640, 320, 40
_FAR = 100  # from this ratio on numbers above 0 stand on a log scale
# Okabe and Ito's colours, told apart without colour vision.
_LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#7a5195"]
Rows = Sequence[dict[str, Any]]


def plot(rows: Rows, x: str, y: str, colour: str | None = None, title: str = "") -> Chart:
    """Lines over numbers, points over words; as bars from zero where every word stands once.

    Parameters: `rows`, records; `x` and `y`, columns, `y` of numbers; `colour`, a column whose values get a line each; `title`. Raises
    `InputError` where nothing can be drawn.
    """
    drawn = [row for row in rows if isinstance(row.get(y), (int, float)) and row.get(x) is not None]
    if not drawn:
        raise InputError(f"there is no row with {x} and a number in {y}.")
    alt = altair()
    numbers = all(isinstance(row[x], (int, float)) and not isinstance(row[x], bool) for row in drawn)
    once = not numbers and colour is None and len({row[x] for row in drawn}) == len(drawn)
    held = drawn if not once or len(drawn) <= BARS else sorted(drawn, key=lambda row: -abs(row[y]))[:BARS]
    base = alt.Chart(alt.Data(values=[{k: row.get(k) for k in (x, y, colour) if k} for row in held]))
    value = alt.Y(f"{_said(y)}:Q", title=y)
    if once:
        across, along = alt.Y(f"{_said(x)}:N", sort=None, title=x), alt.X(f"{_said(y)}:Q", title=y)
        shown, rule = base.mark_bar().encode(y=across, x=along), alt.X(datum=0)
    else:
        across = _numbered(alt, x, [row[x] for row in drawn]) if numbers else alt.X(f"{_said(x)}:N", sort=None, title=x)
        shown, rule = base.mark_line(point=True).encode(x=across, y=value), alt.Y(datum=0)
    if colour:
        shown = shown.encode(
            color=alt.Color(f"{_said(colour)}:N", title=colour, sort=None, scale=alt.Scale(range=_LINES)),
            detail=f"{_said(colour)}:N",
        )
    shown = shown.encode(tooltip=[alt.Tooltip(f"{_said(k)}:{kind}", title=k) for k, kind in _kinds(x, y, colour, numbers)])
    zero = alt.Chart(alt.Data(values=[{}])).mark_rule(strokeDash=[4, 3]).encode(**{"x" if once else "y": rule})
    size = {"width": WIDE} if once else {"width": WIDE, "height": HIGH}
    return Chart(alt.layer(shown, zero).properties(title=title, **size))


def _numbered(alt: Any, x: str, values: list[float]) -> Any:
    """The axis of numbers: whole ticks for whole numbers, a log scale, said, where they are far apart."""
    if min(values) > 0 and max(values) >= _FAR * min(values):
        return alt.X(f"{_said(x)}:Q", title=f"{x} (log scale)", scale=alt.Scale(type="log"))
    whole = {"tickMinStep": 1} if all(float(v).is_integer() for v in values) else {}
    return alt.X(f"{_said(x)}:Q", title=x, axis=alt.Axis(**whole), scale=alt.Scale(zero=False))


def _kinds(x: str, y: str, colour: str | None, numbers: bool) -> list[tuple[str, str]]:
    return [(x, "Q" if numbers else "N"), (y, "Q"), *([(colour, "N")] if colour else [])]


def _said(column: str) -> str:
    """A column's name as Vega-Lite takes it: dots and brackets are no paths, colons no types."""
    return "".join(f"\\{c}" if c in ".[]:\\" else c for c in column)
