"""What an edit makes of the part of a tensor that a label names. Each is plain data: printable, picklable, and one change."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mainstem.algebra import Call
from mainstem.core import InputError
from mainstem.find import Patch, Stream, StreamMap

from ._target import Target
from ._targets import features, skips, targets
from ._tokens import Positions, Tokens

Directions = Float[Tensor, "direction d_model"]


@dataclass(frozen=True)
class Made:
    """A change of one tensor. Parameters: `target`; `patch`; `positions`, where; `sets`, nothing is left there of what was before."""

    target: Target
    patch: Patch
    positions: Positions = None
    sets: bool = False


class Change(ABC):
    """One change of a forward pass. `weights` is the sha256 of the only weights that it fits, None where it fits any."""

    weights: str | None = None
    label: str

    @property
    def placed(self) -> bool:
        """Whether it differs from place to place."""
        return False

    @abstractmethod
    def made(self, found: StreamMap, tokens: dict[str, Tokens]) -> Iterator[Made]:
        """The change in this model. Parameters: `found`, its map; `tokens`, of every stream by its name."""


class _Placed(Change):
    """A change of one label at positions, to what `_becomes` says."""

    label: str
    positions: Positions = None
    sets = False
    smaller = ""  # what makes less of a change that can make too much

    @property
    def placed(self) -> bool:
        return self.positions is not None

    def made(self, found: StreamMap, tokens: dict[str, Tokens]) -> Iterator[Made]:
        """The change of everything that the label names. Parameters: `found`; `tokens`."""
        for stream, target in targets(found, self.label):
            yield self._one(stream, target, tokens)

    def _one(self, stream: Stream, target: Target, tokens: dict[str, Tokens]) -> Made:
        own = tokens.get(stream.name, Tokens())
        if self.placed and self.positions is None:
            target.check_seats(own)
        change = partial(target.changed, change=partial(self._becomes, target, own), positions=self.positions, tokens=own)
        kept = partial(self._within, change) if self.smaller else change
        return Made(target, Patch(target.site, kept, target.seeing), self.positions, self.sets)

    def _within(self, change: Callable[..., Tensor], value: Tensor, call: Call | None = None) -> Tensor:
        """The tensor changed. Raises `InputError` where numbers grow beyond what the precision holds with their squares, which norms take."""
        new = change(value, call)
        peak, most = _peak(new), _most(new)
        if not peak <= most and _peak(value) <= most:
            raise InputError(
                f"{self} makes numbers overflow: they reach {peak:.1e}, and beyond {most:.1e} {_holding(new.dtype)} does not hold them "
                f"with their squares, which norms take. Take {self.smaller}."
            )
        return new

    @abstractmethod
    def _becomes(self, target: Target, tokens: Tokens, part: Tensor) -> Tensor:
        """What the part becomes."""

    def _where(self) -> str:
        return "" if self.positions is None else f" at {', '.join(map(str, self.positions))}"


@dataclass(frozen=True, slots=True)
class Zero(_Placed):
    """Sets a component or a point to zero."""

    label: str
    positions: Positions = None
    sets = True

    def _becomes(self, target: Target, tokens: Tokens, part: Tensor) -> Tensor:
        return torch.zeros_like(part)

    def __str__(self) -> str:
        return f"zero {self.label}{self._where()}"


@dataclass(frozen=True, slots=True, eq=False)
class Scale(_Placed):
    """Multiplies a component or a point by a number; `along` directions, only what lies along them."""

    label: str
    by: float
    positions: Positions = None
    along: Directions | None = None
    smaller = "a smaller factor"

    def _becomes(self, target: Target, tokens: Tokens, part: Tensor) -> Tensor:
        if self.along is None:
            return self.by * part
        axes = fitting(self.along, target, part)
        return part + (self.by - 1) * (part @ axes.T) @ axes

    def __str__(self) -> str:
        inside = "" if self.along is None else f" along {len(self.along)} direction{'s' * (len(self.along) > 1)}"
        return f"scale {self.label}{inside} by {self.by:g}{self._where()}"


@dataclass(frozen=True, slots=True, eq=False)
class Steer(_Placed):
    """Adds a vector to a component or a point."""

    label: str
    vector: Float[Tensor, " d_model"]
    by: float = 1.0
    positions: Positions = None
    smaller = "a shorter vector or a smaller factor"

    def _becomes(self, target: Target, tokens: Tokens, part: Tensor) -> Tensor:
        if target.kind == "edge":
            raise InputError(f"{target.label} can be zeroed or scaled; to steer what its head writes, steer the head.")
        return part + self.by / target.factor * fitting(self.vector[None], target, part)[0]

    def __str__(self) -> str:
        return f"steer {self.label} by {self.by:g} x |{float(self.vector.detach().double().norm()):.4g}|{self._where()}"


@dataclass(frozen=True, slots=True, eq=False)
class Mean(_Placed):
    """Sets components to what they are in the mean over a data set."""

    label: str
    values: dict[str, Float[Tensor, " d_model"]]
    over: str
    weights: str | None = None
    positions: Positions = None
    sets = True

    def _becomes(self, target: Target, tokens: Tokens, part: Tensor) -> Tensor:
        return fitting(self.values[target.label][None], target, part)[0].expand_as(part)

    def made(self, found: StreamMap, tokens: dict[str, Tokens]) -> Iterator[Made]:
        for stream, target in targets(found, self.label):
            if target.label not in self.values:
                raise InputError(f"there is no mean of {target.label}: these means are of {', '.join(self.values)}.")
            yield self._one(stream, target, tokens)

    def __str__(self) -> str:
        return f"mean {self.label} over {self.over}{self._where()}"


@dataclass(frozen=True, slots=True, eq=False)
class Held(_Placed):
    """Sets components to what they were in another run, place by place, or at places drawn by chance.

    `values` by label, [row, pos, feature]; `places`, [place, 2], the real ones of that run, None where they are taken one for one.
    """

    label: str
    values: dict[str, Tensor]
    positions: Positions = None
    places: Int[Tensor, "place 2"] | None = None
    seed: int | None = None
    rows: Tokens | None = None
    sets = True

    @property
    def placed(self) -> bool:
        return True

    def made(self, found: StreamMap, tokens: dict[str, Tokens]) -> Iterator[Made]:
        for stream, target in targets(found, self.label):
            if target.label not in self.values:
                raise InputError(f"there is no other {target.label}: what was taken is {', '.join(self.values)}.")
            yield self._one(stream, target, tokens)

    def _becomes(self, target: Target, tokens: Tokens, part: Tensor) -> Tensor:
        held = self.values[target.label].to(part.device, part.dtype)
        if held.shape[-1] != part.shape[-1]:
            raise InputError(
                f"{target.label} has {part.shape[-1]} features here, and {held.shape[-1]} in the run it was taken from."
            )
        return self._one_for_one(target, tokens, held, part) if self.places is None else self._drawn(held, part, tokens.start)

    def _one_for_one(self, target: Target, tokens: Tokens, held: Tensor, part: Tensor) -> Tensor:
        assert self.rows is not None
        if len(part) % len(held):
            raise InputError(
                f"{target.label} was taken from {len(held)} prompts and there are {len(part)} here: give as many, or one."
            )
        there = self._meant(self.rows, held)
        here = self._meant(tokens, part)
        new = part.clone()
        for i in range(len(part)):
            to, what = here[i % len(here)], held[i % len(held)][there[i % len(there)]]
            if bool(to.any()) and int(to.sum()) != len(what):
                raise InputError(
                    f"{target.label} was taken from {len(what)} places and there are {int(to.sum())} here: give positions=..., counted "
                    "from either end, or prompts of as many tokens."
                )
            if bool(to.any()):
                new[i, to] = what
        return new

    def _meant(self, tokens: Tokens, part: Tensor) -> Tensor:
        rows, length, _ = part.shape
        if self.positions is None:
            return tokens.real(rows, length, part.device)
        return tokens.at(self.positions, rows, length, part.device)

    def _drawn(self, held: Tensor, part: Tensor, start: int) -> Tensor:
        """Places one behind the other, so that those of a prompt stay when it grows."""
        assert self.places is not None
        chance = torch.Generator().manual_seed(self.seed or 0)
        rows, length, _ = part.shape
        drawn = torch.randint(len(self.places), (start + length, rows), generator=chance)[start:]
        at = self.places[drawn.T.flatten()]
        return held[at[:, 0] % len(held), at[:, 1]].reshape(part.shape)

    def __str__(self) -> str:
        drawn = "patch" if self.places is None else f"resample (seed {self.seed})"
        return f"{drawn} {self.label}{self._where()}"


@dataclass(frozen=True, slots=True)
class WithoutSkip(Change):
    """Takes away what the stream carries past an addition: x + f(x) becomes f(x)."""

    label: str

    def made(self, found: StreamMap, tokens: dict[str, Tokens]) -> Iterator[Made]:
        for _, target in skips(found, self.label):
            yield Made(target, Patch(target.site, torch.zeros_like), None, True)

    def __str__(self) -> str:
        return f"without the skip of {self.label}"


@dataclass(frozen=True, slots=True)
class ZeroDims(Change):
    """Sets features of the stream to zero at points, at every one where none is named."""

    dims: tuple[int, ...]
    at: tuple[str, ...] = ()

    def made(self, found: StreamMap, tokens: dict[str, Tokens]) -> Iterator[Made]:
        for label in self.at or ("",):
            for point in features(found, label, self.dims):
                target = Target(f"{point.name} features", "point", point.site, point.axis, width=point.width)
                yield Made(target, Patch(point.site, partial(without_features, axis=point.axis, at=self.dims)))

    def __str__(self) -> str:
        return f"zero dims {', '.join(map(str, self.dims))} at {', '.join(self.at) or 'every point'}"


def fitting(rows: Directions, target: Target, part: Tensor) -> Tensor:
    """Vectors on the device and in the precision of what they change. Parameters: `rows`; `target`; `part`.

    Raises `InputError` where they have another number of features.
    """
    if rows.shape[-1] != part.shape[-1]:
        raise InputError(f"{target.label} has {part.shape[-1]} features; a vector of {rows.shape[-1]} does not fit.")
    return rows.to(part.device, part.dtype)


def _peak(value: Tensor) -> float:
    return float(value.detach().abs().max()) if value.numel() else 0.0


def _most(value: Tensor) -> float:
    """The largest number of which as many squares as the tensor has features can be summed; norms do that in float32 at least."""
    wide = torch.float64 if value.dtype == torch.float64 else torch.float32
    return float(min(torch.finfo(value.dtype).max, (torch.finfo(wide).max / max(1, value.shape[-1])) ** 0.5))


def _holding(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def without_features(value: Tensor, axis: int, at: tuple[int, ...]) -> Tensor:
    """A tensor with features zero. Parameters: `value`; `axis`; `at`, which."""
    keep = torch.ones(value.shape[axis], dtype=value.dtype, device=value.device)
    keep[list(at)] = 0
    return (value.movedim(axis, -1) * keep).movedim(-1, axis)
