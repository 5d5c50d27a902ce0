"""Queries as users hold them: the values of a prediction, what switched them on, and what that was worth."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mainstem.core import InputError, Parts, Provenance, finite, parse_label
from mainstem.score import Queries, Switch

from ._result import Result
from ._store import parquet, plain, store
from ._weights import Weights

_FIXED = ("constant", "rounding")
_SHOWN = 6


@dataclass(frozen=True, eq=False)
class QueriesResult:
    """The neurons and attention values that count most for a prediction, and which earlier writes switched them on.

    Parameters: `found`, the numbers; `model`, its name; `target`, what was scored, in words; `by`, the score; `tokens`, the pieces
    of the prompt; `weights`, those of the run.
    """

    found: Queries
    model: str
    target: str
    by: str
    tokens: tuple[str, ...] = ()
    weights: Weights | None = None

    @property
    def values(self) -> dict[str, float]:
        """The values with their scores, the best first: neurons, then attention values, a dim of a head at a key position."""
        return {value.label: value.score for value in self.found.values}

    @cached_property
    def credit(self) -> Result:
        """What every part of the stream is worth by what it switched on; all parts sum to the values' scores."""
        return self._result(self.found.credit, f"credit for the {self.target}", self.found.place)

    def __getitem__(self, label: str) -> dict[str, Result]:
        """What one value was switched on by, key by key: parts that sum to its pre-activation. Parameters: `label`, of a value."""
        switches = [s for s in self.found.switches if s.value.label == label]
        if not switches:
            raise InputError(f"{label!r} is none of the values here; there are {', '.join(list(self.values)[:6])}.")
        return {s.key: self._result(s.parts, f"{s.key} of {label}", s.value.place) for s in switches}

    def _result(self, parts: Parts, said: str, place: tuple[int, ...]) -> Result:
        """The numbers of the prompt alone."""
        batch = parts.whole.shape[0]
        every = (place[1],) * batch if len(place) > 1 else None
        return Result(parts, self.model, said, (self.tokens,) * batch if self.tokens else (), every, None, self.weights).prompt(
            place[0]
        )

    def top(self, k: int = 10) -> list[tuple[str, float]]:
        """The queries that the most credit goes to: parts of the level asked for, or whole writes at level "write".

        Parameters: `k`, how many.
        """
        groups = tuple(g for g in self.credit.parts.groups if (g.axes or self._whole) and g.kind not in _FIXED)
        held = Parts(groups, self.credit.parts.whole, ("batch",), 0.0, 0.0)
        return held.select("batch", 0).top(k) if groups else []

    @property
    def _whole(self) -> bool:
        return self.found.credit.choices["level"] == "write"

    def both(self, k: int = 100) -> list[str]:
        """Query-value neurons: values that are among the k queries with the most credit, the most credited first.

        Parameters: `k`.
        """
        mine = {str(parse_label(label)) for label in self.values}
        return [label for label, credit in self.top(k) if label in mine and credit > 0]

    @property
    def unread(self) -> dict[str, str]:
        """Values that nothing is known to switch on, with the reason: they are in no number here."""
        return dict(self.found.unread)

    @property
    def worst(self) -> Parts:
        """The parts that miss what they sum to by the largest share of the bound."""
        every = [*(s.parts for s in self.found.switches), self.found.credit]
        return max(every, key=lambda parts: parts.error / parts.bound if parts.bound else 0.0)

    @property
    def error(self) -> float:
        """How far shares are from summing to their pre-activation, or credits to the scores, where that is nearest to its bound."""
        return self.worst.error

    @property
    def bound(self) -> float:
        """What that error must stay under: 64 eps times the sum of the parts' absolute values."""
        return self.worst.bound

    @property
    def choices(self) -> dict[str, Any]:
        """The choices that the numbers were made with."""
        place = self.found.place
        where = {"prompt": place[0], "position": place[1] if len(place) > 1 else None}
        return {**self.found.credit.choices, "by": self.by, **where, "target": self.target, "model": self.model}

    @property
    def provenance(self) -> Provenance | None:
        """Where the model came from, and the sha256 of its weights at the run."""
        return self.weights.provenance() if self.weights else None

    def frame(self, k: int | None = None, limit: int = 5_000_000) -> Any:
        """A tidy polars frame, one row for each key of a value and part of the stream: model, target, prompt, position, value,
        value_kind, value_layer, score, key, read_position, token, activation, query, write, kind, layer and places inside, share,
        credit.

        Shares of a key sum to its activation, credits of all rows to the values' scores.

        Parameters: `k`, only the strongest parts of every key, the others summed as the query `others` (None: all); `limit`,
        refuse to make more rows than this.
        """
        from ._queries_frame import queries_frame

        rows = sum(len(s.parts) if k is None else min(k + 1, len(s.parts)) for s in self.found.switches)
        if rows > limit:
            raise InputError(f"a frame of this would have {rows:,} rows: frame(k=20) takes the strongest, or pass limit={rows}.")
        return queries_frame(self.found, self.tokens, k, self.model, self.target)

    def histogram(self, k: int = 100) -> Any:
        """A tidy polars frame of where values and queries are: role, layer, kind, count, score.

        The bins of the role "value" hold how many values there are and their scores; those of "query" how many of the k strongest
        queries, and the credit of everything in the bin, biases too; the scores of either role sum to the same total. The role
        "query-value" holds those that are both, with their credit. What stands before the first block has no layer.

        Parameters: `k`, how many queries are counted.
        """
        from ._queries_frame import histogram

        return histogram(self.found, dict(self.top(k)), self.both(k))

    def chart(self, k: int = 100) -> Any:
        """How many of every layer are values, queries and both; needs the extra `view`.

        Parameters: `k`, how many queries are counted.
        """
        from mainstem.view import query_histogram

        from ._chart import joined, subtitle

        position = self.choices["position"]
        read = joined(self.tokens[: None if position is None else position + 1])
        foot = f"{len(self.values)} values, {len(self.top(k))} queries counted"
        about = subtitle(read, self.model, self.choices, foot)
        return query_histogram(self.histogram(k), title=f"Values and queries by layer: {self.target}", about=about)

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """As plain JSON types: values with their keys and the k strongest parts of each, the strongest queries, the bins.

        Parameters: `k`.
        """
        return {
            "choices": self.choices,
            "total": float(self.credit.whole),
            "values": [self._value(label, k) for label in self.values],
            "queries": [{"component": label, "credit": value} for label, value in self.top(4 * k)],
            "both": self.both(),
            "histogram": self.histogram().to_dicts(),
            "unread": self.unread,
            "closure": {"error": self.error, "bound": self.bound},
        }

    def _value(self, label: str, k: int) -> dict[str, Any]:
        switches = [s for s in self.found.switches if s.value.label == label]
        place = switches[0].value.place
        at = place[1] if len(place) > 1 else None
        token = self.tokens[at] if at is not None and at < len(self.tokens) else None
        keys = [{"key": s.key, "activation": s.activation, "parts": strongest(s, k)} for s in switches]
        return {"component": label, "score": self.values[label], "position": at, "token": token, "keys": keys}

    def save(self, path: str | Path) -> Path:
        """Stores the tidy frame, in Parquet with choices and provenance, or what `to_dict` gives.

        Parameters: `path`, ending in `.parquet`, `.csv` or `.json`.
        """
        about = self.choices | {"error": self.error, "bound": self.bound}
        forms = {
            ".parquet": lambda half: parquet(self.frame(), about, self.provenance, half),
            ".csv": lambda half: self.frame().write_csv(half),
            ".json": self._json,
        }
        return store(path, forms)

    def _json(self, path: Path) -> None:
        path.write_text(json.dumps(finite(self.to_dict() | {"provenance": plain(self.provenance)})), encoding="utf-8")

    def __repr__(self) -> str:
        head = f"what switched on the {len(self.values)} best values; {self.target}, by {self.by}"
        kinds = {switch.value.label: switch.value.kind for switch in self.found.switches}
        shown = [label for kind in dict.fromkeys(kinds.values()) for label in [n for n in kinds if kinds[n] == kind][:_SHOWN]]
        rows = [line for label in shown for line in self._lines(label)]
        best = [f"  {label:<20} {credit:+.4f}" for label, credit in self.top(_SHOWN)]
        left = [f"  and {len(kinds) - len(shown)} more values"] if len(kinds) > len(shown) else []
        closed = f"error {self.error:.1e}, bound {self.bound:.1e}"
        return "\n".join([head, *rows, *left, f"most credited ({closed})", *best])

    def _lines(self, label: str) -> list[str]:
        lines: list[str] = []
        for switch in (s for s in self.found.switches if s.value.label == label):
            said = " ".join(f"{part['component']} {part['share']:+.2f}" for part in strongest(switch, 3))
            name = f"{label:<20} {switch.value.score:+.4f}" if not lines else " " * 28
            lines.append(f"  {name}  {switch.key} {switch.activation:+.2f} = {said} ...")
        return lines


def strongest(switch: Switch, k: int) -> list[dict[str, Any]]:
    """The parts with the largest absolute shares of a pre-activation. Parameters: `switch`; `k`, how many."""
    parts = switch.parts.select("batch", switch.value.place[0])
    values = parts.tensor
    return [
        {"component": parts.label(i), "share": float(values[i]), "credit": switch.worth * float(values[i])}
        for i in values.abs().topk(min(k, len(parts))).indices.tolist()
    ]
