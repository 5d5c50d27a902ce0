"""Kurtosis of each token in one random basis, as published curves have it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ._kurtosis import joined_kurtosis, kurtosis_numbers, kurtosis_of_tokens, no_kurtosis
from ._measure import Device, Measure
from ._pieces import Piece
from ._rotation import directions
from ._state import State


@dataclass(frozen=True)
class RotatedKurtosis(Measure):
    """Kurtosis of every token after one seeded random rotation R: kurtosis(R x).

    It only redraws a published curve. Over all rotations its mean is `rotated` for every vector, so being near 3 says nothing about
    the stream; one rotation is off by about `scatter` where tokens lie along one direction, and by less where they do not.
    `alignment` is the test. The rotation is in float32 where the values are no finer; all that follows is in float64.
    Source: Elhage et al. 2023, transformer-circuits.pub/2023/privileged-basis.

    Parameters: `seed` of the rotation.
    """

    seed: int = 0

    name = "rotated_kurtosis"
    about = "Kurtosis of each token in one random basis, to redraw published curves."
    rounding = 1e-5

    def empty(self, width: int, device: Device) -> State:
        return no_kurtosis(width, device)

    def of(self, piece: Piece) -> State:
        width, dtype = piece.x.shape[1], torch.float64 if piece.dtype == torch.float64 else torch.float32
        rotation = directions(width, width, self.seed, piece.x.device, dtype)
        turned = (piece.x.to(dtype) @ rotation).double()
        return kurtosis_of_tokens(Piece(turned, piece.counted, piece.ids, piece.dtype))

    def joined(self, one: State, other: State) -> State:
        return joined_kurtosis(one, other)

    def numbers(self, state: State) -> dict[str, Tensor]:
        return kurtosis_numbers(state)


MEASURE = RotatedKurtosis
