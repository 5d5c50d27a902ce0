"""Queries as a page of text: values with what switched them on, the queries most credited, layer by layer."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ._terminal import DIM, GOOD, TITLE, bar, quoted, signed, small, table, terminal, tone

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_NARROW = 72
_QUIET = ("constant", "rounding")


def shown(record: dict[str, Any]) -> Iterator["RenderableType"]:
    """One prompt's queries. Parameters: `record`, as `mainstem queries --json` prints it."""
    width = terminal().width
    yield from _heading(record, f"values and queries of the {record['choices']['target']}")
    yield from _values(record, width)
    yield from _queries(record, width)
    yield from _layers(record, width)
    for label, reason in record["unread"].items():
        yield _text(f"  left out {label}: {reason}", DIM)
    yield ""
    yield _closure(
        f"{len(record['values'])} values, credits sum to {record['total']:.4f}",
        record["closure"]["error"],
        record["closure"]["bound"],
    )


def shown_one(record: dict[str, Any]) -> Iterator["RenderableType"]:
    """What switched one neuron or attention value on. Parameters: `record`, as `mainstem queries --of LABEL --json` prints it."""
    from rich.text import Text

    yield from _heading(record, record["choices"]["target"])
    parts = sorted(record["parts"], key=lambda part: -abs(part["value"]))
    most = 20
    rows = [(part["component"], part["value"], part["kind"] in _QUIET) for part in parts[:most]]
    if len(parts) > most:
        rows.append((f"{len(parts) - most} others", sum(part["value"] for part in parts[most:]), True))
    made = _bars(rows, terminal().width)
    made.add_row(Text("  pre-activation", TITLE), Text(f"{signed(record['sum']):>8}", TITLE), "")
    yield made
    yield ""
    yield _closure(f"{len(parts):,} parts sum to {record['sum']:.4f}", record["error"], record["bound"])


def _text(text: str, style: str) -> "Text":
    from rich.text import Text

    return Text(text, style)


def _heading(record: dict[str, Any], said: str) -> Iterator["Text"]:
    from rich.text import Text

    at = record["choices"].get("position", record.get("position"))
    where = "" if at is None else f"  at token {at}" + (f" {quoted(record['tokens'][at])}" if at < len(record["tokens"]) else "")
    yield Text.assemble((record["model"], DIM), "  ", (quoted(record["prompt"], 400), TITLE))
    yield Text.assemble("\n", (said, TITLE), (where, DIM))


def _values(record: dict[str, Any], width: int) -> Iterator["RenderableType"]:
    """A row for every key; where there is little room the token is left out, since the label of a value says its position."""
    from rich.text import Text

    wide = width >= _NARROW
    tokens = ["" if value["token"] is None or not wide else quoted(value["token"], 10) for value in record["values"]]
    said = [[f"{key['key']} {signed(key['activation'], 2)}" for key in value["keys"]] for value in record["values"]]
    used = (
        max(len(value["component"]) for value in record["values"])
        + max(map(len, tokens))
        + max(len(k) for ks in said for k in ks)
    )
    heads = ("  value", *(["read at"] if wide else []), "score", "key", "is the sum of")
    rows = table(*heads, right=[len(heads) - 3], gap=2)
    for value, token, keys in zip(record["values"], tokens, said, strict=True):
        first: list[Any] = [
            f"  {value['component']}",
            *([Text(token, DIM)] if wide else []),
            Text(signed(value["score"]), tone(value["score"])),
        ]
        for key, name in zip(value["keys"], keys, strict=True):
            rows.add_row(*first, name, _shares(key["parts"], width - used - 16))
            first = [""] * len(first)
    yield rows


def _shares(parts: list[dict[str, Any]], room: int) -> "Text":
    """As many parts as there is room for, at least one."""
    from rich.text import Text

    line = Text()
    for part in parts:
        more = Text.assemble(line, "  " if line else "", part["component"], " ", (signed(part["share"], 2), tone(part["share"])))
        if line and more.cell_len > room:
            break
        line = more
    return line


def _queries(record: dict[str, Any], width: int) -> Iterator["RenderableType"]:
    if not record["queries"]:
        yield _titled("queries", f"  nothing that is taken apart at level {record['choices']['level']} comes before these values")
        return
    yield _titled("queries", f"  the {len(record['queries'])} with the most credit for all these values")
    yield _bars([(row["component"], row["credit"], False) for row in record["queries"]], width)
    if record["both"]:
        yield _text(f"  query and value: {', '.join(record['both'][:8])}", DIM)


def _bars(rows: list[tuple[str, float, bool]], width: int) -> Any:
    from rich.text import Text

    values = [0.0, *(value for _, value, _ in rows)]
    room = max(10, min(36, width - max(len(label) for label, *_ in rows) - 18))
    made = table("", "", "", right=[1])
    for label, value, quiet in rows:
        style = DIM if quiet else tone(value)
        cells = Text(f"  {label}", DIM if quiet else ""), Text(f"{signed(value):>8}", style)
        made.add_row(*cells, bar(value, min(values), max(values), room, style))
    return made


def _titled(title: str, said: str) -> "Text":
    from rich.text import Text

    return Text.assemble("\n", (title, TITLE), (said, DIM))


def _layers(record: dict[str, Any], width: int) -> Iterator["RenderableType"]:
    """Scores of values and credit of queries by layer, attention and the rest beside each other."""
    from rich.text import Text

    yield _titled("layers", "  scores of the values, and where their credit goes")
    bins: dict[int | None, dict[str, float]] = {}
    for row in record["histogram"]:
        if row["role"] == "query-value":
            continue
        layer = bins.setdefault(-1 if row["layer"] is None and row["kind"] not in _QUIET else row["layer"], {})
        layer[row["role"]] = layer.get(row["role"], 0.0) + row["score"]
    values = [0.0, *(layer.get("query", 0.0) for layer in bins.values())]
    room = max(10, min(36, width - 40))
    rows = table("", "values", "queries", "", right=[1, 2])
    for name in sorted(bins, key=lambda at: (at is None, at)):
        said = {None: "biases", -1: "entry"}.get(name, f"L{name}")
        score, credit = bins[name].get("value", 0.0), bins[name].get("query", 0.0)
        cells = Text(signed(score) if score else "", tone(score)), Text(signed(credit), tone(credit))
        rows.add_row(f"  {said}", *cells, bar(credit, min(values), max(values), room, tone(credit)))
    yield rows


def _closure(said: str, error: float, bound: float) -> "Text":
    from rich.text import Text

    return Text.assemble(("closed", GOOD), (f"  {said}: error {small(error)}, bound {small(bound)}", DIM))
