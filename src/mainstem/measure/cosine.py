"""Which way the stream turns: cosines between two points."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ._cosines import cosines
from ._measure import Device, Pair
from ._moments import joined, mean_of, moments, no_moments, standard_error_of
from ._pieces import Piece
from ._state import State


@dataclass(frozen=True)
class Cosine(Pair):
    """cos(x, y) = x . y / (|x| |y|) of every token at two points of one width: the next one, or the last.

    `cosine` is the mean, with `standard_error` as if tokens were independent; `least` and `most` over tokens; `zero`, tokens with a
    side of no length, which have none and are left out.
    Source: Jastrzebski et al. 2018, arXiv 1710.04773 (iterative refinement).
    """

    name = "cosine"
    about = "Cosine between two points of the stream at the same token."
    sites = ("next", "last")

    def empty(self, width_x: int, width_y: int, device: Device) -> State:
        self.of_one_width(width_x, width_y)
        zero = torch.zeros((), dtype=torch.float64, device=device)
        return no_moments((), device) | {"zero": zero, "least": zero + torch.inf, "most": zero - torch.inf}

    def of(self, one: Piece, other: Piece) -> State:
        cosine, weight = cosines(one, other)
        zero = (one.weight - weight).sum()
        least, most = (torch.where(weight > 0, cosine, fill) for fill in (torch.inf, -torch.inf))
        return moments(cosine, weight) | {"zero": zero, "least": least.amin(), "most": most.amax()}

    def joined(self, one: State, other: State) -> State:
        least, most = torch.minimum(one["least"], other["least"]), torch.maximum(one["most"], other["most"])
        return joined(one, other) | {"zero": one["zero"] + other["zero"], "least": least, "most": most}

    def numbers(self, state: State) -> dict[str, Tensor]:
        ends = {name: torch.where(state["count"] > 0, state[name], torch.nan) for name in ("least", "most")}
        return {"cosine": mean_of(state), "standard_error": standard_error_of(state), **ends, "zero": state["zero"]}


MEASURE = Cosine
