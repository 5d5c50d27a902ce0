"""Massive activations: few, very large, and at the same places whatever the text."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.core import InputError

from ._bins import bin_count, bin_edges, bin_of, counted_bins, ranked
from ._measure import Device, Measure
from ._pieces import Piece
from ._state import State, below, inside, tokens_of
from ._tops import filled, joined_tops, largest, no_tops, ranks

_ENTRIES = {"size": torch.float64, "value": torch.float64, "id": torch.int64, "dimension": torch.int64}
_BITS = 7


@dataclass(frozen=True)
class Massive(Measure):
    """Values above a magnitude that are also many times the median magnitude at the point, with the k largest as exemplars.

    massive(x_i) = |x_i| >= cut, cut = max(magnitude, ratio * median |x|), the median over all features of all tokens.

    `massive` counts them, `massive_tokens` the tokens that have one; `massive_dimensions` [width] is 1 for features that ever had one.
    Exemplars are the k largest values of all, massive or not, falling by magnitude, ties by id and then dimension: `value`, `id` (-1
    where tokens had none), `dimension`, `times_median`. The `median` and the two counts come from bins of magnitudes, and `cut` is the
    edge of one: all are within a share 2^-7 of what they would be exactly, and the same for every split.
    Source: Sun et al. 2024, arXiv 2402.17762, section 2, who take the median prompt by prompt. A token's own median will not do: it is
    large as well where a value is massive.

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
        count = torch.zeros(bin_count(_BITS), dtype=torch.int64, device=device)
        reached = torch.zeros(width, dtype=torch.float64, device=device)
        top = below("top", no_tops(self.k, (), _ENTRIES, device))
        return {"values": count, "tokens": count.clone(), "reached": reached, **top}

    def of(self, piece: Piece) -> State:
        values, tokens = bin_of(piece.magnitude, _BITS), bin_of(piece.magnitude.amax(1), _BITS)
        counts = [counted_bins(bins, piece.counted, bin_count(_BITS)) for bins in (values, tokens)]
        reached = piece.magnitude.amax(0)
        return {"values": counts[0], "tokens": counts[1], "reached": reached, **below("top", self._largest(piece))}

    def _largest(self, piece: Piece) -> State:
        width = piece.x.shape[1]
        size = torch.where(piece.counted[:, None], piece.magnitude, -torch.inf).flatten()
        order = (ranks(piece.ids)[:, None] * width + torch.arange(width, device=size.device)).flatten()
        at = largest(size, order, self.k)
        return {"size": size[at], "value": piece.x.flatten()[at], "id": piece.ids[at // width], "dimension": at % width}

    def joined(self, one: State, other: State) -> State:
        sums = {name: one[name] + other[name] for name in ("values", "tokens")}
        top = joined_tops(inside(one, "top"), inside(other, "top"), ("id", "dimension"))
        return {**sums, "reached": torch.maximum(one["reached"], other["reached"]), **below("top", top)}

    def numbers(self, state: State) -> dict[str, Tensor]:
        edges, values = bin_edges(_BITS, state["values"].device), state["values"].double()
        middle = (values.sum() - 1) / 2
        median = torch.where(middle >= 0, ranked(middle, values, edges), torch.nan)
        at = bin_of((self.ratio * median.nan_to_num()).clamp_min(self.magnitude), _BITS)
        top = filled(inside(state, "top"))
        found = {
            "massive": values[at:].sum(),
            "massive_tokens": state["tokens"][at:].sum().double(),
            "massive_dimensions": (state["reached"] >= edges[at]).double(),
            "median": median,
            "cut": edges[at],
        }
        found = {name: torch.where(tokens_of(state) > 0, value, torch.nan) for name, value in found.items()}
        exemplars = {name: top[name] for name in ("value", "id", "dimension")}
        return {**found, **exemplars, "times_median": top["size"] / torch.where(median > 0, median, torch.nan)}


MEASURE = Massive
