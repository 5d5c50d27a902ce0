"""Is the basis privileged? Kurtosis over tokens along the basis directions, against random ones."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.core import InputError

from ._measure import Device, Measure
from ._moments import joined, kurtosis_of, moments, no_moments
from ._pieces import Piece
from ._rotation import directions
from ._state import State, below, inside


@dataclass(frozen=True)
class Alignment(Measure):
    """Kurtosis over tokens along each basis direction, and along seeded random directions of the same tokens.

    kurtosis_i = T sum_t (x_ti - mean_i)^4 / (sum_t (x_ti - mean_i)^2)^2.

    `basis` is [width], `random` [directions]; `basis_mean` and `random_mean`, `basis_median` and `random_median` of them; `auc`, the
    share of pairs in which the basis direction has more than the random one (ties half): 0.5 where the basis is like any other, 1
    where every basis direction has heavier tails. Directions of one data set are not independent, so no p-value is made of it.
    Directions along which nothing varies have no kurtosis (NaN) and are left out of all but the lists.

    One token far larger than the rest gives every random direction heavy tails, and only the few basis directions that it lies along:
    `auc` then falls towards 0. First positions are often such tokens, so measure the rest apart (`first_apart`).

    Parameters: `directions`, random ones, orthonormal, at most as many as features are used; `seed` of them.
    """

    directions: int = 64
    seed: int = 0

    name = "alignment"
    about = "Kurtosis over tokens along basis directions against random ones, the test of a privileged basis."

    def __post_init__(self) -> None:
        if self.directions < 1:
            raise InputError(f"directions is how many random ones to take, from 1, not {self.directions!r}.")

    def empty(self, width: int, device: Device) -> State:
        random = no_moments((min(self.directions, width),), device, order=4)
        return {**below("basis", no_moments((width,), device, order=4)), **below("random", random)}

    def of(self, piece: Piece) -> State:
        turned = directions(piece.x.shape[1], self.directions, self.seed, piece.x.device, torch.float64)
        basis, random = moments(piece.x, piece.weight, order=4), moments(piece.x @ turned, piece.weight, order=4)
        return {**below("basis", basis), **below("random", random)}

    def joined(self, one: State, other: State) -> State:
        each = (below(name, joined(inside(one, name), inside(other, name))) for name in ("basis", "random"))
        return {key: value for part in each for key, value in part.items()}

    def numbers(self, state: State) -> dict[str, Tensor]:
        found = {name: kurtosis_of(inside(state, name)) for name in ("basis", "random")}
        means = {f"{name}_mean": value.nanmean() for name, value in found.items()}
        medians = {f"{name}_median": value.nanquantile(0.5) for name, value in found.items()}
        return {**found, **means, **medians, "auc": _share_above(found["basis"], found["random"])}


def _share_above(one: Tensor, other: Tensor) -> Tensor:
    one, other = one[~one.isnan()], other[~other.isnan()].sort().values
    below, upto = (torch.searchsorted(other, one, right=right).double() for right in (False, True))
    return ((below + upto) / 2).mean() / max(len(other), 1)


MEASURE = Alignment
