"""Measures over what a run shows: one state for each measure and site."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, fields
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mainstem.core import InputError, to_plain

from ._batches import Batch

State = dict[str, Tensor]
Point = tuple[str, Float[Tensor, "batch pos width"], Bool[Tensor, "batch pos"]]


@runtime_checkable
class Measure(Protocol):
    """Numbers about one site, as four functions over a state of tensors."""

    @property
    def name(self) -> str:
        """What it is called."""

    def init(self, width: int, device: torch.device) -> State:
        """The state of no tokens."""

    def update(self, state: State, x: Tensor, mask: Tensor, ids: Tensor) -> State:
        """The state after some tokens."""

    def merge(self, one: State, other: State) -> State:
        """The state of the tokens of both."""

    def result(self, state: State) -> dict[str, Tensor]:
        """The numbers."""


@runtime_checkable
class Pair(Protocol):
    """Numbers about two sites at the same tokens."""

    @property
    def name(self) -> str:
        """What it is called."""

    def init(self, width_x: int, width_y: int, device: torch.device) -> State:
        """The state of no tokens."""

    def update(self, state: State, x: Tensor, y: Tensor, mask: Tensor, ids: Tensor) -> State:
        """The state after some tokens."""

    def merge(self, one: State, other: State) -> State:
        """The state of the tokens of both."""

    def result(self, state: State) -> dict[str, Tensor]:
        """The numbers."""


Related = tuple[Pair, Sequence[tuple[str, str]]]


def choices_of(measure: Any) -> dict[str, Any]:
    """A measure as plain data: its name and its choices. Parameters: `measure`, a dataclass."""
    return {"name": measure.name, **to_plain(measure)}


def called(measure: Any) -> str:
    """A measure's name, with the choices that are not its usual ones. Parameters: `measure`, a dataclass."""
    plain = to_plain(measure)
    usual = {f.name: f.default for f in fields(measure) if f.default is not MISSING}
    said = [f"{k}={v!r}" for k, v in plain.items() if k != "name" and (k not in usual or to_plain(usual[k]) != v)]
    return f"{measure.name}({', '.join(said)})" if said else str(measure.name)


class Gather:
    """States of measures, fed batch by batch.

    Parameters: `measures`, of one site each; `pairs`, measures of two sites with the sites that each relates.
    """

    def __init__(self, measures: Sequence[Measure], pairs: Sequence[Related] = ()) -> None:
        self.measures = {called(m): m for m in measures}
        self.pairs = {called(pair): (pair, sites) for pair, sites in pairs}
        self.paired = {a for _, sites in pairs for both in sites for a in both}
        self.states: dict[tuple[str, str], State] = {}

    def add(self, batch: Batch, points: Iterable[Point]) -> None:
        """Takes in what a run showed of a batch.

        Parameters: `batch`; `points`, site, values and which places count. Raises `InputError` where a site of a pair is missing.
        """
        held: dict[str, _Seen] = {}
        waiting = [(name, a, b) for name, (_, sites) in self.pairs.items() for a, b in sites]
        for site, values, mask in points:
            seen = _flat(batch, site, values, mask)
            self._single(site, seen)
            if site in self.paired:
                held[site] = seen
                for name, a, b in (w for w in waiting if w[1] in held and w[2] in held):
                    self._both(name, a, b, held[a], held[b])
                waiting = [w for w in waiting if w[1] not in held or w[2] not in held]
                held = {s: v for s, v in held.items() if any(s in w[1:] for w in waiting)}
        if waiting:
            name, a, b = waiting[0]
            raise InputError(f"{name} relates {a} and {b}, and the run does not show both.")

    def _single(self, site: str, seen: "_Seen") -> None:
        for name, measure in self.measures.items():
            state = self.states.get((name, site)) or measure.init(seen.x.shape[1], seen.x.device)
            self.states[name, site] = measure.update(state, seen.x, seen.mask, seen.index)

    def _both(self, name: str, a: str, b: str, one: "_Seen", other: "_Seen") -> None:
        if len(one.x) != len(other.x):
            raise InputError(f"{name} relates {a} and {b}, of {len(one.x)} and {len(other.x)} tokens: leave that pair out.")
        pair, key = self.pairs[name][0], (name, f"{a} -> {b}")
        state = self.states.get(key) or pair.init(one.x.shape[1], other.x.shape[1], one.x.device)
        self.states[key] = pair.update(state, one.x, other.x, one.mask & other.mask, one.index)


class _Seen(NamedTuple):
    x: Tensor
    mask: Tensor
    index: Tensor


def _flat(batch: Batch, site: str, values: Tensor, mask: Tensor) -> _Seen:
    """Values, which count, and token indices, one row a token. Pads never count, whatever the run says."""
    rows, columns = values.shape[:2]
    index, counts = batch.index.to(values.device, non_blocking=True), mask
    if index.shape == (rows, columns):
        counts = mask & batch.mask.to(mask.device, non_blocking=True)
    elif index.shape == (rows, 1):
        index = index + torch.arange(columns, device=index.device)
    else:
        raise InputError(
            f"{site} has {rows} x {columns} places, the batch {' x '.join(map(str, index.shape))}: they cannot be told apart."
        )
    return _Seen(values.flatten(0, 1), counts.flatten(), index.flatten())


def merged(
    measures: Iterable[Any], one: dict[tuple[str, str], State], other: dict[tuple[str, str], State]
) -> Iterator[tuple[tuple[str, str], State]]:
    """The states of the tokens of both. Parameters: `measures`, single ones and pairs; `one`; `other`."""
    by_name = {called(m): m for m in measures}
    for key in [*one, *(k for k in other if k not in one)]:
        both = key in one and key in other
        yield key, by_name[key[0]].merge(one[key], other[key]) if both else one.get(key) or other[key]
