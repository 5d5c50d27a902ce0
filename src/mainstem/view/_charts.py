"""Charts of a few numbers: lines over the points of the stream, and a map of cells such as layers by heads."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil, inf, isfinite

from mainstem.core import InputError

from ._svg import Picture, element, number, picture, plain, short, text, tooltip

WIDTH, MARGIN, TOP = 680.0, 16.0, 50.0
HIGH, LEFT, FOOT = 230.0, 44.0, 34.0
ROW, WIDEST, LABEL = 30.0, 92.0, 7.0
COLOURS = ("mlp", "cross", "attn", "conv", "entry", "mixer", "skip")


def lines(series: Mapping[str, Sequence[float]], steps: Sequence[str], title: str) -> Picture:
    """A line for each series over the same steps, from zero up, with its name at its end.

    Parameters: `series`, values by name, one for each step; `steps`, what stands below, such as points of the stream; `title`.
    Raises `InputError` where there are more or fewer values than steps.
    """
    for name, values in series.items():
        if not values or len(values) != len(steps) or not all(0 <= v < inf for v in values):
            raise InputError(f"{name}: lines() takes a value for each of {len(steps)} steps, none below zero, not {values}.")
    top = max([1e-12, *(v for values in series.values() for v in values)])
    top = 1.0 if 0.5 < top <= 1 else top
    room = 8 + LABEL * max([0, *map(len, series)])
    across = (WIDTH - MARGIN - LEFT - room) / max(1, len(steps) - 1)
    drawn = [*_scale(top, WIDTH - room), *_steps(steps, across), *_curves(series, steps, top, across)]
    return picture("ms-lines", WIDTH, TOP + HIGH + FOOT, plain(title), [text(MARGIN, 28, plain(title), "head"), *drawn])


def _scale(top: float, right: float) -> Iterator[str]:
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = TOP + HIGH * (1 - part)
        yield element("path", class_="rule", d=f"M{LEFT:.1f},{y:.1f} H{right:.1f}")
        yield text(LEFT - 6, y + 4, number(part * top), "muted fine figure end")


def _steps(steps: Sequence[str], across: float) -> Iterator[str]:
    every = ceil(LABEL * (1 + max([1, *map(len, steps)])) / across) if across else 1
    for i in range(0, len(steps), every):
        yield text(LEFT + i * across, TOP + HIGH + 20, plain(steps[i]), "muted fine mid")


def _curves(series: Mapping[str, Sequence[float]], steps: Sequence[str], top: float, across: float) -> Iterator[str]:
    ends = _apart({name: [TOP + HIGH * (1 - v / top) for v in values] for name, values in series.items()})
    for i, (name, values) in enumerate(series.items()):
        places = [(LEFT + j * across, TOP + HIGH * (1 - v / top)) for j, v in enumerate(values)]
        kind = f"k-{COLOURS[i % len(COLOURS)]}"
        way = " ".join(f"{'L' if j else 'M'}{x:.1f},{y:.1f}" for j, (x, y) in enumerate(places))
        parts = [element("path", class_="stem stroke", d=way)]
        for step, ((x, y), value) in enumerate(zip(places, values, strict=True)):
            said = f"{plain(name)}, {plain(steps[step])}: {number(value, 3)}"
            parts.append(element("circle", tooltip(said), class_="fill", cx=x, cy=y, r=3.5))
        parts.append(text(places[-1][0] + 10, ends[name] + 4, plain(name), "fine named"))
        yield element("g", parts, class_=kind)


def _apart(ways: dict[str, list[float]], gap: float = 15.0) -> dict[str, float]:
    """Where the names of lines stand: at their ends, moved down where they would overlap, and up again where that leaves the chart.

    Parameters: `ways`, heights of each line, whose last ones may be equal: then the ones before tell; `gap`, between names.
    """
    order = sorted(ways, key=lambda name: ways[name][::-1])
    found, above = [], -gap
    for name in order:
        above = max(ways[name][-1], above + gap)
        found.append(above)
    below = TOP + HIGH + gap
    for i in reversed(range(len(found))):
        below = found[i] = min(found[i], below - gap)
    return dict(zip(order, found, strict=True))


def grid(values: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str], title: str, digits: int = 2) -> Picture:
    """A cell for each number, blue above zero and red below, the stronger the larger.

    Parameters: `values`, a list of numbers for each row; `rows` and `columns`, their names; `title`; `digits` behind the point.
    Raises `InputError` where there are more or fewer values than names.
    """
    if [len(row) for row in values] != [len(columns)] * len(rows):
        sizes = [len(row) for row in values]
        raise InputError(f"grid() takes a value for each of {len(rows)} rows by {len(columns)} columns, not rows of {sizes}.")
    left = MARGIN + 8 + LABEL * max([0, *map(len, rows)])
    wide = min(WIDEST, (WIDTH - MARGIN - left) / max(1, len(columns)))
    most = max([1e-12, *(abs(v) for row in values for v in row if isfinite(v))])
    cells = [
        _cell(left + j * wide, TOP + 22 + i * ROW, wide, value, most, f"{rows[i]} {columns[j]}", digits)
        for i, row in enumerate(values)
        for j, value in enumerate(row)
    ]
    fits = int(wide / LABEL)
    heads = [
        text(left + (j + 0.5) * wide, TOP + 14, short(plain(name), fits), "muted fine mid") for j, name in enumerate(columns)
    ]
    names = [text(left - 8, TOP + 22 + (i + 0.63) * ROW, plain(name), "muted fine end") for i, name in enumerate(rows)]
    parts = [text(MARGIN, 28, plain(title), "head"), *heads, *names, *cells]
    width = min(WIDTH, max(left + wide * len(columns), MARGIN + 8.6 * len(title)) + MARGIN)
    return picture("ms-grid", width, TOP + 22 + ROW * len(rows) + MARGIN, plain(title), parts)


def _cell(x: float, y: float, wide: float, value: float, most: float, name: str, digits: int) -> str:
    share = abs(value) / most if isfinite(value) else 0.0
    box = {"x": x + 1, "y": y + 1, "width": wide - 2, "height": ROW - 2, "rx": 4}
    fill = element("rect", class_="water" if value >= 0 else "ebb", fill_opacity=f"{0.85 * share:.3f}", **box)
    words = text(x + wide / 2, y + 0.63 * ROW, number(value, digits), f"fine figure mid{' foam' if share > 0.75 else ''}")
    return element("g", [tooltip(f"{plain(name)}: {number(value, digits + 2)}"), fill, words])
