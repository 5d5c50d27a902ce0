"""Checks as a table with marks, and the verdict."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ._terminal import BAD, DIM, GOOD, TITLE, small, table

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def shown(record: dict[str, Any]) -> Iterator["RenderableType"]:
    """The checks with their numbers, and the verdict. Parameters: `record`, a `Verification` as plain data."""
    from rich.text import Text

    yield Text.assemble((record["model"], TITLE), "\n")
    yield checks(record["rows"])
    failed, total = sum(not row["ok"] for row in record["rows"]), len(record["rows"])
    said = (f"all {total} checks hold", DIM) if not failed else (f"{failed} of {total} checks fail", BAD)
    yield Text.assemble("\n", ("not verified", BAD) if failed else ("verified", GOOD), "  ", said)


def checks(rows: Iterable[dict[str, Any]]) -> "Table":
    """A row for each check. Parameters: `rows`, dictionaries of check, value, bound, ok and note."""
    from rich.text import Text

    made = table("", "", "error", "bound", "", right=[2, 3], wrap=[4], gap=2)
    for row in rows:
        mark = Text("  ✓", GOOD) if row["ok"] else Text("  ✗", BAD)
        note = Text(row["note"], DIM if row["ok"] else BAD)
        made.add_row(mark, Text(row["check"]), small(row["value"]), small(row["bound"]), note)
    return made
