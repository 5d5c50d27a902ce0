"""A curve of what a model is worth without some of its blocks: table, chart, file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from textwrap import wrap
from typing import Any

from torch import Tensor

from mainstem.core import InputError, Provenance
from mainstem.scan import METRICS
from mainstem.stream import Ablated

from ._ablating import Ablating
from ._store import parquet, plain, restored, store

FORM = "ablation curve 1"
_COLUMNS = {
    "model": "String", "side": "String", "removed": "Int64", "block": "String", "stage": "Int64", "metric": "String", "value": "Float64",
    "low": "Float64", "high": "Float64", "chance": "Float64", "floor": "Float64", "n": "Int64",
}  # fmt: skip
ENOUGH = 30  # examples, from which on a bootstrap over them is of use
_LINE = 80
_INTERVAL, _NARROW = 20, 3  # characters of an interval, and beside how many metrics there is room for it


@dataclass(frozen=True, eq=False)
class AblationCurve:
    """What every number of removed blocks costs. Made by `ablation_curve`.

    Parameters: `rows`, of each metric one for each value of the curve, that of the whole model first: model, side, removed (how
    many blocks), block (of "tail" the first of these, of "head" the last, else the one), stage (of that block: it changes where the
    stream changes its shape), metric, value, low and high (the 95 % interval, nan where there is none), chance (of guessing), floor (of
    always saying the same, as the labels are distributed) and n (examples); `about`, the choices; `provenance`, of the model.
    """

    rows: tuple[dict[str, Any], ...]
    about: dict[str, Any]
    provenance: Provenance | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics."""
        return tuple(dict.fromkeys(row["metric"] for row in self.rows))

    @property
    def choices(self) -> dict[str, Any]:
        """Which side, norm rule and places, and how the interval was drawn."""
        return self.about["choices"]

    def values(self, metric: str | None = None) -> list[float]:
        """The curve's values, that of the whole model first. Parameters: `metric`, the first by default."""
        return [row["value"] for row in self.of(metric)]

    def of(self, metric: str | None = None) -> list[dict[str, Any]]:
        """The rows of one metric. Parameters: `metric`, the first by default. Raises `InputError` with those that there are."""
        metric = metric or self.metrics[0]
        if metric not in self.metrics:
            raise InputError(f"no metric {metric!r} here; there are {', '.join(self.metrics)}.")
        return [row for row in self.rows if row["metric"] == metric]

    def frame(self) -> Any:
        """A tidy polars frame of `rows`."""
        import polars

        return polars.DataFrame(list(self.rows), schema={name: getattr(polars, kind) for name, kind in _COLUMNS.items()})

    def chart(self, metric: str | None = None, others: Mapping[str, "AblationCurve"] | None = None) -> Any:
        """The curve with its interval, the model's own value, chance, the floor and where stages begin; needs the extra `view`.

        Parameters: `metric`, the first by default; `others`, further curves of the same side by what they are called.
        """
        from mainstem.view import ablation_curve

        named = {self.about["model"]: self, **(others or {})}
        if strange := [name for name, one in named.items() if one.choices["side"] != self.choices["side"]]:
            raise InputError(f"{strange[0]} is of another side, {named[strange[0]].choices['side']}: draw it by itself.")
        metric = metric or self.metrics[0]
        return ablation_curve({name: one.of(metric) for name, one in named.items()}, METRICS[metric].unit)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, which JSON can hold: what is not finite is None."""
        rows = [{k: None if isinstance(v, float) and v != v else v for k, v in row.items()} for row in self.rows]
        return {"form": FORM, "about": self.about, "provenance": plain(self.provenance), "rows": rows}

    def save(self, path: str | Path) -> Path:
        """Stores all of it (`.json`, for `load`) or the frame (`.parquet`, `.csv`). Parameters: `path`."""
        forms = {
            ".json": lambda half: half.write_text(json.dumps(self.to_dict(), allow_nan=False), encoding="utf-8"),
            ".parquet": lambda half: parquet(self.frame(), self.about, self.provenance, half),
            ".csv": lambda half: self.frame().write_csv(half),
        }
        return store(path, forms)

    @classmethod
    def load(cls, path: str | Path) -> "AblationCurve":
        """What `save` stored as `.json`. Parameters: `path`. Raises `InputError` for a file that is missing or no such file."""
        held = restored(path, FORM, "curve")
        try:
            rows = tuple({k: nan if v is None and k in ("low", "high") else v for k, v in row.items()} for row in held["rows"])
            return cls(rows, held["about"], held["provenance"] and Provenance.from_dict(held["provenance"]))
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no whole curve: {error} is missing or of another form.") from error

    def __repr__(self) -> str:
        about = self.about
        head = f"{about['model']}: {self.choices['side']}, {about['examples']:,} examples, {about['places']:,} places"
        narrow = len(self.metrics) <= _NARROW
        names = [f"{name:>12}" + "  95 %".ljust(_INTERVAL) * (k == 0 and narrow) for k, name in enumerate(self.metrics)]
        lines = [head, f"  {'removed':>8} {'block':<8}{''.join(names)}".rstrip()]
        columns = [self.of(name) for name in self.metrics]
        for some in zip(*columns, strict=True):
            cells = [f"{row['value']:>z12.4f}" + _between(row) * (k == 0 and narrow) for k, row in enumerate(some)]
            lines.append(f"  {some[0]['removed']:>8} {some[0]['block'] or '':<8}{''.join(cells)}".rstrip())
        for line in ("chance", "floor"):
            cells = [f"{some[0][line]:>z12.4f}" + " " * _INTERVAL * (k == 0 and narrow) for k, some in enumerate(columns)]
            lines.append(f"  {line:<17}{''.join(cells)}".rstrip())
        if "caution" in about:
            lines += wrap(f"caution: {about['caution']}", _LINE)
        return "\n".join(lines)


def _between(row: Mapping[str, Any]) -> str:
    """The interval, in its column. Parameters: `row`."""
    low, high = row["low"], row["high"]
    return (f"  [{low:z.4f}, {high:z.4f}]" if isfinite(low) and isfinite(high) else "").ljust(_INTERVAL)


def caution_of(rows: Sequence[Mapping[str, Any]], examples: int, places: int, resamples: int) -> str:
    """What is said of a curve of few examples, "" of one that is of enough. Parameters: `rows`; `examples`; `places`; `resamples`."""
    if not resamples:
        return "" if places >= ENOUGH else f"{places} predictions are few to tell blocks apart by: give {ENOUGH} or more."
    if examples == 1:
        return f"1 example has no interval, which is drawn over examples: give {ENOUGH} or more."
    if examples >= ENOUGH:
        return ""
    first = rows[0]["metric"]
    wide = max((row["high"] - row["low"]) / 2 for row in rows if row["metric"] == first)
    return (
        f"{examples} examples are few for an interval that is drawn over them: {first} is off by up to {wide:.2g}, and that itself is a guess. "
        f"Give {ENOUGH} or more; four times as many make it half as wide."
    )


def rows_of(name: str, work: Ablating, means: Tensor) -> tuple[dict[str, Any], ...]:
    """The rows of a curve. Parameters: `name`, of the model; `work`, done; `means`, [value and ends, metric, step]."""
    assert work.engine is not None and work.counts is not None
    stages = _stages(work.engine)
    rows = []
    for m, metric in enumerate(work.metrics):
        lines = {"chance": metric.chance(len(work.counts)), "floor": metric.floor(work.counts), "n": len(work.tally.sums)}
        for k, gone in enumerate(work.engine.sets):
            block = None if not gone else gone[-1] if work.side == "head" else gone[0]
            at = {"block": None, "stage": None} if block is None else {"block": work.engine.labels[block], "stage": stages[block]}
            ends = dict(zip(("value", "low", "high"), means[:, m, k].tolist(), strict=True))
            rows.append({"model": name, "side": work.side, "removed": len(gone), **at, "metric": metric.name, **ends, **lines})
    return tuple(rows)


def _stages(engine: Ablated) -> Sequence[int]:
    """The stage of every block, from 0: it changes where the stream's shape does, but for how many examples there are."""
    found: list[int] = []
    before: tuple[int, ...] | None = None
    for block in engine.blocks:
        shape = engine.stream.points[block.last].shape[1:]
        found.append((found[-1] if found else 0) + (before is not None and shape != before))
        before = shape
    return found
