"""How alike two points are whatever their bases."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ._comoments import comoments, joined_comoments, no_comoments
from ._measure import Device, Pair
from ._pieces import Piece
from ._state import State

_PRODUCTS = ("xx", "yy", "xy")


@dataclass(frozen=True)
class Cka(Pair):
    """Linear centred kernel alignment.

    cka = |X^T Y|^2 / (|X^T X| |Y^T Y|), X and Y centred over tokens, all norms Frobenius. 1 for a point and itself, or itself rotated
    and scaled; 0 where no feature of one covaries with any of the other. NaN where a side does not vary. With few tokens for the
    width it is high whatever the points: unrelated ones of T tokens and d features have about 1 / (1 + T / d).
    Source: Kornblith et al. 2019, arXiv 1905.00414.
    """

    name = "cka"
    about = "Linear centred kernel alignment of two points."
    sites = ("next", "last", "all")
    square = True

    def empty(self, width_x: int, width_y: int, device: Device) -> State:
        return no_comoments({"x": width_x, "y": width_y}, _PRODUCTS, device)

    def of(self, one: Piece, other: Piece) -> State:
        return comoments({"x": one.x, "y": other.x}, one.weight, _PRODUCTS)

    def joined(self, one: State, other: State) -> State:
        return joined_comoments(one, other, _PRODUCTS)

    def numbers(self, state: State) -> dict[str, Tensor]:
        xx, yy, xy = (torch.linalg.matrix_norm(state[product]) for product in _PRODUCTS)
        size = torch.where((xx > 0) & (yy > 0), xx.sqrt() * yy.sqrt(), torch.nan)
        return {"cka": (xy / size).square()}


MEASURE = Cka
