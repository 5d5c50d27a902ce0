"""What the charts page asks, answered in plain data."""

import base64
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mainstem.core import InputError
from mainstem.view import Chart, plot

from ._cells import Asked, text
from ._stored import Folder, Item

ROWS, COLOURS, DRAWN = 200, 12, 20_000
_ACROSS = (
    "step",
    "fraction",
    "ablated",
    "removed",
    "parameters",
    "time",
    "seconds",
    "k",
    "layer",
    "position",
    "point",
    "site",
    "component",
    "name",
)
_UP = ("value", "loss", "logprob", "prob", "score", "accuracy")
FORMS = ("svg", "png", "html", "json", "csv")


class Charting:
    """Answers about stored results. Parameters: `place`, a folder or a file. Raises `InputError` for a file that nothing can be drawn of."""

    def __init__(self, place: str | Path) -> None:
        self.folder = Folder(place)
        if self.folder.place.is_file():
            self.folder.read(self.folder.named(None))  # one file that cannot be read is no page

    def answers(self) -> dict[str, Callable[[Asked, Any], Any]]:
        """Every kind of question with what answers it."""
        return {
            f"charts.{name}": answer for name, answer in {"list": self.listed, "open": self.opened, "file": self.file}.items()
        }

    def listed(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """What the folder holds. Parameters: `asked`, nothing; `turn`."""
        turn.check()
        items = [{"name": i.name, "kind": i.kind, "about": i.about} for i in self.folder.items()]
        return {"folder": self.folder.place.name, "items": items}

    def opened(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """One of them drawn. Parameters: `asked`, {name} and what is chosen: {measure, number, beside} or {x, y, colour}; `turn`."""
        item = self.folder.named(text(asked, "name"))
        turn.say(f"drawing {item.name}")
        made = {"name": item.name, "kind": item.kind, "about": item.about}
        if item.kind == "picture":
            kind = "image/png" if item.path.suffix.lower() == ".png" else "image/svg+xml"
            return made | {"picture": _data(self.folder.read(item), kind)}
        chart, choices, frame = self._drawn(item, asked)
        table = {"columns": [], "rows": [], "count": 0} if frame is None else _table(frame)
        return made | {"picture": _data(chart._svg().encode(), "image/svg+xml"), "choices": choices, **table}

    def file(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """What is looked at as a file. Parameters: `asked`, as of `opened`, with {form}: svg, png, html, json or csv; `turn`."""
        form, item = text(asked, "form") or "svg", self.folder.named(text(asked, "name"))
        turn.say(f"writing {form}")
        if form not in FORMS or item.kind == "picture":
            raise InputError(f"a chart is stored as {', '.join(FORMS)}; a picture is a file already.")
        chart, _, frame = self._drawn(item, asked)
        if form == "csv":
            if frame is None:
                raise InputError(f"{item.name} is a chart without a table.")
            return {"data": base64.b64encode(frame.write_csv().encode()).decode(), "name": f"{Path(item.name).stem}.csv"}
        with TemporaryDirectory() as place:
            data = chart.save(Path(place) / f"chart.{form}").read_bytes()
        return {"data": base64.b64encode(data).decode(), "name": f"{Path(item.name).stem}.{form}"}

    def _drawn(self, item: Item, asked: Asked) -> tuple[Any, dict[str, Any], Any]:
        held = self.folder.read(item)
        if item.kind == "measurements":
            return self._measured(held, asked, item)
        if item.kind == "table":
            return self._plotted(held, asked, item)
        if item.kind == "patching":
            return _patched(held, asked)
        if item.kind == "curve":
            metric = _chosen(asked, "measure", list(held.metrics), ())
            return held.chart(metric), {"measure": _choice(held.metrics, metric)}, held.frame()
        return Chart(_Spec(held)), {}, None

    def _measured(self, held: Any, asked: Asked, item: Item) -> tuple[Chart, dict[str, Any], Any]:
        measure = text(asked, "measure") or held.names[0]
        first = next(iter(held[measure].values()))
        numbers = [name for name, value in first.items() if value.numel() == 1]
        number = text(asked, "number") or held.headline(measure)
        others = [i for i in self.folder.items() if i.kind == "measurements" and i.name != item.name]
        named = text(asked, "beside")
        beside = next((i for i in others if i.name == named), None)
        chart = held.chart(measure, number, {beside.name: self.folder.read(beside)} if beside else None)
        choices = {"measure": _choice(held.names, measure), "number": _choice(numbers, number)}
        if others:
            choices["beside"] = _choice(["", *(i.name for i in others)], beside.name if beside else "")
        return chart, choices, held.frame(measure)

    def _plotted(self, frame: Any, asked: Asked, item: Item) -> tuple[Chart, dict[str, Any], Any]:
        numbers = [c for c, kind in frame.schema.items() if kind.is_numeric()]
        if not numbers:
            raise InputError(f"{item.name} has no column of numbers.")
        flat = [c for c, kind in frame.schema.items() if not kind.is_nested()]
        y = _chosen(asked, "y", numbers, _UP)
        x = _chosen(asked, "x", [c for c in flat if c != y] or flat, _across(frame, flat))
        few = [c for c in flat if c not in (x, y) and 1 < frame[c].n_unique() <= COLOURS]
        given = asked.get("colour")
        words = [c for c in few if c not in numbers]
        colour = given if given in few else (words[0] if words and given is None and frame[x].n_unique() < len(frame) else None)
        rows = frame.select(list(dict.fromkeys(c for c in (x, y, colour) if c))).head(DRAWN).to_dicts()
        choices = {
            "x": _choice([c for c in flat if c != y], x),
            "y": _choice(numbers, y),
            "colour": _choice(["", *few], colour or ""),
        }
        return plot(rows, x, y, colour, item.name), choices, frame


def _patched(held: Any, asked: Asked) -> tuple[Chart, dict[str, Any], Any]:
    """Patching drawn, of one pair of prompts, counted from 1."""
    shown = ["recovery", "effect", *(["exact"] if held.checked else [])]
    pairs = [str(i + 1) for i in range(len(held.clean))]
    default = "recovery" if held.choices["side"] == "denoise" else "effect"
    by, pair = _chosen(asked, "measure", shown, (default,)), _chosen(asked, "number", pairs, ())
    choices = {"measure": _choice(shown, by)} | ({"number": _choice(pairs, pair)} if len(pairs) > 1 else {})
    return held.chart(by, int(pair) - 1), choices, held.frame()


class _Spec:
    """A specification that was stored, as what a chart is made of. Parameters: `spec`."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec

    def to_dict(self) -> dict[str, Any]:
        return self.spec


def _across(frame: Any, flat: list[str]) -> list[str]:
    """Columns that rows are told apart by, the best first: one that names each row by itself, or one of those that charts go along."""
    each = [c for c in ("component", "name") if c in flat and frame[c].n_unique() == len(frame)]
    return [*each, *(c for c in _ACROSS if c in flat and frame[c].n_unique() > 1)]


def _chosen(asked: Asked, name: str, columns: list[str], liked: Any) -> str:
    given = text(asked, name)
    return given if given in columns else next((c for c in liked if c in columns), columns[0])


def _choice(options: Any, now: str) -> dict[str, Any]:
    return {"options": list(options), "now": now}


def _table(frame: Any) -> dict[str, Any]:
    rows = [
        [v if v is None or isinstance(v, (int, float, str, bool)) else str(v) for v in row] for row in frame.head(ROWS).rows()
    ]
    return {"columns": frame.columns, "rows": rows, "count": len(frame)}


def _data(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
