"""A trace's summary as a page of text."""

from collections.abc import Iterator
from itertools import accumulate, zip_longest
from typing import TYPE_CHECKING, Any

from ._show_words import words_in
from ._terminal import BAD, DIM, GOOD, PLUS, TITLE, bar, quoted, signed, small, table, terminal, tone

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_NARROW = 72


def shown(record: dict[str, Any], zeroed: list[str]) -> Iterator["RenderableType"]:
    """Everything about one prompt. Parameters: `record`, a `Trace.summary`; `zeroed`, what was taken out."""
    width = terminal().width
    yield _heading(record, zeroed)
    yield from _prediction(record)
    yield from _writes(record, width)
    yield from _lens(record, width)
    yield from _heads(record, width)
    yield from _neurons(record, width)
    yield ""
    yield _closure(record)


def _title(*pieces: str) -> "Text":
    """Heads a section; every second piece is dim. Parameters: `pieces`."""
    from rich.text import Text

    return Text.assemble("\n", *((piece, DIM if i % 2 else TITLE) for i, piece in enumerate(pieces)))


def _heading(record: dict[str, Any], zeroed: list[str]) -> "Text":
    from rich.text import Text

    edits = f"  without {', '.join(zeroed)}" if zeroed else ""
    return Text.assemble((record["model"], DIM), "  ", (quoted(record["prompt"], 400), TITLE), (edits, DIM))


def _goal(record: dict[str, Any]) -> str:
    target = record["target"]
    against = target["against"]
    return quoted(target["text"]) + (f" over {quoted(against['text'])}" if against else "")


def _prediction(record: dict[str, Any]) -> Iterator["RenderableType"]:
    from rich.text import Text

    at = record["position"]
    after = f"  after token {at}, {quoted(record['tokens'][at])}" if at is not None and record["tokens"] else ""
    yield _title("prediction", after)
    rows = table("", "", "", right=[0])
    for i, row in enumerate(record["prediction"]):
        token, blocks = Text(quoted(row["token"]), TITLE if i == 0 else ""), Text("█" * round(20 * row["prob"]), PLUS)
        rows.add_row(f"  {_percent(row['prob']):>7}", token, blocks)
    yield rows


def _percent(p: float) -> str:
    return f"{100 * p:.1f} %" if p >= 0.001 else "< 0.1 %"


def _writes(record: dict[str, Any], width: int) -> Iterator["RenderableType"]:
    from rich.text import Text

    yield _title("writes", f"  what each adds to the logit of {_goal(record)}")
    found = _folded(record["writes"])
    values = [0.0, *(write["value"] for write in found)]
    rows = table("", "", "", right=[1])
    room = max(10, min(44, width - 4 - max(len(w["label"]) for w in found) - 14))
    for write in found:
        quiet = write["kind"] in ("constant", "rounding")
        style = DIM if quiet else tone(write["value"])
        picture = bar(write["value"], min(values), max(values), room, style)
        rows.add_row(Text(f"  {write['label']}", DIM if quiet else ""), Text(f"{signed(write['value']):>8}", style), picture)
    rows.add_row(Text("  sum", TITLE), Text(f"{signed(record['whole']):>8}", TITLE), "")
    yield rows


def _folded(writes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rounding of low precision has a row an addition, next to nothing each: shown as one."""
    rounding = [w for w in writes if w["kind"] == "rounding"]
    if len(rounding) < 2:
        return writes
    one = {"label": f"rounding ({len(rounding)} rows)", "kind": "rounding", "value": sum(w["value"] for w in rounding)}
    return [*(w for w in writes if w["kind"] != "rounding"), one]


def _lens(record: dict[str, Any], width: int) -> Iterator["RenderableType"]:
    from rich.text import Text

    target = quoted(record["target"]["text"], 14)
    yield _title("lens", "  what the stream already says after each layer")
    rows = table("  point", "top token", "prob", f"log p({target})", "rank", right=[2, 3, 4])
    for row in (r for r in record["lens"] if ".resid_mid" not in r["point"]):
        style = PLUS if row["rank"] == 0 else ""
        token = Text(quoted(row["token"], 24 if width >= _NARROW else 12), style)
        numbers = _percent(row["top_prob"]), f"{row['logprob']:.2f}", Text(str(row["rank"]), style)
        rows.add_row(f"  {row['point']}", token, *numbers)
    yield rows


def _heads(record: dict[str, Any], width: int) -> Iterator["RenderableType"]:
    from rich.text import Text

    heads = record["heads"]
    if not heads:
        return
    yield _title("heads", "  the strongest, and what they read at which token")
    sources = [[_source(source, 14) for source in head["sources"][:3]] for head in heads]
    room = width - 2 - max(len(head["label"]) for head in heads) - 3 - 8
    most = max(1, _fitting(sources, room))
    rows = table("", "", *[""] * most)
    for head, cells in zip(heads, sources, strict=True):
        value = Text(f"{signed(head['value']):>8}", tone(head["value"]))
        rows.add_row(Text(f"  {head['label']}"), value, *cells[:most])
    yield rows


def _fitting(rows: list[list["Text"]], room: int) -> int:
    """How many columns fit side by side. Parameters: `rows`, of cells; `room`, in columns of the terminal."""
    widths = [max(cell.cell_len if cell else 0 for cell in column) + 3 for column in zip_longest(*rows)]
    return sum(total <= room for total in accumulate(widths))


def _source(source: dict[str, Any], most: int) -> "Text":
    from rich.text import Text

    value = (signed(source["value"]), tone(source["value"]))
    return Text.assemble((f"{source['position']} ", DIM), quoted(source["token"], most), " ", value)


def _neurons(record: dict[str, Any], width: int) -> Iterator["RenderableType"]:
    from rich.text import Text

    if not record["neurons"]:
        return
    yield _title("neurons", "  the strongest, and the words they raise most and lower most")
    rows = table("", "", "raises", "lowers")
    label = max(len(n["label"]) for n in record["neurons"])
    room = (width - label - 2 - 8 - 9 - 3) // 2
    for neuron in record["neurons"]:
        value = Text(f"{signed(neuron['value']):>8}", tone(neuron["value"]))
        rows.add_row(Text(f"  {neuron['label']}"), value, words_in(neuron["first"], room), words_in(neuron["last"], room))
    yield rows


def _closure(record: dict[str, Any]) -> "Text":
    from rich.text import Text

    closure = record["closure"]
    closed = closure["error"] <= closure["bound"]
    mark = ("closed", GOOD) if closed else ("not closed", BAD)
    numbers = f"error {small(closure['error'])}, bound {small(closure['bound'])}"
    return Text.assemble(mark, (f"  {closure['parts']:,} parts sum to {record['whole']:.4f}: {numbers}", DIM))
