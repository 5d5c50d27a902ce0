"""Embedded models: a table of all, or the card of one."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ._terminal import DIM, TITLE, table, terminal

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_WIDE = 120  # columns of a terminal in which everything has a column of its own
_DIGITS = 12  # of a digest


def listed(records: list[dict[str, Any]]) -> Iterator["RenderableType"]:
    """A row for each model. Parameters: `records`, as `mainstem models --json` prints them."""
    from rich.text import Text

    yield _wide(records) if terminal().width >= _WIDE else _narrow(records)
    first = records[0]["name"]
    yield Text.assemble("\n", f"mainstem models {first}", (" shows its card, ", DIM), f"--model {first}", (" uses it", DIM))


def shown(record: dict[str, Any], card: str) -> Iterator["RenderableType"]:
    """One model: its sizes, then its card, which has the figures. Parameters: `record`, as of `listed`; `card`, in Markdown."""
    from rich.markdown import Markdown
    from rich.text import Text

    about = f"  {record['kind']}, {record['shape']}"
    yield Text.assemble((record["name"], TITLE), (about, DIM))
    if record["summary"]:
        yield Text(record["summary"])
    yield ""
    sizes = table("", "", wrap=[0, 1], gap=2)
    for name, value in _sizes(record):
        sizes.add_row(Text(f"  {name}", DIM), Text(value))
    yield sizes
    yield ""
    yield Markdown(card)


def _wide(records: list[dict[str, Any]]) -> "Table":
    made = table("model", "reads", "shape", "parameters", "size", "licence", "weights", "measured", right=[3, 4], wrap=[7])
    for record in records:
        sizes = dict(_sizes(record))
        made.add_row(*_head(record), sizes["parameters"], sizes["size"], sizes["licence"], _digits(record), _headline(record))
    return made


def _narrow(records: list[dict[str, Any]]) -> "Table":
    """Of each model two or three lines: what there is no column for stands below its shape."""
    from rich.text import Text

    made = table("model", "reads", "shape", "parameters", "size", right=[3, 4], wrap=[2], gap=2)
    for record in records:
        sizes = dict(_sizes(record))
        name, kind, shape = _head(record)
        more = "\n".join(filter(None, (f"{sizes['licence']}, weights {_digits(record)}", _headline(record))))
        made.add_row(name, kind, Text.assemble(shape, "\n", (more, DIM)), sizes["parameters"], sizes["size"])
    return made


def _head(record: dict[str, Any]) -> tuple[str, str, str]:
    return record["name"], record["kind"], record["shape"]


def _sizes(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "parameters", f"{record['provenance']['parameters']:,}"
    yield "size", f"{record['bytes'] / 1e6:.1f} MB" if record["bytes"] >= 1e6 else f"{record['bytes'] / 1e3:.0f} kB"
    yield "licence", record["licence"]
    yield "weights", record["provenance"]["weights"]


def _digits(record: dict[str, Any]) -> str:
    return str(record["provenance"]["weights"][:_DIGITS])


def _headline(record: dict[str, Any]) -> str:
    return next((f"{label}: {_said(value)}" for label, value in record["figures"].items()), "")


def _said(value: float | int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else value
