"""Several measures of one site in one go: what they need of a few tokens is worked out once, while it is in the cache."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ._measure import Device, Measure
from ._pieces import pieces
from ._state import State


@dataclass(frozen=True)
class Fused:
    """Measures of one site that run together. States and results are tuples in the order of the measures.

    Parameters: `measures`.
    """

    measures: tuple[Measure, ...]

    def init(self, width: int, device: Device = "cpu") -> tuple[State, ...]:
        """The states of no token. Parameters: `width` of the site; `device`."""
        return tuple(one.init(width, device) for one in self.measures)

    @torch.no_grad()
    def update(
        self,
        states: tuple[State, ...],
        x: Float[Tensor, "token width"],
        mask: Bool[Tensor, " token"],
        ids: Int[Tensor, " token"] | None = None,
    ) -> tuple[State, ...]:
        """The states with more tokens. Parameters: `states`; `x`; `mask`, which tokens count; `ids`, the index of each."""
        light = [i for i, one in enumerate(self.measures) if not one.square]
        for (piece,), counts in pieces(mask, ids, x) if light else ():
            fresh = {i: {"counts": counts, **self.measures[i].of(piece)} for i in light}
            states = tuple(
                one.merge(s, fresh[i]) if i in fresh else s for i, (one, s) in enumerate(zip(self.measures, states, strict=True))
            )
        return tuple(one.update(s, x, mask, ids) if one.square else s for one, s in zip(self.measures, states, strict=True))

    def merge(self, one: tuple[State, ...], other: tuple[State, ...]) -> tuple[State, ...]:
        """The states of the tokens of both. Parameters: `one`; `other`."""
        return tuple(measure.merge(a, b) for measure, a, b in zip(self.measures, one, other, strict=True))

    def result(self, states: tuple[State, ...]) -> tuple[dict[str, Tensor], ...]:
        """The numbers of each measure. Parameters: `states`."""
        return tuple(measure.result(state) for measure, state in zip(self.measures, states, strict=True))
