"""Scores as a page of text: bars, words, and what proves them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ._terminal import BAD, DIM, GOOD, TITLE, bar, quoted, signed, small, table, terminal, tone

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_QUIET = ("constant", "rounding", "transport", "interaction")


def shown(record: dict[str, Any]) -> Iterator["RenderableType"]:
    """One prompt's scores. Parameters: `record`, as `mainstem score --json` prints it."""
    yield from _heading(record)
    yield _rows(record, terminal().width)
    yield ""
    yield _certificate(record) if "next" in record else _closure(record)


def _heading(record: dict[str, Any]) -> Iterator["RenderableType"]:
    from rich.text import Text

    yield Text.assemble((record["model"], DIM), "  ", (quoted(record["prompt"], 400), TITLE))
    at, choices = record["position"], record["choices"]
    after = f"  after token {at}" if at is not None else ""
    rules = [f"{name} {choices[name]}" for name in ("norm", "base") if name in choices]
    rules += ["no norm bias"] if choices.get("norm_bias") is False else []
    yield Text.assemble("\n", (choices["target"], TITLE), (f"{after}  {', '.join(rules)}", DIM))


def _rows(record: dict[str, Any], width: int) -> "RenderableType":
    from rich.text import Text

    parts, total = record["parts"], record.get("sum")
    write = record["choices"]["level"] == "write"
    if not write:
        named = {part["component"]: part for part in parts}
        parts = [named[label] for label in record["best"]]
    values = [0.0, *(part["value"] for part in parts)]
    digits = 0 if all(float(value).is_integer() for value in values) else 3
    label = max(len(part["component"]) for part in parts)
    left = width - label - 18
    room = 0 if left < 10 else min(36, left if write or left < 22 else left // 2)
    words = not write and left - room >= 12
    rows = table("", "", *[""] * bool(room), *["raises"] * words, right=[1])
    for part in parts:
        style = DIM if part.get("kind") in _QUIET else tone(part["value"])
        cells = [Text(f"  {part['component']}", DIM if style == DIM else "")]
        cells.append(Text(f"{signed(part['value'], digits):>8}", style))
        cells += [bar(part["value"], min(values), max(values), room, style)] * bool(room)
        rows.add_row(*cells, *[_words(part.get("words", []), left - room - 2)] * words)
    if write and total is not None and record["choices"].get("additive", True):
        rows.add_row(Text("  sum", TITLE), Text(f"{signed(total):>8}", TITLE))
    return rows


def _words(words: list[str], room: int) -> str:
    """As many words as there is room for."""
    line = ""
    for word in words:
        more = f"{line} {quoted(word, 14)}".strip()
        if len(more) > room:
            break
        line = more
    return line


def _certificate(record: dict[str, Any]) -> "Text":
    from rich.text import Text

    choices, after = record["choices"], record["next"]
    said = (
        "every part is shown" if after is None else f"every other part is at most {signed(after, 0 if after.is_integer() else 3)}"
    )
    worked = f": {choices['worked_out']:,} of {choices['of']:,} worked out in full" if choices.get("certified") else ""
    return Text.assemble(("certified" if choices.get("certified") else "sorted", GOOD), (f"  {said}{worked}", DIM))


def _closure(record: dict[str, Any]) -> "Text":
    from rich.text import Text

    if not record["choices"].get("additive", True):
        return Text(f"{len(record['parts']):,} parts; this score does not sum to anything", style=DIM)
    closed = record["error"] <= record["bound"]
    mark = ("closed", GOOD) if closed else ("not closed", BAD)
    numbers = f"error {small(record['error'])}, bound {small(record['bound'])}"
    within = record["choices"].get("within")
    numbers += f"; each is within {within:g}" if within and record["choices"]["level"] != "write" else ""
    return Text.assemble(mark, (f"  {len(record['parts']):,} parts sum to {record['sum']:.4f}: {numbers}", DIM))
