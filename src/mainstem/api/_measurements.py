"""Measurements as users hold them: numbers by measure and site, merged, compared, drawn and stored with what they depend on."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mainstem.core import InputError, Provenance, file_path, from_plain
from mainstem.measure import Measure, Pair, State, measure_named
from mainstem.scan import called, choices_of, differences

from ._states import read_states, write_states
from ._store import parquet, plain, store

_COUNTS = ("tokens", "nan", "inf")
_LAYER = re.compile(r"\bL(\d+)\.")
States = Mapping[tuple[str, str], State]
_INDEX = {"measure": "String", "site": "String", "layer": "Int64", "number": "String", "index": "Int64", "value": "Float64"}


class Measurements:
    """What data came to at every site of a stream: states of measures, of which numbers are made when they are asked for.

    Parameters: `measures`; `states`, by measure and site; `identity`, what they depend on: model, data and choices; `provenance`, of the
    model, None where only `identity` tells; `counts`, of examples and tokens of a scan; `faults`, rows that were passed over, and why; `files`, of rows of scores.
    """

    def __init__(
        self,
        measures: Sequence[Measure | Pair],
        states: States,
        identity: dict[str, Any],
        provenance: Provenance | None = None,
        counts: dict[str, int] | None = None,
        faults: Sequence[tuple[str, str]] = (),
        files: Sequence[Path] = (),
    ) -> None:
        self.measures = {called(one): one for one in measures}
        self.states, self.identity, self.provenance = dict(states), identity, provenance
        self.counts, self.faults, self.files = counts or {}, tuple(faults), tuple(files)
        self._numbers: dict[tuple[str, str], dict[str, Tensor]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the measures, with those of their choices that are not the usual ones."""
        return tuple(self.measures)

    @property
    def sites(self) -> tuple[str, ...]:
        """Labels of what was measured, in the order of the stream; two with an arrow where a measure relates them."""
        return tuple(dict.fromkeys(site for _, site in self.states))

    @property
    def choices(self) -> dict[str, Any]:
        """What was asked for, and of what: the model's name and weights, and the data's sha256."""
        return self.identity

    def numbers(self, measure: str, site: str) -> dict[str, Tensor]:
        """The numbers of one measure at one site, by name. Parameters: `measure`; `site`. Raises `InputError` with what there is."""
        self._known(measure)
        if (measure, site) not in self.states:
            there = [s for m, s in self.states if m == measure]
            raise InputError(f"{measure} was not measured at {site!r}; there are {', '.join(there[:12])}.")
        if (measure, site) not in self._numbers:
            self._numbers[measure, site] = self.measures[measure].result(self.states[measure, site])
        return self._numbers[measure, site]

    def _known(self, measure: str) -> None:
        if measure not in self.measures:
            raise InputError(f"no measure {measure!r} here; there are {', '.join(self.measures)}.")

    def __getitem__(self, measure: str) -> dict[str, dict[str, Tensor]]:
        """The numbers of one measure, by site. Parameters: `measure`."""
        found = {site: self.numbers(measure, site) for name, site in self.states if name == measure}
        return found or {"": self.numbers(measure, "")}

    def frame(self, measure: str | None = None) -> Any:
        """A tidy polars frame: model, measure, site, layer, number, index (0 where it is one number), value.

        Parameters: `measure`, one of them, None for all. Raises `InputError` for another.
        """
        import polars

        if measure is not None:
            self._known(measure)
        rows: dict[str, list[Any]] = {name: [] for name in _INDEX}
        for name, site in self.states:
            if measure in (None, name):
                for number, value in self.numbers(name, site).items():
                    flat = value.double().reshape(-1).tolist()
                    each = {"measure": name, "site": site, "layer": layer_of(site), "number": number}
                    for column, same in each.items():
                        rows[column] += [same] * len(flat)
                    rows["index"] += range(len(flat))
                    rows["value"] += flat
        made = polars.DataFrame(rows, schema={name: getattr(polars, kind) for name, kind in _INDEX.items()})
        return made.select(polars.lit(self.identity["model"].get("name")).alias("model"), *_INDEX)

    def rows(self) -> Any:
        """The rows of scores that a scan stored, as a lazy polars frame in the order of the data. Raises `InputError` where there are none."""
        import polars

        if not self.files:
            raise InputError("there are no rows of scores: ask for them, scan(..., scores=[...]).")
        return polars.scan_parquet(list(self.files))

    def merge(self, other: "Measurements") -> "Measurements":
        """What the data of both come to. Parameters: `other`, of the same model and choices. Raises `InputError` where they are not.

        The same example in both counts twice; shards of one run are put together by `mainstem.merge`.
        """
        _check(other)
        mine, theirs = ({part: one.identity[part] for part in ("model", "choices")} for one in (self, other))
        if apart := differences(mine, theirs, said="{} is {} here and {} in the other"):
            raise InputError(f"these measurements were not made alike: {'; '.join(apart)}.")
        states = dict(self.states)
        for key, state in other.states.items():
            states[key] = self.measures[key[0]].merge(states[key], state) if key in states else state
        data = {"parts": [*_parts(self.identity["data"]), *_parts(other.identity["data"])]}
        counts = {k: self.counts.get(k, 0) + other.counts.get(k, 0) for k in {**self.counts, **other.counts}}
        faults = (*self.faults, *other.faults)
        return Measurements(list(self.measures.values()), states, self.identity | {"data": data}, self.provenance, counts, faults)

    def compare(self, other: "Measurements") -> Any:
        """Both side by side, as a polars frame: measure, site, layer, number, index, value, other, difference.

        Two models, or two sets of data; only what both have. Parameters: `other`. Raises `InputError` where they have nothing in common.
        """
        import polars

        _check(other)
        keys = [name for name in _INDEX if name != "value"]
        mine, theirs = self.frame().drop("model"), other.frame().drop("model").rename({"value": "other"})
        found = mine.join(theirs, on=keys, how="inner", nulls_equal=True, maintain_order="left")
        if found.is_empty():
            raise InputError("these measurements have no measure and site in common.")
        return found.with_columns((polars.col("other") - polars.col("value")).alias("difference"))

    def save(self, path: str | Path) -> Path:
        """Stores the states (`.safetensors`, for `load` and `merge`) or the frame (`.parquet`, `.csv`), with what they depend on.

        Parameters: `path`.
        """
        forms = {
            ".safetensors": self._write,
            ".parquet": lambda half: parquet(self.frame(), self.identity, self.provenance, half),
            ".csv": lambda half: self.frame().write_csv(half),
        }
        return store(path, forms)

    def _write(self, path: Path) -> None:
        about: dict[str, Any] = {"measures": [choices_of(m) for m in self.measures.values()], "identity": self.identity}
        about |= {"provenance": plain(self.provenance), "counts": self.counts, "faults": self.faults}
        write_states(path, self.states, about)

    @classmethod
    def load(cls, path: str | Path) -> "Measurements":
        """What `save` stored as `.safetensors`.

        Parameters: `path`. Raises `InputError` for a file that is missing or no such file, or whose numbers are not those that were stored.
        """
        about, states = read_states(file_path(path))
        made = [from_plain(type(measure_named(m["name"])), m["choices"]) for m in about["measures"]]
        known = about["provenance"] and Provenance.from_dict(about["provenance"])
        return cls(made, states, about["identity"], known, about["counts"], [(place, why) for place, why in about["faults"]])

    def chart(
        self, measure: str | None = None, number: str | None = None, others: Mapping[str, "Measurements"] | None = None
    ) -> Any:
        """A number at every site, in the order of the stream; needs the extra `view`.

        Parameters: `measure`, the first by default; `number`, of that measure, its own name by default; `others`, further measurements
        by what they are called, drawn in colours of their own.
        """
        from mainstem.view import by_point

        measure = measure or self.names[0]
        if others is not None and not isinstance(others, Mapping):
            raise InputError(f"others are measurements by what they are called, not {others!r}.")
        named = {self.identity["model"].get("name", "model"): self, **(others or {})}
        for one in named.values():
            _check(one)
        number = number or self.headline(measure)
        data = {name: one.series(measure, number) for name, one in named.items()}
        return by_point(data, measure, number, reference="any vector in a random basis")

    def headline(self, measure: str) -> str:
        """The number that stands for a measure in tables and charts. Parameters: `measure`."""
        first = next(iter(self[measure].values()))
        plain = measure.partition("(")[0]
        single = [name for name, value in first.items() if value.numel() == 1 and name not in _COUNTS]
        named = [name for name in (plain, "share", "total") if name in first]
        return next((name for name in named if name in single), [*named, *single, *first][0])

    def series(self, measure: str, number: str) -> list[dict[str, Any]]:
        """One number at every site, as records: site, layer, value, error, width, reference.

        Of kurtosis the reference is what any vector has in a random basis, 3 (n - 1) / (n + 1). Parameters: `measure`; `number`.
        """
        found = []
        for site, numbers in self[measure].items():
            if number not in numbers:
                raise InputError(f"{measure} has no {number!r}; there are {', '.join(numbers)}.")
            if numbers[number].numel() != 1:
                raise InputError(f"{number} of {measure} is {numbers[number].numel()} numbers at {site}: take them from frame().")
            error = numbers.get(f"{number}_standard_error", numbers.get("standard_error") if number in measure else None)
            rotated = numbers.get("rotated") if number == "kurtosis" else None
            about = {"site": site, "layer": layer_of(site), "value": float(numbers[number]), "width": self._width(site)}
            found.append(about | {"error": _single(error), "reference": _single(rotated)})
        return found

    def _width(self, site: str) -> int | None:
        """Features of a site, where a measure of it keeps them."""
        return next((int(state["width"]) for (_, of), state in self.states.items() if of == site and "width" in state), None)

    def __repr__(self) -> str:
        data = self.identity["data"]
        said = f"{len(_parts(data))} data sets" if "parts" in data else f"{data['examples']:,} examples"
        head = f"{self.identity['model'].get('name')}: {said}, {len(self.sites)} sites"
        return "\n".join([head, *(f"  {name:<24} {', '.join(self._short(name))}" for name in self.names)])

    def _short(self, name: str) -> list[str]:
        number, found = self.headline(name), list(self[name].values())
        return [f"{number} {_numbers(found[0][number])} ... {_numbers(found[-1][number])}"]


def _numbers(value: Tensor, most: int = 4) -> str:
    flat = value.reshape(-1).tolist()
    return " ".join(f"{x:.4g}" for x in flat[:most]) + (" ..." if len(flat) > most else "")


def _parts(data: dict[str, Any]) -> list[dict[str, Any]]:
    return data.get("parts", [data])


def _single(value: Tensor | None) -> float | None:
    return None if value is None or value.numel() != 1 else float(value)


def layer_of(site: str) -> int | None:
    """The layer of a label, of the first of two. Parameters: `site`."""
    found = _LAYER.search(site)
    return int(found[1]) if found else None


def _check(other: Any) -> None:
    if not isinstance(other, Measurements):
        raise InputError(f"measurements are what measure, scan and Measurements.load give, not {other!r}.")
