"""The river: one traced prompt as a spine that its writes flow into, from the entry down to the logit."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from math import isfinite
from typing import Any

from ._svg import KINDS, Picture, element, kind_class, number, picture, plain, short, text, tooltip, visible

WIDTH, MARGIN, TOP = 440, 14, 92
BANK, VALUE, TOTAL = 30, 43, 46
DEPTH, SPRING = 20.0, 2.0
BAR, MOUTH = 5.0, 46.0


@dataclass(frozen=True, slots=True)
class Row:
    """One write: its label, kind and layer, what it adds, the sum so far, and where its line is."""

    label: str
    kind: str
    layer: int | None
    value: float
    total: float
    y: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything goes.

    `rows`; `spine`, its x; `unit`, pixels for a value of 1; `depth`, half the river for a sum of 1; `pitch`, of lines.
    """

    rows: tuple[Row, ...]
    spine: float
    unit: float
    depth: float
    pitch: float

    @property
    def end(self) -> float:
        """Where the last line ends."""
        return TOP + self.pitch * len(self.rows)

    def half(self, total: float) -> float:
        """Half the river's width. Parameters: `total`, the sum it carries."""
        return SPRING + self.depth * abs(total)


def river(record: dict[str, Any]) -> Picture:
    """The picture of one traced prompt: every write a tributary, its length what it adds to the target's logit.

    What adds stands on the right, what takes away on the left; the river is as wide as the sum so far, of another
    colour where that is negative; constants are grey. A standalone SVG, with a background of its own, light or dark.

    Parameters: `record`, the trace as plain data; read here are `writes`, `whole`, `target`, `prompt`, `model`.
    """
    plan = _plan(record["writes"])
    whole = float(record["whole"])
    drawn = [*_bands(plan), *_tributaries(plan), *_water(plan), *_lines(plan), *_mouth(plan, whole), *_legend(plan)]
    return picture("ms-river", WIDTH, plan.end + 98, _title(record, whole), [*_heading(record, plan, whole), *drawn])


def _plan(writes: list[dict[str, Any]]) -> Plan:
    values = [_finite(w["value"]) for w in writes]
    totals = list(accumulate(values))
    pitch = 20.0 if len(writes) <= 44 else 15.0
    rows = tuple(
        Row(w["label"], w["kind"], w.get("layer"), v, s, TOP + pitch * (i + 0.5))
        for i, (w, v, s) in enumerate(zip(writes, values, totals, strict=True))
    )
    gain, loss = max([0.0, *values]), max([0.0, *(-v for v in values)])
    labels = min(106.0, 6.8 * max([6, *(len(r.label) for r in rows)]))
    room = WIDTH - 2 * MARGIN - labels - TOTAL - 2 * BANK - 2 * VALUE
    unit = room / ((gain + loss) or 1.0)
    spine = MARGIN + labels + VALUE + loss * unit + BANK
    return Plan(rows, spine, unit, DEPTH / (max([0.0, *map(abs, totals)]) or 1.0), pitch)


def _finite(value: Any) -> float:
    return float(value) if value is not None and isfinite(value) else 0.0


def _names(record: dict[str, Any]) -> tuple[str, str]:
    against = record["target"].get("against")
    return short(visible(record["target"]["text"]), 20), short(visible(against["text"]), 20) if against else ""


def _title(record: dict[str, Any], whole: float) -> str:
    name, against = _names(record)
    return f"Logit of {name}{f' minus {against}' if against else ''}: {number(whole)}"


def _heading(record: dict[str, Any], plan: Plan, whole: float) -> Iterator[str]:
    name, against = _names(record)
    yield text(MARGIN, 28, _title(record, whole), "head")
    yield text(MARGIN, 48, short(plain(record.get("prompt") or record.get("model") or ""), 56, "tail"), "muted")
    y, left, right = TOP - 12, plan.spine - 10, plan.spine + 10
    yield text(left, y, f"◂ {f'for {against}' if against else 'takes away'}", "muted fine end")
    yield text(right, y, f"{f'for {name}' if against else 'adds'} ▸", "muted fine")
    yield text(WIDTH - MARGIN, y, "sum so far", "muted fine end")


def _bands(plan: Plan) -> Iterator[str]:
    for layer, group in groupby(plan.rows, lambda r: r.layer):
        rows = list(group)
        if layer is not None and layer >= 0 and layer % 2 == 0:
            y = rows[0].y - plan.pitch / 2
            yield element("rect", class_="band", x=6, y=y, width=WIDTH - 12, height=plan.pitch * len(rows), rx=4)


def _tributaries(plan: Plan) -> Iterator[str]:
    for row in plan.rows:
        side = 1 if row.value >= 0 else -1
        base, length = plan.spine + side * BANK, abs(row.value) * plan.unit
        yield element("path", class_=f"side fill {kind_class(row.kind)}", d=_confluence(plan.spine, base, row.y, side))
        bar = {"x": min(base, base + side * length), "y": row.y - BAR, "width": max(length, 1.0), "height": 2 * BAR}
        yield element("rect", class_=f"fill {kind_class(row.kind)}", rx=2, **bar)


