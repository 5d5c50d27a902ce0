"""The diagram: the streams of a map side by side, with what the proof found below them."""

from collections.abc import Iterator

from mainstem.find import Proof, StreamMap, bottleneck

from ._fold import items
from ._sheet import PILL, PILL_WIDTH, WIDE, Sheet, sheet
from ._svg import Picture, element, picture, plain, short, small, text

MARGIN, GUTTER, TOP = 16.0, 34.0, 56.0


def diagram(found: StreamMap) -> Picture:
    """The map as a standalone SVG: every stream from its entry down, with blocks, writes, transports and readout.

    The spine is wider where the stream is; where two streams meet, what the writes read across is linked. Blocks of one
    form in a long row are folded. The proof's numbers stand below.

    Parameters: `found`, the map.
    """
    sheets = [sheet(s, MARGIN + i * (WIDE + GUTTER), TOP, s.name) for i, s in enumerate(found.streams)]
    foot = max(s.y for s in sheets) + 18
    lines = [*_shape(found), *_proof(found.proof)]
    width = 2 * MARGIN + len(sheets) * (WIDE + GUTTER) - GUTTER
    drawn = [part for s in sheets for part in s.markup()]
    parts = [*_heading(found), *drawn, *_links(sheets), *_table(lines, foot, width)]
    title = f"The residual streams of {plain(found.module)}"
    return picture("ms-diagram", width, foot + 20 * len(lines) + 22, title, parts)


def _heading(found: StreamMap) -> Iterator[str]:
    yield text(MARGIN, 30, short(plain(found.module), 44), "head")
    blocks = sum(len(s.blocks) for s in found.streams)
    writes = sum(len(s.writes) for s in found.streams)
    drawn = sum(len(items(s)) for s in found.streams)
    folded = ", equal ones folded" if drawn < blocks else ""
    words = f"{blocks} blocks, {writes} writes, main stream {found.main.width} wide{folded}"
    yield text(MARGIN, 48, words, "muted fine")


def _links(sheets: list[Sheet]) -> Iterator[str]:
    """From the other stream's end to each write that reads it; of more than two it is not known which is read."""
    if len(sheets) != 2:
        return
    for reader, read in (sheets, sheets[::-1]):
        if reader.crosses and reader.x < read.x:
            lane, end = read.x - GUTTER / 2, read.y - 21
            way = f"M{read.spine - 24:.1f},{end:.1f} H{lane:.1f} V{min(reader.crosses):.1f}"
            yield element("path", class_="link", d=way)
            for y in reader.crosses:
                tip = reader.x + PILL + PILL_WIDTH + 1
                yield element("path", class_="link", d=f"M{lane:.1f},{y:.1f} H{tip:.1f}")
                yield element("path", class_="fill k-cross", d=f"M{tip:.1f},{y:.1f} l8,-4.5 v9Z")


def _shape(found: StreamMap) -> Iterator[tuple[str, str]]:
    for stream in found.streams:
        mark = f" {plain(stream.name)}" if stream.name else ""
        yield f"classes{mark}", plain(" \u203a ".join(stream.classes))
        for note in filter(None, bottleneck(stream).split("; ")):
            yield f"narrows{mark}", note


def _proof(proof: Proof | None) -> Iterator[tuple[str, str]]:
    if proof is None:
        yield "proof", "not proved"
        return
    holds = "holds" if proof.closed else "FAILS"
    yield "closure", f"{holds}: {small(proof.max_error)} against a bound of {small(proof.bound)}, {proof.dtype}"
    yield "continuity", small(proof.continuity)
    yield "cut", f"{small(proof.cut)} over {proof.cut_points} points"
    yield "bypass", ", ".join(map(plain, proof.bypass)) or "none"
    missing = ", ".join(map(plain, proof.uncovered))
    yield "coverage", f"not covered: {missing}" if missing else "all that has weights"
    yield "response", small(proof.response)


def _table(lines: list[tuple[str, str]], top: float, width: float) -> Iterator[str]:
    yield element("path", class_="rule", d=f"M{MARGIN},{top - 8:.1f} H{width - MARGIN:.1f}")
    for i, (name, words) in enumerate(lines):
        yield text(MARGIN, top + 14 + 20 * i, name, "muted fine")
        yield text(MARGIN + 80, top + 14 + 20 * i, short(words, int((width - 120) / 6.4)), "fine figure")
