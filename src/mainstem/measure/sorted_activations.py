"""How a token's magnitudes fall from the largest to the smallest."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ._measure import Device, Measure
from ._moments import joined, mean_of, moments, no_moments, standard_error_of
from ._pieces import Piece
from ._state import State


@dataclass(frozen=True)
class SortedActivations(Measure):
    """Magnitudes of each token sorted, falling, and averaged rank by rank.

    `magnitude` is [width], rank 1 first, with `standard_error`; `energy` is each rank's share of sum x_i^2 over all tokens, and sums
    to 1.
    """

    name = "sorted_activations"
    about = "Magnitudes of a token from the largest to the smallest, averaged over tokens."

    def empty(self, width: int, device: Device) -> State:
        return no_moments((width,), device)

    def of(self, piece: Piece) -> State:
        return moments(piece.magnitude.sort(1, descending=True).values, piece.weight)

    def joined(self, one: State, other: State) -> State:
        return joined(one, other)

    def numbers(self, state: State) -> dict[str, Tensor]:
        square = state["m2"] + state["count"] * state["mean"].square()
        energy = square / torch.where(square.sum() > 0, square.sum(), torch.nan)
        return {"magnitude": mean_of(state), "standard_error": standard_error_of(state), "energy": energy}


MEASURE = SortedActivations
