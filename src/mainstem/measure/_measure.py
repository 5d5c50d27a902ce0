"""What a measure is: frozen choices, and pure functions over a state that is a plain dict of tensors.

A member says what its empty state is, what a piece of tokens adds to it, how two states join, and which numbers come of one. The base
adds the counting of tokens and of what was left out. No function looks at a value while it updates, so an accelerator never waits.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mainstem.core import InputError

from ._pieces import Piece, pieces
from ._state import COUNTS, State

Device = torch.device | str


@dataclass(frozen=True)
class _Counting(ABC):
    """What measures of one site and of two have in common.

    `rounding` bounds what a merge, another order or a lower precision of the same numbers changes, relative to the result.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    rounding: ClassVar[float] = 1e-10
    square: ClassVar[bool] = False  # the state has width x width numbers, so pieces are as tall as they are wide

    @property
    def choices(self) -> dict[str, Any]:
        """What it was asked to do, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def merge(self, one: State, other: State) -> State:
        """The state of the tokens of both. Parameters: `one`; `other`."""
        return {"counts": one["counts"] + other["counts"], **self.joined(one, other)}

    @torch.no_grad()
    def result(self, state: State) -> dict[str, Tensor]:
        """Numbers by name, in float64 (ids in int64), with counts of `tokens` and of those left out for a `nan` or an `inf`.

        Parameters: `state`.
        """
        counts = dict(zip(COUNTS, state["counts"].double(), strict=True))
        return {**counts, **self.numbers(state)}

    @abstractmethod
    def joined(self, one: State, other: State) -> State:
        """The member's part of `merge`. Parameters: `one`; `other`."""

    @abstractmethod
    def numbers(self, state: State) -> dict[str, Tensor]:
        """The member's part of `result`. Parameters: `state`."""


@dataclass(frozen=True)
class Measure(_Counting):
    """A measure of one site: a point of the stream, a write, a basis of computation."""

    def init(self, width: int, device: Device = "cpu") -> State:
        """The state of no token. Parameters: `width` of the site; `device`, that of its values."""
        return {**_no_counts(device), **self.empty(width, device)}

    @torch.no_grad()
    def update(
        self,
        state: State,
        x: Float[Tensor, "token width"],
        mask: Bool[Tensor, " token"],
        ids: Int[Tensor, " token"] | None = None,
    ) -> State:
        """The state with more tokens; the one given is left as it is.

        Parameters: `state`; `x`, values of any precision; `mask`, which tokens count; `ids`, the index of each in the whole data.
        """
        for (piece,), counts in pieces(mask, ids, x, square=self.square):
            state = self.merge(state, {"counts": counts, **self.of(piece)})
        return state

    @abstractmethod
    def empty(self, width: int, device: Device) -> State:
        """The member's part of `init`. Parameters: `width`; `device`."""

    @abstractmethod
    def of(self, piece: Piece) -> State:
        """The member's state of a few tokens. Parameters: `piece`."""


@dataclass(frozen=True)
class Pair(_Counting):
    """A measure of two sites at the same tokens. A token that is not finite at either is left out.

    `sites` says which pairs it is meant for: "next" (x_t, x_{t+1}), "last" (x_t, x_T), "all" (any two points or writes),
    "into" (a write, the point it is added into), "writes" (a point, the writes that follow it, side by side).
    """

    sites: ClassVar[tuple[str, ...]]

    def init(self, width_x: int, width_y: int, device: Device = "cpu") -> State:
        """The state of no token. Parameters: `width_x`; `width_y`; `device`, that of the values."""
        return {**_no_counts(device), **self.empty(width_x, width_y, device)}

    @torch.no_grad()
    def update(
        self,
        state: State,
        x: Float[Tensor, "token width_x"],
        y: Float[Tensor, "token width_y"],
        mask: Bool[Tensor, " token"],
        ids: Int[Tensor, " token"] | None = None,
    ) -> State:
        """The state with more tokens; the one given is left as it is.

        Parameters: `state`; `x` and `y`, values of any precision; `mask`, which tokens count; `ids`, the index of each.
        """
        for (one, other), counts in pieces(mask, ids, x, y, square=self.square):
            state = self.merge(state, {"counts": counts, **self.of(one, other)})
        return state

    def of_one_width(self, width_x: int, width_y: int) -> None:
        """Raises `InputError` where the sites differ in width. Parameters: `width_x`; `width_y`."""
        if width_x != width_y:
            raise InputError(f"{self.name} compares features one by one, and the sites have {width_x} and {width_y} of them.")

    @abstractmethod
    def empty(self, width_x: int, width_y: int, device: Device) -> State:
        """The member's part of `init`. Parameters: `width_x`; `width_y`; `device`."""

    @abstractmethod
    def of(self, one: Piece, other: Piece) -> State:
        """The member's state of a few tokens. Parameters: `one`, of the first site; `other`, of the second."""


def _no_counts(device: Device) -> State:
    return {"counts": torch.zeros(len(COUNTS), dtype=torch.int64, device=device)}
