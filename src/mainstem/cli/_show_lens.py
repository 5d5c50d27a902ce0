"""The logit lens as a grid, as many columns at a time as there is room for."""

from collections.abc import Iterator
from math import exp
from typing import TYPE_CHECKING, Any

from ._terminal import DIM, TITLE, quoted, table, terminal

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_CELL, _LEAST = 14, 9
# From unlikely to likely; legible on light and on dark terminals.
_SHADES = ((0.1, "dim"), (0.3, ""), (0.6, "cyan"), (0.9, "bold cyan"), (1.1, "bold reverse cyan"))


def shown(record: dict[str, Any], target: str | None) -> Iterator["RenderableType"]:
    """The grid of one prompt.

    Parameters: `record`, a `LensResult` as plain data; `target`, whose probability is shown, None for the top token.
    """
    from rich.text import Text

    what = f"probability of {quoted(record['target'][0])}" if target else "likeliest token"
    yield Text.assemble((record["model"], DIM), "  ", (quoted(record["prompt"], 400), TITLE))
    legend = _legend() if terminal().color_system else ()
    yield Text.assemble("\n", (record["lens"], TITLE), (f"  {what} at every point, {record['norm']} norm ", DIM), *legend)
    columns = len(record["top"][0])
    many, cell = _layout(record, columns, terminal().width)
    for start in range(0, columns, many):
        if start:
            yield ""
        yield _panel(record, range(start, min(start + many, columns)), bool(target), cell)


def _layout(record: dict[str, Any], columns: int, width: int) -> tuple[int, int]:
    """How many columns stand side by side, and how wide each is. Parameters: `record`; `columns`; `width`."""
    room = width - max(len(point) for point in record["points"]) - 4
    widest = max(len(quoted(token)) for row in (record["tokens"], *record["top"]) for token in row)
    cell = min(_CELL, max(6, widest))
    if columns * (cell + 2) > room >= columns * (_LEAST + 2):
        cell = room // columns - 2
    panels = -(-columns // max(1, room // (cell + 2)))
    return -(-columns // panels), cell


def _legend() -> Iterator[tuple[str, str]]:
    low = 0.0
    for high, style in _SHADES:
        yield " ", ""
        yield f"{low:.1f}", style
        low = high


def _panel(record: dict[str, Any], places: range, numbers: bool, cell: int) -> "Table":
    from rich.text import Text

    heads = record["tokens"]
    rows = table("", *[""] * len(places), gap=2)
    rows.add_row("", *(_cell(quoted(heads[i]) if heads else "output", "bold", cell) for i in places))
    logprobs = record["logprob" if numbers else "top_logprob"]
    for point, top, logprob in zip(record["points"], record["top"], logprobs, strict=True):
        cells = (_of(top[i], logprob[i], numbers, cell) for i in places)
        rows.add_row(Text(f"  {point}", DIM), *cells)
    return rows


def _of(token: str, logprob: float, number: bool, cell: int) -> "Text":
    p = exp(logprob)
    style = next(style for high, style in _SHADES if p < high)
    return _cell(f"{100 * p:.1f} %" if number else quoted(token), style, cell)


def _cell(text: str, style: str, width: int) -> "Text":
    from rich.text import Text

    made = Text(text, style)
    made.truncate(width, overflow="ellipsis", pad=True)
    return made
