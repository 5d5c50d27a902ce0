"""Curves of what a model is worth without some of its blocks."""

import itertools
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from mainstem.core import InputError

from ._altair import Chart, altair
from ._tables import every, heading
from ._theme import colours, hues

WIDE, HIGH = 640, 300
_SIDES = {
    "tail": ("blocks removed, from the last on", "Without the last blocks"),
    "head": ("blocks removed, from the first on", "Without the first blocks"),
    "single": ("the block that is removed", "Without one block"),
    "skip": ("the block whose skip is removed", "Without one block's skip"),
}
_METRICS = {"loss": "loss", "accuracy": "accuracy", "top1": "top-1 accuracy", "top5": "top-5 accuracy"}
Rows = Sequence[Mapping[str, Any]]


def ablation_curve(
    data: Mapping[str, Rows],
    unit: str = "",
    title: str | None = None,
    about: str | None = None,
    width: int | float = WIDE,
    height: int | float = HIGH,
) -> Chart:
    """A metric against how many blocks are removed, or which one, with a band for its interval.

    Dashed lines are chance and the floor of always saying the same, dotted ones the whole model's value; upright ones stand between the blocks
    of two stages, where the stream changes its shape.

    Parameters: `data`, by the name of a curve, its records as of `AblationCurve.rows`, of one metric; `unit`, of that; `title`; `about`, lines
    below it; `width` and `height`, of what is drawn. Raises `InputError` where there is nothing to draw, and where altair is missing.
    """
    alt = altair()
    rows = [_row(name, k, row) for name, some in data.items() for k, row in enumerate(some)]
    if not rows or not all(isfinite(row["value"]) for row in rows):
        raise InputError("there is nothing to draw: the curve has no values, or one that is not finite.")
    side, metric = rows[0]["side"], rows[0]["metric"]
    across, said = _SIDES[side]
    drawn = alt.layer(*_Marks(alt, rows, across, _named(metric, unit), width, height).all())
    text = about if about is not None else _about(rows)
    return Chart(drawn.properties(title=heading(title or f"{said}: {_METRICS.get(metric, metric)}", text, width)))


class _Marks:
    """The layers. Parameters: `alt`; `rows`; `across` and `up`, titles of the axes; `width`; `height`."""

    def __init__(self, alt: Any, rows: list[dict[str, Any]], across: str, up: str, width: float, height: float) -> None:
        self.alt, self.up = alt, up
        self.rows = [row for row in rows if row["x"] >= 0]
        self.last = max(row["x"] for row in self.rows)
        ticks = every(self.last + 1, int(width / 26))
        scale = alt.Scale(domain=[-0.4, self.last + 0.4], nice=False, zero=False)
        self.x = alt.X("x:Q", title=across, scale=scale, axis=alt.Axis(values=ticks, format="d", grid=False))
        ends = [row[k] for row in rows for k in ("value", "low", "high", "chance", "floor") if row[k] is not None]
        top = 1.08 * max(ends)
        self.near = 0.05 * (top - min(0.0, *ends))
        self.y = alt.Y(
            "value:Q", title=up, scale=alt.Scale(domain=[min(0.0, *ends), top], nice=False), axis=alt.Axis(tickCount=6)
        )
        names = list(dict.fromkeys(row["name"] for row in rows))
        legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1)
        self.colour = alt.Color(
            "name:N", scale=alt.Scale(domain=names, range=hues(len(names))), legend=legend if len(names) > 1 else None
        )
        self.base = alt.Chart(alt.Data(values=self.rows), width=width, height=height).encode(x=self.x, color=self.colour)
        self.whole = {row["name"]: row["value"] for row in rows if row["removed"] == 0}

    def all(self) -> list[Any]:
        """Lines behind, the band, the curve."""
        return [*self._stages(), *self._levels(), *self._band(), *self._curve()]

    def _stages(self) -> list[Any]:
        """Upright lines between the blocks of two stages."""
        first = [row for row in self.rows if row["name"] == self.rows[0]["name"] and row["stage"] is not None]
        at = [(a["x"] + b["x"]) / 2 for a, b in itertools.pairwise(first) if a["stage"] != b["stage"]]
        lines = [{"x": x, "said": "a stage begins"} for x in at]
        rule = self.alt.Chart(self.alt.Data(values=lines)).mark_rule(color=colours()["muted"], strokeWidth=1, aria=False)
        return [rule.encode(x=self.x)] if lines else []

    def _levels(self) -> list[Any]:
        """Chance, the floor, and what the whole model comes to; names that would lie on one another are one."""
        alt, muted, row = self.alt, colours()["muted"], self.rows[0]
        held = sorted({"chance": row["chance"], "always the same": row["floor"]}.items(), key=lambda pair: -pair[1])
        texts = [f"{name} {value:.3g}" for name, value in held]
        if held[0][1] - held[1][1] < self.near:
            texts = [", ".join(texts), ""]
        lines = [{"value": v, "text": t, "whole": False} for (_, v), t in zip(held, texts, strict=True)]
        several = len(self.whole) > 1
        lines += [
            {"value": v, "text": f"{name if several else 'whole model'} {v:.3g}", "whole": True} for name, v in self.whole.items()
        ]
        found = []
        for whole, dash, x, align in ((False, [6, 4], -0.35, "left"), (True, [2, 3], self.last + 0.35, "right")):
            some = [line | {"x": x} for line in lines if line["whole"] == whole]
            base = alt.Chart(alt.Data(values=some)).encode(y=self.y)
            text = base.mark_text(align=align, dy=-6, fontSize=10, fontStyle="italic", color=muted, aria=False)
            found += [
                base.mark_rule(color=muted, strokeWidth=1.2, strokeDash=dash, aria=False),
                text.encode(x=self.x, text="text:N"),
            ]
        return found

    def _band(self) -> list[Any]:
        known = self.base.transform_filter("isValid(datum.low)")
        if not any(row["low"] is not None for row in self.rows):
            return []
        mark = known.mark_area(opacity=0.18, aria=False)
        return [mark.encode(y=self.alt.Y("low:Q", title=self.up), y2="high:Q")]

    def _curve(self) -> list[Any]:
        tips = ["name:N", "block:N", "removed:Q", *(self.alt.Tooltip(f"{k}:Q", format=".4f") for k in ("value", "low", "high"))]
        base = self.base.encode(y=self.y)
        return [
            base.mark_line(strokeWidth=2, aria=False),
            base.mark_circle(size=34, opacity=1).encode(description="said:N", tooltip=tips),
        ]


def _row(name: str, k: int, row: Mapping[str, Any]) -> dict[str, Any]:
    """A record as it is drawn: of single blocks the number of the block stands across, else how many are removed."""
    single = row["side"] in ("single", "skip")
    ends = {end: row[end] if isfinite(row[end]) else None for end in ("low", "high")}
    told = f"{name}, {row['block'] or 'the whole model'}: {row['value']:.4g}"
    return {**row, **ends, "name": name, "x": k - 1 if single else row["removed"], "said": told}


def _named(metric: str, unit: str) -> str:
    return f"{_METRICS.get(metric, metric)} ({unit})" if unit and unit != "share" else _METRICS.get(metric, metric)


def _about(rows: list[dict[str, Any]]) -> str:
    band = "; the band is a 95 % bootstrap interval" if any(row["low"] is not None for row in rows) else ""
    return f"{rows[0]['n']:,} examples{band}"
