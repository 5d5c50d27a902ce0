"""What patching did, as a page of text."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ._terminal import DIM, TITLE, bar, quoted, signed, table, terminal, tone

if TYPE_CHECKING:
    from rich.console import RenderableType


def shown(record: dict[str, Any]) -> Iterator["RenderableType"]:
    """The strongest patches. Parameters: `record`, as `mainstem patch --json` prints it."""
    from rich.text import Text

    choices = record["choices"]
    yield Text(choices["model"], style=DIM)
    for name in ("clean", "corrupt"):
        said = quoted(choices[name][0], 400) if choices[name] else "an input"
        yield Text.assemble((f"  {name:<8}", DIM), (said, TITLE), (f"  {record[name]:.4f}", ""))
    into = "clean into corrupt" if choices["side"] == "denoise" else "corrupt into clean"
    how = "estimated by one backward pass" if choices["by"] == "attribution" else f"{len(record['parts'])} strongest patches"
    yield Text.assemble("\n", (record["target"], TITLE), (f"  {choices['metric']}; {into}; {how}", DIM))
    yield _rows(record["parts"], terminal().width)
    if record.get("agreement") is not None:
        yield Text(f"\nrank correlation of estimates with patching, of those patched: {record['agreement']:.3f}", style=DIM)


def _rows(parts: list[dict[str, Any]], width: int) -> "RenderableType":
    from rich.text import Text

    checked = any(part.get("exact") is not None for part in parts)
    values = [0.0, *(part["effect"] for part in parts)]
    room = max(0, min(30, width - 66 - 10 * checked))
    heads = ("", "token", "effect", *(["patched"] if checked else []), "recovery", *[""] * bool(room))
    rows = table(*heads, right=[2, 3, *([4] if checked else [])])
    for part in parts:
        style = tone(part["effect"])
        token = "every token" if part["position"] is None else f"{part['position']} {quoted(part['token'] or '', 14)}"
        cells = [Text(f"  {part['component']}"), Text(token), Text(signed(part["effect"]), style)]
        cells += [Text("" if part["exact"] is None else signed(part["exact"]), tone(part["exact"] or 0))] if checked else []
        cells += [Text("" if part["recovery"] is None else f"{100 * part['recovery']:.1f}%")]
        cells += [bar(part["effect"], min(values), max(values), room, style)] * bool(room)
        rows.add_row(*cells)
    return rows
