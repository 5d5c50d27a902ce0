"""A number at every point of a stream: one line for each model or data set, over the blocks."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from math import ceil, isfinite
from typing import Any

from mainstem.core import InputError

from ._altair import Chart, altair
from ._numbers import Figures, Space, few
from ._tables import every, heading
from ._theme import colours, hues

WIDE, HIGH = 700, 280
_LAYER = re.compile(r"\bL\d+\.")
_DECADES = 100.0  # values that span more stand on a logarithmic axis
_WORDS = {"rms": "RMS", "cka": "CKA", "llm_int8": "LLM.int8"}
Rows = list[dict[str, Any]]


def by_point(
    data: Mapping[str, Iterable[Mapping[str, Any]]],
    measure: str,
    number: str = "",
    title: str | None = None,
    about: str = "",
    reference: str = "reference",
    width: int | float = WIDE,
    height: int | float = HIGH,
) -> Chart:
    """A number at every point of the stream, in order, over the blocks that have been passed.

    The k-th of the m points of block b stands at b + k / m, what comes before the first block at 0. Thin lines are where blocks begin,
    dark ones where the stream changes its width. Bars are one standard error to either side. Values above zero that span more than
    two decades stand on a logarithmic axis. Each kind of write is a line of its own, and the points are one.

    Parameters: `data`, by the name of a model or a data set, records with site, layer (None before the first block and behind the
    last), value and, where known, passed (its place, else by its order), error, width (of the stream) and reference (what the value is held against); `measure`; `number`
    of it, its own name by default; `title`, by default that; `about`, lines below it; `reference`, what the references are;
    `width` and `height`, of what is drawn. Raises `InputError` where there is nothing to draw, where no value is finite, and where
    altair is missing.
    """
    alt = altair()
    series = _series(data)
    rows = [row for part in series.values() for row in part]
    space = _space(rows, width, height)
    for row in rows:
        row["lower"] = None if row["lower"] is None else max(row["lower"], space.low)
    named = said(measure) if number in ("", measure) else f"{said(measure)}: {said(number)}"
    marks = _Marks(alt, series, space, said(number or measure))
    drawn = alt.layer(*marks.behind(reference), *marks.lines(), *marks.figures())
    head = named[:1].upper() + named[1:] if title is None else title
    return Chart(drawn.properties(title=heading(head, about, width)))


def said(name: str) -> str:
    """A measure's name as people write it. Parameters: `name`."""
    return _WORDS.get(name, name.replace("_", " "))


class _Marks:
    """The layers of the chart. Parameters: `alt`; `series`, rows by name; `space`; `measure`, as the axis says it."""

    def __init__(self, alt: Any, series: dict[str, Rows], space: Space, measure: str) -> None:
        self.alt, self.series, self.space, self.measure = alt, series, space, measure
        self.blocks = ceil(max(row["x"] for rows in series.values() for row in rows) - 1e-9)
        across = alt.Scale(domain=[space.first, space.last], nice=False, zero=False)
        ticks = every(self.blocks + 1, int(space.width / 26))
        self.x = alt.X("x:Q", title="blocks passed", scale=across, axis=alt.Axis(values=ticks, format="d", grid=False))
        kind = "log" if space.log else "linear"
        up = alt.Scale(domain=[space.low, space.high], nice=False, zero=False, type=kind, clamp=True)
        self.y = alt.Y("value:Q", title=measure, scale=up, axis=alt.Axis(tickCount=6, **({"format": "~g"} if space.log else {})))
        names = list(series)
        legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=3, columns=3, labelLimit=0)
        paint = alt.Scale(domain=names, range=hues(len(names)))
        known = ([(r["x"], r["reference"]) for r in rows if r["reference"] is not None] for rows in series.values())
        ways = sorted({tuple(way) for way in known if way}, key=len)
        if len({value for way in ways for _, value in way}) == 1:
            every_x, value = [x for way in ways for x, _ in way], ways[0][0][1]
            ways = [((min(every_x), value), (max(every_x), value))]
        self.held = [{"x": x, "value": value, "way": i} for i, way in enumerate(ways) for x, value in way]
        self.room = Figures(series, space, [both for way in ways for both in pairwise(way)])
        self.colour = alt.Color("name:N", scale=paint, legend=legend if len(names) > 1 else None)

    def behind(self, reference: str) -> list[Any]:
        """Lines where blocks begin and widths change, and what values are held against. Parameters: `reference`, its text."""
        alt, c = self.alt, colours()
        thin = every(self.blocks + 1, int(self.space.width / 5))
        changes = {row["x"] for rows in self.series.values() for row in rows if row["changed"]}
        lines = [{"x": x, "stage": False} for x in thin if x not in changes] + [{"x": x, "stage": True} for x in sorted(changes)]
        rule = (
            alt.Chart(alt.Data(values=lines))
            .mark_rule(aria=False)
            .encode(
                x=self.x,
                color=alt.condition("datum.stage", alt.value(c["muted"]), alt.value(c["line"])),
                strokeWidth=alt.condition("datum.stage", alt.value(1.5), alt.value(1)),
            )
        )
        return [rule, *self._reference(reference)]

    def _reference(self, text: str) -> list[Any]:
        alt, muted, rows = self.alt, colours()["muted"], self.held
        if not rows:
            return []
        known = {few(row["value"]) for row in rows}
        words = f"{text} = {known.pop()}" if len(known) == 1 else text
        base = alt.Chart(alt.Data(values=rows)).encode(x=self.x, y=self.y)
        line = base.mark_line(color=muted, strokeDash=[5, 4], strokeWidth=1.5, interpolate="step-before", aria=False)
        line = line.encode(detail="way:N")
        first, last = min(rows, key=lambda r: r["x"]), max(rows, key=lambda r: r["x"])
        spots = [(row, up, align) for up in (True, False) for row, align in ((last, 1.0), (first, 0.0))]
        place = next((s for s in spots if self.room.free(s[0]["x"], s[0]["value"], words, s[1], s[2])), None)
        row, up, align = place or spots[0]
        if place is None:
            self.room.free(row["x"], row["value"], words, up, align, force=True)
        mark = alt.Chart(alt.Data(values=[row | {"text": words}])).encode(x=self.x, y=self.y, text="text:N")
        side = {"align": "right" if align else "left", "dy": -10 if up else 11}
        return [line, mark.mark_text(color=muted, fontSize=10, fontStyle="italic", aria=False, **side)]

    def lines(self) -> list[Any]:
        """Standard errors, lines and points."""
        alt = self.alt
        rows = [row for part in self.series.values() for row in part]
        base = alt.Chart(alt.Data(values=rows), width=self.space.width, height=self.space.height)
        base = base.encode(x=self.x, y=self.y, color=self.colour)
        tips = ["name:N", "site:N", alt.Tooltip("value:Q", format=".6~g", title=self.measure)]
        errors = base.transform_filter("isValid(datum.upper)").mark_rule(strokeWidth=1.5, aria=False)
        return [
            errors.encode(y=self.alt.Y("lower:Q", title=self.measure), y2="upper:Q"),
            base.mark_line(strokeWidth=2, aria=False),
            base.mark_circle(size=26, opacity=1).encode(description="said:N", tooltip=tips),
        ]

    def figures(self) -> list[Any]:
        """Values where they fit, over and below their points."""
        alt = self.alt
        found = self.room.beside()
        parts = [([r for r in found if r["up"] == up], dy) for up, dy in ((True, -10), (False, 11))]
        return [
            alt.Chart(alt.Data(values=rows)).mark_text(fontSize=10, dy=dy, aria=False).encode(
                x=self.x, y=self.y, text="text:N", color=self.colour
            )
            for rows, dy in parts
            if rows
        ]  # fmt: skip


