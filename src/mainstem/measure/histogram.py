"""How the values at a point are distributed, and their quantiles."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.core import InputError

from ._bins import bin_count, bin_edges, bin_of, counted_bins, ranked
from ._measure import Device, Measure
from ._pieces import Piece
from ._state import State


@dataclass(frozen=True)
class Histogram(Measure):
    """Counts of values in fixed bins that are finer near 0, and quantiles from them.

    A bin is a sign, a power of two and the first `bits` bits of a float32's mantissa, so it is a share 2^-bits of its lower edge wide,
    and every data set has the same bins. A quantile is interpolated in its bin: off by less than the bin is wide.

    `edges` [bins + 1] and `count` [bins] from the first bin that holds a value to the last; `quantile` at each of `at`; `least` and
    `most`, exact. Values beyond float32's range are in the outermost bins.

    Parameters: `bits`, 1 to 10; `at`, shares from 0 to 1.
    """

    bits: int = 5
    at: tuple[float, ...] = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)

    name = "histogram"
    about = "Distribution of all values at a point, with quantiles."

    def __post_init__(self) -> None:
        if not (1 <= self.bits <= 10 and self.at and all(0 <= share <= 1 for share in self.at)):
            raise InputError(f"bits are 1 to 10 and at holds shares from 0 to 1, not {self.choices!r}.")

    def empty(self, width: int, device: Device) -> State:
        infinite = torch.full((), torch.inf, dtype=torch.float64, device=device)
        count = torch.zeros(2 * bin_count(self.bits), dtype=torch.int64, device=device)
        return {"count": count, "least": infinite, "most": -infinite}

    def of(self, piece: Piece) -> State:
        size, half = bin_of(piece.magnitude, self.bits), bin_count(self.bits)
        bins = torch.where(piece.x < 0, half - 1 - size, half + size)
        count = counted_bins(bins, piece.counted, 2 * half)
        held = piece.counted[:, None]
        least, most = torch.where(held, piece.x, torch.inf).amin(), torch.where(held, piece.x, -torch.inf).amax()
        return {"count": count, "least": least, "most": most}

    def joined(self, one: State, other: State) -> State:
        least, most = torch.minimum(one["least"], other["least"]), torch.maximum(one["most"], other["most"])
        return {"count": one["count"] + other["count"], "least": least, "most": most}

    def numbers(self, state: State) -> dict[str, Tensor]:
        held = state["count"].nonzero()[:, 0]
        first, last = (int(held[0]), int(held[-1]) + 1) if len(held) else (0, 0)
        count, edges = state["count"][first:last].double(), self._edges(state["count"].device)[first : last + 1]
        least, most = (torch.where(state[name].isinf(), torch.nan, state[name]) for name in ("least", "most"))
        at = edges.new_tensor(self.at)
        quantile = _quantiles(count, edges, at, least, most) if len(held) else torch.full_like(at, torch.nan)
        found = {"edges": edges if len(held) else edges[:0], "count": count}
        return {**found, "at": at, "quantile": quantile, "least": least, "most": most}

    def _edges(self, device: torch.device) -> Tensor:
        edges = bin_edges(self.bits, device)
        return torch.cat([-edges.flip(0)[:-1], edges])


def _quantiles(count: Tensor, edges: Tensor, at: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """Between the values of the ranks around (n - 1) at, as numpy's "linear"; the first and the last rank are known exactly."""
    last = count.sum() - 1
    rank = at * last
    around = [(each, ranked(each, count, edges).clamp(least, most)) for each in (rank.floor(), rank.ceil())]
    low, high = (torch.where(each <= 0, least, torch.where(each >= last, most, value)) for each, value in around)
    return low + (rank - rank.floor()) * (high - low)


MEASURE = Histogram
