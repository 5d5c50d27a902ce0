"""Measures over what a run shows: one state for each measure and site."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, fields
from hashlib import sha256
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mainstem.core import InputError, to_plain
from mainstem.measure import Fused, Measure, Pair, State

from ._batches import Batch

Point = tuple[
    str, Float[Tensor, "_ _ _"], Bool[Tensor, "_ _"]
]  # [batch, pos, width] and [batch, pos], pos another at each site of a ResNet
Related = tuple[Pair, Sequence[tuple[str, str]]]
States = dict[tuple[str, str], State]


class Gather:
    """States of measures, fed batch by batch.

    Parameters: `measures`, of one site each; `pairs`, measures of two sites with the sites that each relates.
    """

    def __init__(self, measures: Sequence[Measure], pairs: Sequence[Related] = ()) -> None:
        self.names, self.fused = [called(m) for m in measures], Fused(tuple(measures))
        self.pairs = {called(pair): (pair, sites) for pair, sites in pairs}
        if twice := [name for name in [*self.names, *self.pairs] if [*self.names, *self.pairs].count(name) > 1]:
            raise InputError(f"{twice[0]} is asked for twice.")
        self.paired = {a for _, sites in pairs for both in sites for a in both}
        self.single: dict[str, tuple[State, ...]] = {}
        self.double: States = {}

    def add(self, batch: Batch, points: Iterable[Point]) -> None:
        """Takes in what a run showed of a batch.

        Parameters: `batch`; `points`, site, values and which places count. Raises `InputError` where a site of a pair is missing.
        """
        held: dict[str, _Seen] = {}
        waiting = [(name, a, b) for name, (_, sites) in self.pairs.items() for a, b in sites]
        for site, values, mask in points:
            seen = _flat(batch, site, values, mask)
            if self.names:
                states = self.single.get(site) or self.fused.init(seen.x.shape[1], seen.x.device)
                self.single[site] = self.fused.update(states, *seen)
            if site in self.paired:
                held[site] = seen
                for name, a, b in (w for w in waiting if w[1] in held and w[2] in held):
                    self._both(name, a, b, held[a], held[b])
                waiting = [w for w in waiting if w[1] not in held or w[2] not in held]
                held = {s: v for s, v in held.items() if any(s in w[1:] for w in waiting)}
        if waiting:
            name, a, b = waiting[0]
            raise InputError(f"{name} relates {a} and {b}, and the run does not show both.")

    def states(self) -> States:
        """What was gathered, by measure and site, in main memory."""
        single = {
            (name, site): state for site, states in self.single.items() for name, state in zip(self.names, states, strict=True)
        }
        return {key: {k: v.detach().cpu() for k, v in state.items()} for key, state in (single | self.double).items()}

    def _both(self, name: str, a: str, b: str, one: "_Seen", other: "_Seen") -> None:
        if len(one.x) != len(other.x):
            raise InputError(f"{name} relates {a} and {b}, of {len(one.x)} and {len(other.x)} tokens: leave that pair out.")
        pair, key = self.pairs[name][0], (name, f"{a} -> {b}")
        state = self.double.get(key) or pair.init(one.x.shape[1], other.x.shape[1], one.x.device)
        x, mask = other.x.to(one.x.device), other.mask.to(one.mask.device)
        self.double[key] = pair.update(state, one.x, x, one.mask & mask, one.ids)


class _Seen(NamedTuple):
    x: Tensor
    mask: Tensor
    ids: Tensor


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


def choices_of(measure: Measure | Pair) -> dict[str, Any]:
    """A measure as plain data: its name and its choices, tensors by their hash. Parameters: `measure`."""
    return {"name": measure.name, "choices": {name: _plain(value) for name, value in measure.choices.items()}}


def called(measure: Measure | Pair) -> str:
    """A measure's name, with those of its choices that are not the usual ones. Parameters: `measure`."""
    usual = {f.name: _plain(f.default) for f in fields(measure) if f.default is not MISSING}
    said = [f"{k}={v!r}" for k, v in choices_of(measure)["choices"].items() if k not in usual or usual[k] != v]
    return f"{measure.name}({', '.join(said)})" if said else measure.name


def merged(measures: Iterable[Measure | Pair], one: States, other: States) -> Iterator[tuple[tuple[str, str], State]]:
    """The states of the tokens of both. Parameters: `measures`, single ones and pairs; `one`; `other`."""
    by_name = {called(m): m for m in measures}
    for key in [*one, *(k for k in other if k not in one)]:
        both = key in one and key in other
        yield key, by_name[key[0]].merge(one[key], other[key]) if both else one.get(key) or other[key]


def checksum(about: str, states: States) -> str:
    """The sha256 of numbers and of what is said of them. Parameters: `about`; `states`, by measure and site, in any order."""
    found = sha256(about.encode())
    for key, state in sorted(states.items()):
        for name, value in sorted(state.items()):
            found.update(repr((*key, name, str(value.dtype), tuple(value.shape))).encode())
            found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _plain(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return to_plain(value)
    values = value.detach().cpu().contiguous()
    known = sha256(values.view(torch.uint8).numpy().tobytes() if values.dim() else repr(values.item()).encode()).hexdigest()[:16]
    return f"tensor {list(values.shape)} {str(values.dtype).removeprefix('torch.')} {known}"
