"""How large the tokens are at a point."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ._measure import Device, Measure
from ._moments import joined, mean_of, moments, no_moments, standard_error_of, variance_of
from ._pieces import Piece
from ._state import State


@dataclass(frozen=True)
class Rms(Measure):
    """Root mean square and length of tokens.

    rms(x) = sqrt(sum x_i^2 / n), norm(x) = sqrt(sum x_i^2).

    `rms` and `norm` are means over tokens, `rms_standard_error` and `norm_standard_error` as if tokens were independent, `rms_spread`
    the deviation over tokens, `rms_pooled` the root of the mean square of all numbers. First positions are often far larger than the
    rest: `first_apart` gives a mask for each.
    """

    name = "rms"
    about = "Root mean square and norm of the tokens at a point."

    def empty(self, width: int, device: Device) -> State:
        return no_moments((), device) | {"width": torch.tensor(width, device=device)}

    def of(self, piece: Piece) -> State:
        return moments(piece.norm, piece.weight) | {"width": piece.width}

    def joined(self, one: State, other: State) -> State:
        return joined(one, other) | {"width": torch.maximum(one["width"], other["width"])}

    def numbers(self, state: State) -> dict[str, Tensor]:
        mean, error, variance = mean_of(state), standard_error_of(state), variance_of(state)
        root = state["width"].double().sqrt()
        return {
            "rms": mean / root,
            "rms_standard_error": error / root,
            "rms_spread": variance.sqrt() / root,
            "rms_pooled": (variance + mean.square()).sqrt() / root,
            "norm": mean,
            "norm_standard_error": error,
        }


MEASURE = Rms
