"""How many features ever take a value beyond a threshold."""

from dataclasses import dataclass
from math import inf
from typing import Literal

import torch
from torch import Tensor

from mainstem.core import InputError

from ._extremes import extremes, joined_extremes, no_extremes, seen_only
from ._measure import Device, Measure
from ._pieces import Piece
from ._state import State


@dataclass(frozen=True)
class Outliers(Measure):
    """Share of features with an outlier in at least one token, for each threshold.

    share(t) = #{i: max over tokens of |x_i| > t} / n, or of x_i where `sided` is "one".

    `share` and `thresholds` go together; `highest` and `lowest` are what each feature reached above and below 0, so that any other
    threshold can be asked of a result.
    Source: Elhage et al. 2023 and Dettmers et al. 2022 take absolute values and 6; the published curves of seed models are one-sided
    with 4, 10 and 6. A share only grows with more tokens: compare points on the same ones.

    Parameters: `thresholds`, each above 0; `sided`, "two" or "one".
    """

    thresholds: tuple[float, ...] = (4.0, 6.0, 10.0)
    sided: Literal["two", "one"] = "two"

    name = "outliers"
    about = "Share of features that ever pass a threshold."

    def __post_init__(self) -> None:
        if not isinstance(self.thresholds, tuple) or not self.thresholds or not all(0 < t < inf for t in self.thresholds):
            raise InputError(f"thresholds are above 0, for example (4.0, 6.0), not {self.thresholds!r}.")
        if self.sided not in ("two", "one"):
            raise InputError(f'sided is "two" or "one", not {self.sided!r}.')

    def empty(self, width: int, device: Device) -> State:
        return no_extremes(width, device)

    def of(self, piece: Piece) -> State:
        return extremes(piece)

    def joined(self, one: State, other: State) -> State:
        return joined_extremes(one, other)

    def numbers(self, state: State) -> dict[str, Tensor]:
        reached = state["highest"] if self.sided == "one" else torch.maximum(state["highest"], -state["lowest"])
        thresholds = reached.new_tensor(self.thresholds)
        share = (reached > thresholds[:, None]).double().mean(1)
        highest, lowest = (seen_only(state, state[name]) for name in ("highest", "lowest"))
        return {"thresholds": thresholds, "share": seen_only(state, share), "highest": highest, "lowest": lowest}


MEASURE = Outliers
