"""One stream drawn from its entry down: three layers of markup, and a pen that moves down as things are drawn."""

from dataclasses import dataclass, field
from math import log2

from mainstem.find import Point, Stream, Write

from ._fold import Block, Fold, items, operations, within
from ._svg import TIMES, element, kind_class, number, plain, short, text, tooltip

WIDE, SPINE, PILL = 420.0, 132.0, 176.0
PILL_WIDTH, LINE = 226.0, 28.0


@dataclass(slots=True)
class Sheet:
    """What is drawn of a stream so far: boxes behind, the spine's stations, things in front, where cross writes are."""

    x: float
    y: float
    narrow: int
    back: list[str] = field(default_factory=list)
    front: list[str] = field(default_factory=list)
    stations: list[tuple[float, float]] = field(default_factory=list)
    crosses: list[float] = field(default_factory=list)

    @property
    def spine(self) -> float:
        """The spine's middle."""
        return self.x + SPINE

    def half(self, width: int) -> float:
        """Half the spine: a pixel and a half more for every doubling. Parameters: `width`, of the stream there."""
        return 3.0 + min(1.6 * log2(max(width / self.narrow, 1.0)), 10.0)

    def markup(self) -> list[str]:
        """All layers, the spine between them."""
        right = [f"{self.spine + h:.1f},{y:.1f}" for y, h in self.stations]
        left = [f"{self.spine - h:.1f},{y:.1f}" for y, h in reversed(self.stations)]
        return [*self.back, element("path", class_="water", d=f"M{' L'.join(right + left)}Z"), *self.front]


def sheet(stream: Stream, x: float, y: float, name: str) -> Sheet:
    """Draws a stream. Parameters: `stream`; `x` and `y`, its upper left corner; `name`, its heading, if any."""
    drawn = Sheet(x, y, min(p.width for p in stream.points))
    _entry(drawn, stream, name)
    shape = stream.points[0].shape
    for item in items(stream):
        if isinstance(item, Fold):
            _fold(drawn, item)
        else:
            shape = _block(drawn, item, shape)
    _readout(drawn, stream)
    return drawn


def _shape(point: Point) -> str:
    sizes = point.shape
    image = len(sizes) == 4 and point.axis == 1
    return f"{sizes[1]} of {sizes[2]}{TIMES}{sizes[3]}" if image else f"{point.width} wide"


def _entry(sheet: Sheet, stream: Stream, name: str) -> None:
    entry = stream.points[0]
    if name:
        sheet.front.append(text(sheet.x + SPINE, sheet.y + 18, short(plain(name), 30), "strong mid"))
    sheet.y += 34 if name else 16
    sheet.stations.append((sheet.y - 4, 1.0))
    _writes(sheet, entry.writes, "")
    _point(sheet, entry, True)
    _tag(sheet, operations(entry.face.keys()), "read through ")


def _block(sheet: Sheet, block: Block, shape: tuple[int, ...]) -> tuple[int, ...]:
    top = sheet.y + 6
    sheet.front.append(text(sheet.x + WIDE - 12, top + 18, f"{plain(block.kind)} {block.index}", "strong fine end"))
    path = short(plain(block.path), 44, "tail")
    sheet.front.append(text(sheet.x + WIDE - 12, top + 33, path, "muted fine end"))
    sheet.y = top + 42
    for point, way in block.steps:
        _tag(sheet, way, "")
        _writes(sheet, point.writes, block.path)
        _point(sheet, point, point.shape != shape)
        _tag(sheet, operations(point.face.keys()), "read through ")
        shape = point.shape
    sheet.back.append(element("rect", class_="box", x=sheet.x, y=top, width=WIDE, height=sheet.y - top + 2, rx=9))
    sheet.y += 8
    return shape


def _fold(sheet: Sheet, fold: Fold) -> None:
    words = f"… {fold.count} more like this …"
    box = {"x": sheet.x, "y": sheet.y + 6, "width": WIDE, "height": 44, "rx": 9}
    sheet.back.append(element("rect", class_="box", stroke_dasharray="4 4", **box))
    sheet.front.append(text(sheet.x + PILL, sheet.y + 25, words, "fine"))
    sheet.front.append(text(sheet.x + PILL, sheet.y + 40, f"{plain(fold.kind)} {fold.first} to {fold.last}", "muted fine"))
    sheet.y += 56


