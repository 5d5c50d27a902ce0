"""Do two writers keep out of each other's way?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ._cosines import cosines, random_cosine, random_largest
from ._measure import Device, Pair
from ._pieces import Piece
from ._state import State


@dataclass(frozen=True)
class WritesCoherence(Pair):
    """Cosines between two writes at the same token, against those of random directions.

    `mean` of the cosines, `size` of their absolute values, `root` their root mean square, `largest` absolute one; `random_size`,
    `random_root` = 1 / sqrt(d) and `random_largest` (about) are those of as many pairs of random directions. Writers that share no
    direction have 0. `zero` counts tokens at which a write has no length. For a set of vectors, such as those of weights, there is
    `coherence_of`.
    Source: Elhage et al. 2022, arXiv 2209.10652 (superposition).
    """

    name = "coherence"
    about = "Cosines between two writes at the same token, against random directions."
    sites = ("all",)

    def empty(self, width_x: int, width_y: int, device: Device) -> State:
        self.of_one_width(width_x, width_y)
        zero = torch.zeros((), dtype=torch.float64, device=device)
        width = torch.tensor(width_x, device=device)
        return {**dict.fromkeys(("count", "zero", "sum", "sizes", "squares", "largest"), zero), "width": width}

    def of(self, one: Piece, other: Piece) -> State:
        cosine, weight = cosines(one, other)
        cosine = cosine * weight
        sums = {"count": weight.sum(), "zero": (one.weight - weight).sum(), "sum": cosine.sum(), "sizes": cosine.abs().sum()}
        return {**sums, "squares": cosine.square().sum(), "largest": cosine.abs().amax(), "width": one.width}

    def joined(self, one: State, other: State) -> State:
        sums = {name: one[name] + other[name] for name in ("count", "zero", "sum", "sizes", "squares")}
        return {**sums, **{name: torch.maximum(one[name], other[name]) for name in ("largest", "width")}}

    def numbers(self, state: State) -> dict[str, Tensor]:
        count = torch.where(state["count"] > 0, state["count"], torch.nan)
        width = int(state["width"])
        random = (random_cosine(width), width**-0.5, random_largest(width, float(state["count"])))
        return {
            "mean": state["sum"] / count,
            "size": state["sizes"] / count,
            "root": (state["squares"] / count).sqrt(),
            "largest": torch.where(state["count"] > 0, state["largest"], torch.nan),
            **{
                f"random_{name}": count.new_tensor(value) for name, value in zip(("size", "root", "largest"), random, strict=True)
            },
            "zero": state["zero"],
        }


MEASURE = WritesCoherence
