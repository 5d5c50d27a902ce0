"""Fixed bins of magnitudes: a power of two and the first bits of a float32's mantissa, so a bin is a share 2^-bits of its edge wide."""

import torch
from torch import Tensor

_MANTISSA, _INFINITY = 23, 0x7F800000  # of float32


def bin_count(bits: int) -> int:
    """How many there are. Parameters: `bits`, of the mantissa."""
    return _INFINITY >> (_MANTISSA - bits)


def bin_of(magnitude: Tensor, bits: int) -> Tensor:
    """Which bin each magnitude is in; those beyond float32's range are in the last. Parameters: `magnitude`; `bits`."""
    return (magnitude.float().view(torch.int32) >> (_MANTISSA - bits)).clamp_max(bin_count(bits) - 1).long()


def bin_edges(bits: int, device: torch.device) -> Tensor:
    """The lower edge of each bin and 2^128 after them. Parameters: `bits`; `device`."""
    steps = torch.arange(bin_count(bits), dtype=torch.int32, device=device) << (_MANTISSA - bits)
    return torch.cat([steps.view(torch.float32).double(), torch.full((1,), 2.0**128, dtype=torch.float64, device=device)])


def counted_bins(bins: Tensor, counted: Tensor, size: int) -> Tensor:
    """How many are in each. Parameters: `bins`, [token, ...]; `counted`, which tokens count; `size`, of the result."""
    one = counted.long().view(-1, *[1] * (bins.ndim - 1)).expand_as(bins).flatten()
    return one.new_zeros(size).scatter_add(0, bins.flatten(), one)


def ranked(rank: Tensor, count: Tensor, edges: Tensor) -> Tensor:
    """Values of ranks from 0, as if those of a bin stood in equal steps inside it. Parameters: `rank`; `count`; `edges`."""
    upto = count.cumsum(0)
    found = torch.searchsorted(upto, rank, right=True).clamp_max(len(count) - 1)
    inside = (rank - (upto[found] - count[found]) + 0.5) / count[found]
    return edges[found] + inside * (edges[found + 1] - edges[found])