def _writes(sheet: Sheet, writes: tuple[Write, ...], path: str) -> None:
    """Every write a pill beside the spine, its stem joining at the addition below the last of them."""
    join = sheet.y + LINE * len(writes) - LINE / 2
    for write in writes:
        y = sheet.y + LINE / 2
        sheet.front.append(_stem(sheet, write, y, join))
        sheet.front.append(_pill(sheet, write, y, path))
        if write.kind == "cross":
            sheet.crosses.append(y)
        sheet.y += LINE
    sheet.y -= LINE if writes else 0


def _stem(sheet: Sheet, write: Write, y: float, join: float) -> str:
    x, start = sheet.spine + 8, sheet.x + PILL
    way = f"M{start:.1f},{y:.1f} C{x + 18:.1f},{y:.1f} {x + 26:.1f},{join:.1f} {x:.1f},{join:.1f}"
    return element("path", class_=f"stem stroke {kind_class(write.kind)}", d=way)


def _pill(sheet: Sheet, write: Write, y: float, path: str) -> str:
    factor = "" if write.factor == 1 else f" {TIMES} {number(write.factor, 3)}"
    label = f"{plain(write.label)}{factor}"
    module = within(plain(write.module), path)
    room = int((PILL_WIDTH - 26 - 7.2 * len(label)) / 6.6)
    x = sheet.x + PILL
    parts = [
        element("rect", class_=f"pill {kind_class(write.kind)}", x=x, y=y - 11, width=PILL_WIDTH, height=22, rx=11),
        text(x + 10, y + 4, label, "fine"),
        text(x + PILL_WIDTH - 10, y + 4, short(module, room, "tail"), "muted fine end") if room > 3 else "",
        tooltip(f"{plain(write.label)}: {plain(write.kind)}, written by {plain(write.module) or 'the module itself'}"),
    ]
    return element("g", parts)


def _point(sheet: Sheet, point: Point, changed: bool) -> None:
    y, x, half = sheet.y + LINE / 2, sheet.spine, sheet.half(point.width)
    last = sheet.stations[-1][1]
    sheet.stations += [(y - 9, last), (y, half)]
    label = point.name.rpartition(".")[2] if point.block >= 0 else point.name
    sheet.front.append(element("circle", class_="node", cx=x, cy=y, r=7.5))
    if point.block >= 0 or len(point.writes) > 1:
        sheet.front.append(element("path", class_="plus", d=f"M{x - 4:.1f},{y:.1f} h8 M{x:.1f},{y - 4:.1f} v8"))
    kept = "" if point.factor == 1 else f" (stream {TIMES} {number(point.factor, 3)})"
    sheet.front.append(text(x - 16, y + 4, short(plain(label), 16), "fine end", f"{plain(point.name)}{kept}"))
    sheet.y += LINE
    if changed:
        sheet.front.append(text(x - 16, sheet.y + 4, _shape(point), "muted fine end"))
        sheet.y += 8


def _tag(sheet: Sheet, names: tuple[str, ...], before: str) -> None:
    if not names:
        return
    words = before + " → ".join(plain(n) for n in names)
    width = min(6.4 * len(words) + 18, WIDE - SPINE - 22)
    parts = [
        element("rect", class_="tag", x=sheet.spine - 14, y=sheet.y + 2, width=width, height=20, rx=5),
        text(sheet.spine - 4, sheet.y + 16, short(words, int((width - 16) / 6.2), "head"), "fine muted"),
        tooltip(words),
    ]
    sheet.front.append(element("g", parts))
    sheet.y += 26


def _readout(sheet: Sheet, stream: Stream) -> None:
    last = stream.points[-1]
    half = sheet.half(last.width)
    sheet.y += 2
    _tag(sheet, operations(last.onward.keys()), "")
    sheet.stations.append((sheet.y + 8, half))
    module = stream.output.key[0] if stream.output else ""
    name = "end" if stream.name == "enc" else "readout"
    words = f"{name}: {short(plain(module), 34, 'tail')}" if module else name
    width = 7.0 * len(words) + 28
    sheet.front.append(element("rect", class_="water", x=sheet.spine - 24, y=sheet.y + 6, width=width, height=26, rx=13))
    sheet.front.append(text(sheet.spine - 10, sheet.y + 23, words, "fine strong foam"))
    sheet.y += 40
