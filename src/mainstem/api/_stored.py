"""What a folder holds that can be drawn: measurements, tables, charts, pictures; each by its name, never by a path."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstem.core import InputError

from ._ablation_result import FORM as CURVE
from ._ablation_result import AblationCurve
from ._measure import merge
from ._measurements import Measurements
from ._patched import PatchingResult
from ._patched_file import FORM as PATCHED
from ._states import FORM

MOST, _LARGEST = 2000, 2**28  # files of a folder; bytes of one
RUN = "the run itself"


@dataclass(frozen=True)
class Item:
    """One thing that is stored. Parameters: `name`, by which it is asked for; `kind`; `path`; `about`."""

    name: str
    kind: str
    path: Path
    about: str


class Folder:
    """A folder of results, or one file. Parameters: `place`. Raises `InputError` for one that is not there."""

    def __init__(self, place: str | Path) -> None:
        self.place = Path(place)
        if not self.place.exists():
            raise InputError(f"there is no file or folder {place}.")
        self._read: dict[tuple[str, float], Any] = {}

    def items(self) -> list[Item]:
        """Everything in it that can be drawn. What is a run's own (pieces, rows) is shown as one."""
        if self.place.is_file():
            return [item for item in [_item(self.place, self.place.name)] if item]
        run = (self.place / "run.json").is_file() and (self.place / "pieces").is_dir()
        files = sorted(f for f in self.place.rglob("*") if f.is_file() and not _inner(f.relative_to(self.place), run))
        found = [_item(f, f.relative_to(self.place).as_posix()) for f in files[:MOST]]
        own = [Item(RUN, "measurements", self.place, f"what {self.place.name} measured so far")] if run else []
        return [*own, *(item for item in found if item)]

    def named(self, name: str | None) -> Item:
        """One of them, the first where none is named. Parameters: `name`. Raises `InputError` where there is none."""
        found = self.items()
        if not found:
            raise InputError(
                f"there is nothing to draw in {self.place}: measurements, tables (.parquet, .csv), charts, curves and patching (.json) or pictures."
            )
        item = next((i for i in found if i.name == name), None) if name else found[0]
        if item is None:
            raise InputError(f"there is no {name!r} here any more.")
        return item

    def read(self, item: Item) -> Any:
        """Measurements, a polars frame, a specification or the bytes of a picture; read anew where the file changed. Parameters: `item`."""
        if item.path.is_file() and item.path.stat().st_size > _LARGEST:
            raise InputError(f"{item.name} is larger than {_LARGEST >> 20} MB: draw a part of it.")
        if item.path.is_file() and not item.path.stat().st_size:
            raise InputError(f"{item.name} is empty.")
        key = item.name, item.path.stat().st_mtime
        if item.name == RUN or key not in self._read:
            if len(self._read) >= 8:
                self._read.clear()
            self._read[key] = _READS[item.kind](item.path)
        return self._read[key]


def _inner(path: Path, run: bool) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return hidden or (run and (path.parts[0] in ("pieces", "rows") or path.name in ("run.json", "examples.parquet")))


def _item(path: Path, name: str) -> Item | None:
    known: Mapping[str, Callable[[Path], tuple[str, str] | None]] = {
        ".safetensors": _tensors,
        ".parquet": lambda _: ("table", "a table"),
        ".csv": lambda _: ("table", "a table"),
        ".json": _specified,
        ".svg": lambda _: ("picture", "a picture"),
        ".png": lambda _: ("picture", "a picture"),
    }
    found = known[path.suffix.lower()](path) if path.suffix.lower() in known else None
    return Item(name, found[0], path, found[1]) if found else None


def _tensors(path: Path) -> tuple[str, str] | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as held:
            about = json.loads((held.metadata() or {}).get("measurements", "{}"))
    except (SafetensorError, ValueError, OSError):
        return None
    return ("measurements", f"measurements of {about['identity']['model'].get('name')}") if about.get("form") == FORM else None


def _specified(path: Path) -> tuple[str, str] | None:
    if path.stat().st_size > _LARGEST:
        return None
    try:
        spec = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    if not isinstance(spec, dict):
        return None
    if spec.get("form") in _RESULTS:
        return _RESULTS[spec["form"]]
    return ("chart", "a chart") if "vega-lite" in str(spec.get("$schema", "")) else None


def _spec(path: Path) -> dict[str, Any]:
    spec = json.loads(path.read_bytes())
    if _reaches_out(spec):
        raise InputError(f"{path.name} takes data from an address: only charts that hold their data are drawn.")
    return spec


def _reaches_out(value: Any) -> bool:
    """Whether anything in a specification names an address, which drawing it would fetch."""
    if isinstance(value, dict):
        return any(
            (name in ("url", "href", "loader", "baseURL")) or _reaches_out(one)
            for name, one in value.items()
            if name not in ("$schema", "values", "datasets")
        ) or any(
            mark in ("image", "geoshape")
            for mark in (
                value.get("mark"),
                (value.get("mark") or {}).get("type") if isinstance(value.get("mark"), dict) else None,
            )
        )
    return isinstance(value, list) and any(map(_reaches_out, value))


def _table(path: Path) -> Any:
    import polars

    try:
        return polars.read_parquet(path) if path.suffix.lower() == ".parquet" else polars.read_csv(path)
    except (polars.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path.name}: {str(error).splitlines()[0]}") from error


def _measured(path: Path) -> Measurements:
    return merge(path) if path.is_dir() else Measurements.load(path)


_RESULTS = {PATCHED: ("patching", "what patching did"), CURVE: ("curve", "a curve without blocks")}
_READS: Mapping[str, Callable[[Path], Any]] = {
    "patching": PatchingResult.load,
    "curve": AblationCurve.load,
    "measurements": _measured,
    "table": _table,
    "chart": _spec,
    "picture": Path.read_bytes,
}
