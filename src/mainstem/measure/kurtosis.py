"""Kurtosis of each token over its features: how far few features stand out from the rest."""

from dataclasses import dataclass

from torch import Tensor

from ._kurtosis import joined_kurtosis, kurtosis_numbers, kurtosis_of_tokens, no_kurtosis
from ._measure import Device, Measure
from ._pieces import Piece
from ._state import State


@dataclass(frozen=True)
class Kurtosis(Measure):
    """Pearson's kurtosis of every token over its n features, and its mean over tokens.

    kurtosis(x) = n sum (x_i - m)^4 / (sum (x_i - m)^2)^2, m the mean over features.

    `kurtosis`, with `standard_error` as if tokens were independent; `rotated`, the mean that any vector has in a random basis,
    3 (n - 1) / (n + 1), a theorem and no evidence of anything Gaussian; `scatter`, about sqrt(24 / n), the deviation of one token
    in one random basis from that; `flat`, tokens of equal features, which have none and are left out.
    Source: Elhage et al. 2023, transformer-circuits.pub/2023/privileged-basis, who draw a rotation and print no closed form.
    """

    name = "kurtosis"
    about = "Kurtosis of each token over its features, beside the closed form for a random basis."

    def empty(self, width: int, device: Device) -> State:
        return no_kurtosis(width, device)

    def of(self, piece: Piece) -> State:
        return kurtosis_of_tokens(piece)

    def joined(self, one: State, other: State) -> State:
        return joined_kurtosis(one, other)

    def numbers(self, state: State) -> dict[str, Tensor]:
        return kurtosis_numbers(state)


MEASURE = Kurtosis
