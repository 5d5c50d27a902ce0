"""How things look: where colours go, how tokens and numbers are written, bars."""

import json
import math
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

PLUS, MINUS, DIM, TITLE, GOOD, BAD = "cyan", "dark_orange", "dim", "bold", "green", "bold red"


def terminal() -> "Console":
    """The console on stdout: colours on a terminal only, as wide as it is; a reader that leaves ends the command."""
    from rich.console import Console

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Terminal(highlight=False, emoji=False, markup=False)


def show(parts: Iterable["RenderableType"]) -> None:
    """Prints what is given, one below the other. Parameters: `parts`."""
    from rich.table import Table

    console = terminal()
    for part in parts:
        wide = max(console.width, _needed(part)) if isinstance(part, Table) else console.width
        console.print(part, width=wide, crop=wide <= console.width)


def _needed(table: "Table") -> int:
    """The columns that labels and numbers take, which are never cut: the terminal folds a line that is longer than it.

    The first column is labels and those on the right are numbers; what else there is gets less room, or none.
    """
    from rich.text import Text

    taken = 0
    for i, column in enumerate(table.columns):
        kept = i == 0 or column.justify == "right"
        if kept:
            cells = [*column.cells, column.header]
            column.min_width = max((cell if isinstance(cell, Text) else Text(str(cell))).cell_len for cell in cells)
        taken += (column.min_width or 1 if kept else 1) + table.padding[1]
    return taken


def print_json(record: Any) -> None:
    """Prints plain data as JSON, indented for people and on one line for programs. Parameters: `record`."""
    from mainstem.core import finite

    text = json.dumps(finite(record), ensure_ascii=False, allow_nan=False, indent=2 if sys.stdout.isatty() else None)
    try:
        print(text, flush=True)
    except BrokenPipeError as error:
        raise BrokenPipeError from error  # without its number, of which typer makes an exit code of its own


def told(what: object) -> None:
    """Says on stderr what was written, so that stdout stays the result. Parameters: `what`, a file."""
    noted(f"wrote {what}")


def noted(text: str) -> None:
    """Says a line on stderr. Parameters: `text`."""
    from rich.console import Console

    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(text, style=DIM)


@contextmanager
def busy(text: str) -> Iterator[None]:
    """A spinner on stderr while something takes its time, a bar where it says how far it has come; nothing where stderr is no terminal.

    Parameters: `text`.
    """
    from mainstem.core import listening, progress_bar

    shown = progress_bar(text)
    if not shown.console.is_terminal:
        yield
        return

    def hears(what: str, done: int, of: int) -> None:
        going = {"description": what, "completed": done, "total": of} if done < of else {"description": text, "total": None}
        shown.update(shown.task_ids[0], **going)

    with shown, listening(hears):
        yield


def quoted(token: str, most: int = 24) -> str:
    """A token in quotes, what is invisible spelled out. Parameters: `token`; `most`, characters before it is cut."""
    text = token if len(token) <= most else token[: most - 1] + "…"
    return f'"{"".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)}"'


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign, whatever it is. Parameters: `value`; `digits` after the point."""
    return f"{value:+.{digits}f}"


def small(value: float | None) -> str:
    """An error or a bound. Parameters: `value`, None for nothing to say."""
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"


def fitted(text: str, room: int) -> str:
    """A dotted path cut at its beginning, which says least. Parameters: `text`; `room`, in columns."""
    return text if len(text) <= room else "…" + text[len(text) - room + 1 :]


def tone(value: float) -> str:
    """The colour of a contribution. Parameters: `value`."""
    return PLUS if value >= 0 else MINUS


def table(*columns: str, right: Iterable[int] = (), wrap: Iterable[int] = (), gap: int = 3) -> "Table":
    """An open table: no lines, dim heads.

    Parameters: `columns`, their heads; `right`, which of them hold numbers; `wrap`, which may have several lines;
    `gap`, between them.
    """
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style=DIM, show_header=any(columns))
    for i, name in enumerate(columns):
        made.add_column(name, justify="right" if i in right else "left", no_wrap=i not in wrap, overflow="ellipsis")
    return made


def bar(value: float, low: float, high: float, width: int, style: str) -> "Text":
    """A signed bar around the place of zero.

    Parameters: `value`; `low` and `high`, the smallest and largest value beside it (zero is between them); `width`,
    columns for all of it; `style`.
    """
    from rich.text import Text

    unit = (width - 1) / ((high - low) or 1.0)
    left = math.ceil(-low * unit)
    halves = round(2 * abs(value) * unit)
    full, half = divmod(halves, 2)
    if value >= 0:
        return Text.assemble(" " * left, ("│", DIM), ("█" * full + "▌" * half, style))
    return Text.assemble(" " * max(0, left - full - half), ("▐" * half + "█" * full, style), ("│", DIM))
