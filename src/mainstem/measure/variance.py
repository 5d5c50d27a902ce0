"""Variance over tokens, feature by feature and in all."""

from dataclasses import dataclass

from torch import Tensor

from ._measure import Device, Measure
from ._moments import joined, mean_of, moments, no_moments, variance_of
from ._pieces import Piece
from ._state import State


@dataclass(frozen=True)
class Variance(Measure):
    """Mean and variance over tokens of every feature; the total is the trace of the covariance and does not depend on the basis.

    variance_i = sum_t (x_ti - mean_i)^2 / T, total = sum_i variance_i. `mean` and `variance` are [width].
    """

    name = "variance"
    about = "Variance over tokens, of each feature and in total."

    def empty(self, width: int, device: Device) -> State:
        return no_moments((width,), device)

    def of(self, piece: Piece) -> State:
        return moments(piece.x, piece.weight)

    def joined(self, one: State, other: State) -> State:
        return joined(one, other)

    def numbers(self, state: State) -> dict[str, Tensor]:
        variance = variance_of(state)
        return {"mean": mean_of(state), "variance": variance, "total": variance.sum()}


MEASURE = Variance
