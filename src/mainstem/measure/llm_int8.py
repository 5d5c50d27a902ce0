"""In how many positions each feature is an outlier, as LLM.int8 counts."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.core import InputError

from ._measure import Device, Measure
from ._pieces import Piece
from ._state import State, tokens_of


@dataclass(frozen=True)
class LlmInt8(Measure):
    """Share of positions at which each feature is at least as large as a magnitude.

    positions_i = #{t: |x_ti| >= magnitude} / T, [width]. `features` is how many of them reach the `share` at this point, and
    `values` the share of all numbers that are so large. A feature is an outlier of a model where it is one at a quarter of its points:
    `outlier_dimensions` of `positions` at all points.
    Source: Dettmers et al. 2022, arXiv 2208.07339, section 4.

    Parameters: `magnitude`, above 0; `share`, of positions, 0 to 1.
    """

    magnitude: float = 6.0
    share: float = 0.06

    name = "llm_int8"
    about = "Share of positions at which each feature is an outlier, by the rule of LLM.int8."

    def __post_init__(self) -> None:
        if not (self.magnitude > 0 and 0 <= self.share <= 1):
            raise InputError(f"magnitude is above 0 and share from 0 to 1, not {self.magnitude!r} and {self.share!r}.")

    def empty(self, width: int, device: Device) -> State:
        return {"large": torch.zeros(width, dtype=torch.float64, device=device)}

    def of(self, piece: Piece) -> State:
        return {"large": piece.x.abs().ge_(self.magnitude).sum(0)}  # rows that do not count are zeros

    def joined(self, one: State, other: State) -> State:
        return {"large": one["large"] + other["large"]}

    def numbers(self, state: State) -> dict[str, Tensor]:
        tokens = tokens_of(state)
        positions = state["large"] / torch.where(tokens > 0, tokens, torch.nan)
        features = torch.where(tokens > 0, (positions >= self.share).sum().double(), torch.nan)
        return {"positions": positions, "features": features, "values": positions.mean()}


MEASURE = LlmInt8
