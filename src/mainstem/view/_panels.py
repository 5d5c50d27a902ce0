"""Several charts as one, side by side."""

from collections.abc import Sequence

from mainstem.core import InputError

from ._altair import Chart, altair
from ._tables import heading


def panels(charts: Sequence[Chart], title: str, about: str = "", columns: int = 2) -> Chart:
    """Charts in rows under one heading, each with its own, smaller, and its own axes and colours.

    Parameters: `charts`; `title`; `about`, lines below it; `columns`, charts in a row. Raises `InputError` where there is none, or
    where altair is missing.
    """
    if not charts:
        raise InputError("there is nothing to put together: no charts.")
    alt = altair()
    parts = []
    for chart in charts:
        part = chart.altair.copy(deep=False)
        own = part.title if isinstance(part.title, dict) else part.title.to_dict()
        part.title = alt.TitleParams(**own, fontSize=13, frame="group", offset=10)
        parts.append(part)
    drawn = alt.concat(*parts, columns=columns, spacing=34).resolve_scale(color="independent", x="independent", y="independent")
    return Chart(drawn.properties(title=heading(title, about, 380 * columns)))