def _confluence(x: float, base: float, y: float, side: int) -> str:
    """What adds comes down into the water; what takes away is led off from above."""
    near, far, rise = x + 12 * side, base - 14.4 * side, side * BAR
    over, under = f"{y - rise:.1f}", f"{y + rise:.1f}"
    return (
        f"M{base:.1f},{over} C{far:.1f},{over} {near:.1f},{over} {x:.1f},{y + 2 * rise:.1f} "
        f"L{x:.1f},{y + 2.9 * rise:.1f} C{near:.1f},{under} {far:.1f},{under} {base:.1f},{under}Z"
    )


def _water(plan: Plan) -> Iterator[str]:
    """One path for each stretch on which the sum keeps its sign."""
    runs = [list(group) for _, group in groupby(plan.rows, lambda r: r.total >= 0)]
    for i, run in enumerate(runs):
        after = runs[i + 1][0] if i + 1 < len(runs) else None
        stations = _stations(plan, run, i == 0, after)
        yield element("path", class_="water" if run[0].total >= 0 else "ebb", d=_banks(plan.spine, stations))


def _stations(plan: Plan, run: list[Row], first: bool, after: Row | None) -> list[tuple[float, float]]:
    turn = plan.pitch * 0.48
    found = [(TOP - 8.0, 0.5), (run[0].y - turn, SPRING)] if first else [(run[0].y, SPRING)]
    found.append((run[0].y + turn, plan.half(run[0].total)))
    for before, row in pairwise(run):
        found += [(row.y - turn, plan.half(before.total)), (row.y + turn, plan.half(row.total))]
    last = plan.half(run[-1].total)
    return [*found, (after.y - turn, last), (after.y, SPRING)] if after else [*found, (plan.end + 32, MOUTH)]


def _banks(x: float, stations: list[tuple[float, float]]) -> str:
    back = stations[::-1]
    right = "".join(_reach(x, 1, a, b) for a, b in pairwise(stations))
    left = "".join(_reach(x, -1, a, b) for a, b in pairwise(back))
    start, turn = (x + stations[0][1], stations[0][0]), (x - back[0][1], back[0][0])
    return f"M{start[0]:.1f},{start[1]:.1f}{right} L{turn[0]:.1f},{turn[1]:.1f}{left}Z"


def _reach(x: float, side: int, a: tuple[float, float], b: tuple[float, float]) -> str:
    middle = (a[0] + b[0]) / 2
    return f" C{x + side * a[1]:.1f},{middle:.1f} {x + side * b[1]:.1f},{middle:.1f} {x + side * b[1]:.1f},{b[0]:.1f}"


def _lines(plan: Plan) -> Iterator[str]:
    most = max(abs(r.value) for r in plan.rows) if plan.rows else 0.0
    for row in plan.rows:
        side, base = 1 if row.value >= 0 else -1, row.y + 4
        tip = plan.spine + side * (BANK + abs(row.value) * plan.unit + 5)
        faint = " muted" if abs(row.value) < 0.02 * most or row.kind == "constant" else ""
        words = [
            text(MARGIN, base, short(plain(row.label), 16), f"fine{faint}"),
            text(tip, base, number(row.value, sign=True), f"fine figure{faint}{' end' if side < 0 else ''}"),
            text(WIDTH - MARGIN, base, number(row.total), "fine figure muted end"),
        ]
        hit = element("rect", class_="hit", x=6, y=row.y - plan.pitch / 2, width=WIDTH - 12, height=plan.pitch, rx=4)
        yield element("g", [hit, *words, tooltip(_said(row))], class_="row")


def _said(row: Row) -> str:
    name = f"{plain(row.label)} ({plain(row.kind)})"
    return f"{name}: {number(row.value, 4, sign=True)}, sum so far {number(row.total, 4)}"


def _mouth(plan: Plan, whole: float) -> Iterator[str]:
    y = plan.end + 18
    place = {"x": plan.spine - MOUTH, "y": y, "width": 2 * MOUTH, "height": 30, "rx": 12}
    yield element("rect", class_="water" if whole >= 0 else "ebb", **place)
    yield text(plan.spine, y + 19, number(whole), "strong figure foam mid")


def _legend(plan: Plan) -> Iterator[str]:
    present = {r.kind for r in plan.rows}
    x = float(MARGIN)
    for kind in [*(k for k in KINDS if k in present), *(["write"] if present - set(KINDS) else [])]:
        yield element("rect", class_=f"fill {kind_class(kind)}", x=x, y=plan.end + 70, width=10, height=10, rx=2)
        yield text(x + 15, plan.end + 79, kind, "muted fine")
        x += 15 + 6.6 * len(kind) + 16
    yield text(WIDTH - MARGIN, plan.end + 79, "width: sum so far", "muted fine end")
