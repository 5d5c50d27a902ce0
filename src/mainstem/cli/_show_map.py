"""A map as text: every stream from entry to readout, then the proof."""

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from ._show_verify import checks
from ._terminal import DIM, TITLE, fitted, table, terminal

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from mainstem.algebra import Program
    from mainstem.find import Point, Proof, Stream, StreamMap

_MOST = 8  # of more blocks than this, the first and last two are shown


def shown(found: "StreamMap", name: str) -> Iterator["RenderableType"]:
    """The streams, then what was proved. Parameters: `found`; `name`, of the model."""
    from rich.text import Text

    n = len(found.streams)
    streams = "one residual stream" if n == 1 else f"{n} residual streams"
    yield Text.assemble((name, TITLE), (f"  {found.module}, {streams}", DIM))
    for stream in found.streams:
        yield from _stream(stream)
    if found.proof:
        yield from _proof(found.proof)


def _stream(stream: "Stream") -> Iterator["RenderableType"]:
    from rich.text import Text

    from mainstem.find import bottleneck

    blocks = f"{len(stream.blocks)} blocks ({stream.block_kind})"
    about = f"  {blocks}, {len(stream.points) - 1} additions, width {_widths(stream)}"
    yield Text.assemble("\n", (f"stream {stream.name}".strip(), TITLE), (about, DIM))
    for note in filter(None, (" > ".join(stream.classes), bottleneck(stream))):
        yield Text(f"  {note}", DIM)
    yield _additions(stream)
    if stream.output:
        readout = _operations(stream.points[-1].onward) or "the last point itself"
        yield Text.assemble("  readout: ", readout, (f"  by {stream.output.key[0] or '(root)'}", DIM))


def _additions(stream: "Stream") -> "Table":
    """A row for every write; of many blocks the first and last two. Parameters: `stream`."""
    from rich.text import Text

    ways = {point.name: _way(point) for point in stream.points[:-1]}
    rows = table("  point", "write", "kind", "made by", "then" if any(ways.values()) else "")
    blocks = list(dict.fromkeys(point.block for point in stream.points))
    folded = blocks[3:-2] if len(blocks) > _MOST + 1 else []
    rooms = _rooms(stream, max(map(len, ways.values())))
    for block, points in groupby(stream.points, lambda p: p.block):
        if folded and block == folded[0]:
            rows.add_row(Text(f"  ... {len(folded)} more", DIM))
        for point in () if block in folded else points:
            _add(rows, point, ways.get(point.name, ""), rooms)
    return rows


def _rooms(stream: "Stream", way: int) -> tuple[int, int]:
    """Columns for a module and for what comes then. Parameters: `stream`; `way`, what the longest transport takes."""
    writes = [write for point in stream.points for write in point.writes]
    fixed = [max(map(len, column)) for column in zip(*((w.label, w.kind) for w in writes), strict=True)]
    left = max(20, terminal().width - sum(fixed) - max(len(p.name) for p in stream.points) - 14)
    then = min(way, max(left // 3, left - 3 - max(len(w.module) for w in writes)))
    return left - then - (3 if then else 0), then


def _add(rows: "Table", point: "Point", way: str, rooms: tuple[int, int]) -> None:
    """Rows for the writes of a point. Parameters: `rows`; `point`; `way`, the transport behind it; `rooms`, of both."""
    from rich.text import Text

    for i, write in enumerate(point.writes):
        name, then = (f"  {point.name}", Text(way, DIM)) if i == 0 else ("", Text())
        then.truncate(rooms[1], overflow="ellipsis")
        module = Text(fitted(write.module or "(root)", rooms[0]))
        rows.add_row(Text(name), Text(write.label), Text(write.kind, DIM), module, then)


def _way(point: "Point") -> str:
    """The transport to the next addition; where it stands before what is read, a bar follows."""
    return " | ".join(filter(None, (_operations(point.face), _operations(point.onward))))


def _operations(program: "Program") -> str:
    return ", ".join(step.key[2].strip("_") for step in program.steps)


def _widths(stream: "Stream") -> str:
    sizes = [p.width for p in stream.points[1:]]
    return " -> ".join(str(size) for size in dict.fromkeys(sizes))


def _proof(proof: "Proof") -> Iterator["RenderableType"]:
    from rich.text import Text

    yield Text.assemble("\n", ("proof", TITLE), (f"  in {proof.dtype}", DIM))
    yield checks(
        {"check": check, "value": value, "bound": proof.bound if check == "closure" else None, "ok": ok, "note": note}
        for check, value, ok, note in (
            ("closure", proof.max_error, proof.closed, "entry and writes rebuild every point"),
            ("continuity", proof.continuity, True, "transports lead from point to point"),
            ("cut", proof.cut, True, f"{proof.cut_points} points swapped: the rest follows"),
            ("bypass", None, True, ", ".join(proof.bypass) or "nothing passes the stream by"),
            ("coverage", None, not proof.uncovered, _uncovered(proof)),
            ("response", proof.response, True, "a write removed changes the end as carried"),
        )
    )


def _uncovered(proof: "Proof") -> str:
    names = ", ".join(proof.uncovered[:4])
    more = f" and {len(proof.uncovered) - 4} more" if len(proof.uncovered) > 4 else ""
    return f"around the stream: {names}{more}" if names else "no weights reach the output around it"