def _series(data: Mapping[str, Iterable[Mapping[str, Any]]]) -> dict[str, Rows]:
    """Rows by the name of their line, with their places, what is not finite left out."""
    found: dict[str, Rows] = {}
    for name, records in data.items():
        placed = _placed(list(records))
        kinds = list(dict.fromkeys(kind for kind, _ in placed))
        for kind in kinds:
            line = f"{name}, {kind}" if len(kinds) > 1 else name
            rows = [_row(line, record) for of, record in placed if of == kind and _finite(record["value"])]
            for one, after in pairwise(rows):
                one["changed"] = None not in (one["width"], after["width"]) and one["width"] != after["width"]
            if rows:
                found[line] = rows
    if not found:
        raise InputError("there is nothing to draw: no value here is finite.")
    return found


def _row(line: str, record: Mapping[str, Any]) -> dict[str, Any]:
    value, error = float(record["value"]), record.get("error")
    bar = float(error) if error is not None and _finite(error) and error > 0 else None
    ends = {"lower": None, "upper": None} if bar is None else {"lower": value - bar, "upper": value + bar}
    told = f"{line}, {record['site']}: {few(value)}" + ("" if bar is None else f" ± {few(bar)}")
    reference = record.get("reference")
    more = {"width": record.get("width"), "reference": reference if _finite(reference) else None, "changed": False}
    return {"name": line, "site": record["site"], "x": record["x"], "value": value, "said": told, **ends, **more}


def _placed(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Each record with the kind of its site, and x, how many blocks have been passed."""
    last = max([-1, *(r["layer"] for r in records if r["layer"] is not None)])
    begun, found = False, []
    kinds = {kind: [r for r in records if _kind(r["site"]) == kind] for kind in dict.fromkeys(_kind(r["site"]) for r in records)}
    for kind, some in kinds.items():
        begun = False
        for layer, group in groupby(some, key=lambda r: r["layer"]):
            rows = list(group)
            for k, record in enumerate(rows, 1):
                given = record.get("passed")
                x = (
                    given
                    if given is not None
                    else layer + k / len(rows)
                    if layer is not None
                    else last + 1 + k / len(rows)
                    if begun
                    else 0.0
                )
                found.append((kind, {**record, "x": x}))
            begun = begun or layer is not None
    return found


def _kind(site: str) -> str:
    """What is a line of its own: the points, and of writes those of one name."""
    first = site.partition(" -> ")[0]
    name = first.rpartition(".")[2]
    return "points" if name.startswith("resid") or name == "entry" else _LAYER.sub("", first)


def _space(rows: Rows, width: float, height: float) -> Space:
    """Where values go: from zero, but where they are all far from it, and by decades where they span more than two."""
    ends = [v for r in rows for v in (r["value"], r["lower"], r["upper"], r["reference"]) if v is not None]
    values = [r["value"] for r in rows]
    last = max(1.0, *(r["x"] for r in rows))
    across = (-0.025 * last, 1.025 * last)
    if min(values) > 0 and max(values) / min(values) > _DECADES:
        low = min(v for v in ends if v >= min(values) / 10)
        return Space(width, height, *across, low / 1.3, max(ends) * 1.6, True)
    low, high = min(ends), max(ends)
    near = low < 0 or low < 0.6 * high
    low, high = (min(low, 0.0), max(high, 0.0)) if near else (low, high)
    room = (high - low) or abs(high) or 1.0
    return Space(width, height, *across, low - (0.1 * room if low < 0 or not near else 0.0), high + 0.12 * room, False)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and isfinite(value)
