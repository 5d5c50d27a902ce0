"""The loss against the scale of a part of the stream."""

from typing import Any

from ._altair import Chart, altair
from ._svg import number
from ._tables import heading, table
from ._theme import colours

_WIDE, _HIGH = 520, 260


def scale_curve(data: Any, title: str = "Loss against scale", about: str = "", measure: str = "loss") -> Chart:
    """A line of the loss over scales; the model itself, at 1, is a dot with a dashed line at its height.

    Parameters: `data`, a frame or records with by, the scale, and loss; `title`; `about`, lines below it; `measure`, what the loss is of, with its
    unit. Raises `InputError` for an empty table, numbers that are not finite, or where altair is missing.
    """
    alt = altair()
    frame = table(data, ("by", "loss")).sort("by")
    rows = [row | {"said": f"x {row['by']:g}: {number(row['loss'], 4)}"} for row in frame.select("by", "loss").to_dicts()]
    x = alt.X("by:Q", title="scale (1: the model)", scale=alt.Scale(zero=True))
    y = alt.Y("loss:Q", title=measure, scale=alt.Scale(zero=False))
    tooltip = [alt.Tooltip("by:Q", title="scale"), alt.Tooltip("loss:Q", format=".4f", title=measure)]
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y)
    drawn = base.mark_line(color=colours()["water"], aria=False)
    drawn += base.mark_point(color=colours()["water"], filled=True, size=40).encode(tooltip=tooltip, description="said:N")
    if own := [row for row in rows if row["by"] == 1]:
        there = alt.Chart(alt.Data(values=own))
        drawn += there.mark_rule(strokeDash=[4, 4], color=colours()["ink"], aria=False).encode(y=y)
        drawn += there.mark_point(filled=True, size=90, color=colours()["ink"], aria=False).encode(x=x, y=y)
    return Chart(drawn.properties(width=_WIDE, height=_HIGH, title=heading(title, about, _WIDE)))
