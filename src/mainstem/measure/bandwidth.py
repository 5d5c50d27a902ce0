"""How many directions the tokens at a point use."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ._comoments import comoments, joined_comoments, no_comoments, per_row
from ._measure import Device, Measure
from ._pieces import Piece
from ._spectrum import effective_rank, participation_ratio, spectrum
from ._state import State


@dataclass(frozen=True)
class Bandwidth(Measure):
    """Covariance over tokens, and how many directions it fills.

    total = tr C, participation_ratio = (tr C)^2 / tr C^2, effective_rank = exp(-sum p_i log p_i) with p_i = l_i / sum l, l the
    eigenvalues of C. All four do not depend on the basis; `variance`, C's diagonal, does. `eigenvalues` fall. Few tokens cannot fill
    many directions: with T of them at most T - 1 eigenvalues are not 0.
    Source: Roy and Vetterli 2007 for the effective rank, who take singular values where we take variances; Gao et al. 2017
    (participation ratio).
    """

    name = "bandwidth"
    about = "Covariance over tokens: variance, eigenvalues, effective rank, participation ratio."
    square = True

    def covariance(self, state: State) -> Float[Tensor, "width width"]:
        """C = sum_t (x_t - mean) (x_t - mean)^T / T, NaN of no token. Parameters: `state`."""
        return per_row(state, "xx")

    def empty(self, width: int, device: Device) -> State:
        return no_comoments({"x": width}, ("xx",), device)

    def of(self, piece: Piece) -> State:
        return comoments({"x": piece.x}, piece.weight, ("xx",))

    def joined(self, one: State, other: State) -> State:
        return joined_comoments(one, other, ("xx",))

    def numbers(self, state: State) -> dict[str, Tensor]:
        covariance = self.covariance(state)
        values = torch.where(state["count"] > 0, spectrum(covariance), torch.nan)
        return {
            "variance": covariance.diagonal(),
            "total": covariance.trace(),
            "eigenvalues": values,
            "effective_rank": effective_rank(values),
            "participation_ratio": participation_ratio(values),
        }


MEASURE = Bandwidth
