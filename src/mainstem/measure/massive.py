"""Massive activations: few, very large, and at the same places whatever the text."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.core import InputError

from ._measure import Device, Measure
from ._pieces import Piece
from ._state import State, below, inside, tokens_of
from ._tops import filled, joined_tops, largest, no_tops, ranks

_ENTRIES = {"size": torch.float64, "value": torch.float64, "ratio": torch.float64, "id": torch.int64, "dimension": torch.int64}


@dataclass(frozen=True)
class Massive(Measure):
    """Values above a magnitude that are also many times the median magnitude of their own token, with the k largest as exemplars.

    massive(x_i) = |x_i| > magnitude and |x_i| >= ratio * median_j |x_j|, the lower median where features are even in number.

    `massive` counts them, `massive_tokens` the tokens that have one, `massive_dimensions` [width] those of each feature. Exemplars are
    the k largest values of all, massive or not, falling by magnitude, ties by id and then dimension: `value`, `id` (-1 where tokens had
    none), `dimension`, `times_median`.
    Source: Sun et al. 2024, arXiv 2402.17762, section 2, who take the median of a whole prompt. Ours is the token's, so that how tokens
    are batched cannot change a count.

    Parameters: `magnitude`, above 0; `ratio`, from 1; `k`, exemplars that are kept, from 1.
    """

    magnitude: float = 100.0
    ratio: float = 1000.0
    k: int = 16

    name = "massive"
    about = "Massive activations, with the largest values and their tokens and dimensions."

    def __post_init__(self) -> None:
        if not (self.magnitude > 0 and self.ratio >= 1 and self.k >= 1):
            raise InputError(f"magnitude is above 0, ratio and k are from 1, not {self.choices!r}.")

    def empty(self, width: int, device: Device) -> State:
        zeros = torch.zeros(width, dtype=torch.int64, device=device)
        return {"massive": zeros, "with": zeros.new_zeros(()), **below("top", no_tops(self.k, (), _ENTRIES, device))}

    def of(self, piece: Piece) -> State:
        median = piece.magnitude.median(1, keepdim=True).values
        massive = (piece.magnitude > self.magnitude) & (piece.magnitude >= self.ratio * median)
        found = {"massive": massive.sum(0), "with": massive.any(1).sum()}
        return {**found, **below("top", self._largest(piece, median))}

    def _largest(self, piece: Piece, median: Tensor) -> State:
        width = piece.x.shape[1]
        size = torch.where(piece.counted[:, None], piece.magnitude, -torch.inf).flatten()
        order = (ranks(piece.ids)[:, None] * width + torch.arange(width, device=size.device)).flatten()
        at = largest(size, order, self.k)
        token, size, value = at // width, size[at], piece.x.flatten()[at]
        ratio = value.abs() / median[token, 0]
        return {"size": size, "value": value, "ratio": ratio, "id": piece.ids[token], "dimension": at % width}

    def joined(self, one: State, other: State) -> State:
        top = joined_tops(inside(one, "top"), inside(other, "top"), ("id", "dimension"))
        return {**{name: one[name] + other[name] for name in ("massive", "with")}, **below("top", top)}

    def numbers(self, state: State) -> dict[str, Tensor]:
        top = filled(inside(state, "top"))
        massive = state["massive"].double()
        counts = {"massive": massive.sum(), "massive_tokens": state["with"].double(), "massive_dimensions": massive}
        found = {"value": top["value"], "times_median": top["ratio"], "id": top["id"], "dimension": top["dimension"]}
        return {**{name: torch.where(tokens_of(state) > 0, value, torch.nan) for name, value in counts.items()}, **found}


MEASURE = Massive
