"""Figures beside the points of lines: those that have room, the most telling first."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import log10
from typing import Any, NamedTuple

from ._svg import MINUS

_CHARACTER, _LINE, _GAP = 5.8, 11.0, 5.0
Box = tuple[float, float, float, float]


class Space(NamedTuple):
    """What values stand in. Parameters: `width` and `height`, in pixels; `first` and `last` of x; `low`, `high` and `log`, of y."""

    width: float
    height: float
    first: float
    last: float
    low: float
    high: float
    log: bool

    def at(self, x: float, value: float) -> tuple[float, float]:
        """The pixel of a value, from the upper left. Parameters: `x`; `value`."""
        low, high, v = (log10(n) if self.log else n for n in (self.low, self.high, value))
        return self.width * (x - self.first) / (self.last - self.first), self.height * (high - v) / (high - low)


def few(value: float) -> str:
    """A number in three figures. Parameters: `value`."""
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e").replace("-", MINUS)
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{3 if 0 < abs(value) < 0.1 else digits}f}".replace("-", MINUS)


class Figures:
    """Where words go among lines: no two overlap, and none lies on a point, a line or a bar.

    Parameters: `series`, rows with x, value, lower and upper (the ends of a bar, None where there is none) by the name of their line;
    `space`; `lines`, further ones, each as two ends (x, value).
    """

    def __init__(
        self,
        series: Mapping[str, Sequence[Mapping[str, Any]]],
        space: Space,
        lines: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
    ) -> None:
        self.series, self.space = series, space
        rows = [row for part in series.values() for row in part]
        ends = [((a["x"], a["value"]), (b["x"], b["value"])) for part in series.values() for a, b in pairwise(part)]
        bars = [((row["x"], row["lower"]), (row["x"], row["upper"])) for row in rows if row["upper"] is not None]
        self.stretches = [(space.at(*one), space.at(*other)) for one, other in [*ends, *bars, *lines]]
        self.taken: list[Box] = [(x - 3, y - 3, x + 3, y + 3) for x, y in (space.at(r["x"], r["value"]) for r in rows)]

    def beside(self) -> list[dict[str, Any]]:
        """Figures of the points that have room for one, over or below it: rows with name, x, value (where it stands), text and up."""
        found = []
        for name, row in _telling(self.series):
            for up in (True, False):
                end = row["upper" if up else "lower"]
                at = row["value"] if end is None else end
                if self.free(row["x"], at, few(row["value"]), up):
                    found.append({"name": name, "x": row["x"], "value": at, "text": few(row["value"]), "up": up})
                    break
        return found

    def free(self, x: float, value: float, text: str, up: bool, align: float = 0.5, force: bool = False) -> bool:
        """Takes the room over or below a place, if it is free.

        Parameters: `x`; `value`; `text`; `up`; `align`, 0 for text that
        begins there, 1 for such as ends there; `force`, take it even if it is not.
        """
        box = _box(*self.space.at(x, value), text, up, align)
        inside = box[0] >= -8 and box[1] >= 0 and box[2] <= self.space.width + 8 and box[3] <= self.space.height
        free = inside and not any(_meet(box, other) for other in self.taken) and not any(_crossed(box, s) for s in self.stretches)
        if free or force:
            self.taken.append(box)
        return free


def _telling(series: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Points in the order in which they get their figures: the last, the highest, the lowest and the first, then the others."""
    orders = {}
    for name, rows in series.items():
        n = len(rows)
        ends = [n - 1, max(range(n), key=lambda i: rows[i]["value"]), min(range(n), key=lambda i: rows[i]["value"]), 0]
        orders[name] = list(dict.fromkeys([*ends, *range(n)]))
    for rank in range(max(map(len, orders.values()))):
        yield from ((name, series[name][order[rank]]) for name, order in orders.items() if rank < len(order))


def _box(x: float, y: float, text: str, up: bool, align: float) -> Box:
    wide = _CHARACTER * len(text)
    top = y - _GAP - _LINE if up else y + _GAP
    return x - align * wide, top, x + (1 - align) * wide, top + _LINE


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _crossed(box: Box, stretch: tuple[tuple[float, float], tuple[float, float]]) -> bool:
    """Whether a straight line goes through a box: some part of it is inside in both directions at once."""
    (x, y), (u, v) = stretch
    low, high = 0.0, 1.0
    for start, step, least, most in ((x, u - x, box[0], box[2]), (y, v - y, box[1], box[3])):
        if step == 0:
            if not least < start < most:
                return False
            continue
        ends = sorted(((least - start) / step, (most - start) / step))
        low, high = max(low, ends[0]), min(high, ends[1])
    return low < high
