"""How fast tokens grow, against what the writes allow."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.core import InputError

from ._measure import Device, Pair
from ._moments import joined, mean_of, moments, no_moments, standard_error_of
from ._pieces import Piece
from ._state import State, below, inside


@dataclass(frozen=True)
class Growth(Pair):
    """Growth of a token over the writes that follow a point, where nothing but they lies between.

    g = |x + sum_k w_k| / |x|, and g - 1 <= sum_k |w_k| / |x| by the triangle inequality; |1 - g| keeps to it as well.

    The second site is the writes side by side, [token, writes * width]: attention's and the MLP's for a block. `growth` and `bound`
    are means over tokens with `standard_error` of the growth; `slack`, the least of bound - |g - 1| over tokens, is below 0 by no
    more than rounding; `used`, mean growth less 1 over the mean bound, is 1 where all writes point along the token. `zero` counts
    tokens of no length, which have no growth.
    """

    name = "growth"
    about = "Growth of a token's norm over a block, against the sum of the norms of its writes."
    sites = ("writes",)

    def empty(self, width_x: int, width_y: int, device: Device) -> State:
        if width_x < 1 or width_y < width_x or width_y % width_x:
            raise InputError(f"growth takes writes side by side, some times {width_x} features, not {width_y}.")
        zero = torch.zeros((), dtype=torch.float64, device=device)
        both = {**below("growth", no_moments((), device)), **below("bound", no_moments((), device))}
        return {**both, "zero": zero, "slack": zero + torch.inf}

    def of(self, one: Piece, other: Piece) -> State:
        writes = other.x.unflatten(1, (-1, one.x.shape[1]))
        long = one.norm > 0
        before, weight = torch.where(long, one.norm, 1.0), one.weight * long
        growth = torch.linalg.vector_norm(one.x + writes.sum(1), dim=1) / before
        bound = torch.linalg.vector_norm(writes, dim=2).sum(1) / before
        slack = torch.where(weight > 0, bound - (growth - 1).abs(), torch.inf).amin()
        both = {**below("growth", moments(growth, weight)), **below("bound", moments(bound, weight))}
        return {**both, "zero": (one.weight - weight).sum(), "slack": slack}

    def joined(self, one: State, other: State) -> State:
        each = (below(name, joined(inside(one, name), inside(other, name))) for name in ("growth", "bound"))
        both = {key: value for part in each for key, value in part.items()}
        return {**both, "zero": one["zero"] + other["zero"], "slack": torch.minimum(one["slack"], other["slack"])}

    def numbers(self, state: State) -> dict[str, Tensor]:
        growth, bound = inside(state, "growth"), inside(state, "bound")
        means = {"growth": mean_of(growth), "standard_error": standard_error_of(growth), "bound": mean_of(bound)}
        slack = torch.where(growth["count"] > 0, state["slack"], torch.nan)
        used = (means["growth"] - 1) / torch.where(means["bound"] > 0, means["bound"], torch.nan)
        return {**means, "slack": slack, "used": used, "zero": state["zero"]}


MEASURE = Growth
