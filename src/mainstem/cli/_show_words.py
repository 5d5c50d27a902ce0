"""Words of components as a table: a row a word for one component, a row a component for several."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ._terminal import DIM, TITLE, quoted, signed, table, terminal, tone

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text


def shown(record: dict[str, Any]) -> Iterator["RenderableType"]:
    """The words of one prompt's place. Parameters: `record`, a `WordsResult` as plain data, with its prompt."""
    from rich.text import Text

    after = "" if record["position"] is None else f", after token {record['position']}, {quoted(record['token'] or '')}"
    what = "what is added" if record["of"] == "write" else "the row of weights"
    yield Text.assemble((record["model"], DIM), "  ", (quoted(record["prompt"], 400), TITLE))
    yield Text.assemble("\n", ("words", TITLE), (f"  {what} raises and lowers most{after}", DIM))
    found = record["words"]
    yield _columns(found[0]) if len(found) == 1 else _rows(found)


def _columns(one: dict[str, Any]) -> "Table":
    from rich.text import Text

    rows = table(f"  {one['component']} raises", "by", "lowers", "by", right=[1, 3])
    for up, down in zip(one["first"], one["last"], strict=True):
        rows.add_row(Text(f"  {quoted(up['word'])}"), _value(up["value"]), Text(quoted(down["word"])), _value(down["value"]))
    return rows


def _value(value: float) -> "Text":
    from rich.text import Text

    return Text(signed(value), tone(value))


def _rows(found: list[dict[str, Any]]) -> "Table":
    rows = table("  component", "raises", "lowers")
    room = (terminal().width - max(len(one["component"]) for one in found) - 8) // 2
    for one in found:
        rows.add_row(f"  {one['component']}", words_in(_texts(one["first"]), room), words_in(_texts(one["last"]), room))
    return rows


def _texts(said: list[dict[str, Any]]) -> list[str]:
    return [one["word"] for one in said]


def words_in(words: list[str], room: int) -> "Text":
    """As many words as there is room for, at least one. Parameters: `words`; `room`, in columns."""
    from rich.text import Text

    line = Text(quoted(words[0], max(6, room - 2)))
    for word in words[1:]:
        more = Text.assemble(line, " ", quoted(word))
        if more.cell_len > room:
            break
        line = more
    return line
