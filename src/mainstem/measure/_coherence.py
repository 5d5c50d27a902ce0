"""Coherence of a set of vectors: how far from orthogonal they are, against chance."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError

from ._cosines import random_cosine, random_largest

_BLOCK = 2**22  # cosines that are held at once


@dataclass(frozen=True)
class Coherence:
    """Cosines between the vectors of a set, over all pairs of different ones, and what random directions have.

    Parameters: `mean`, of the cosines themselves; `size`, of their absolute values; `root`, root mean square; `largest`, absolute;
    `random_size`, `random_root` (1 / sqrt(d)) and `random_largest` (about) of as many random directions; `vectors`, how many there
    are; `zero`, vectors of no length, which are left out.
    """

    mean: float
    size: float
    root: float
    largest: float
    random_size: float
    random_root: float
    random_largest: float
    vectors: int
    zero: int


@torch.no_grad()
def coherence_of(vectors: Float[Tensor, "vector width"]) -> Coherence:
    """Coherence of a set of vectors, block by block, in float64.

    Parameters: `vectors`, rows, at least two that are not zero, all finite. Raises `InputError` otherwise.
    """
    wide = vectors.double()
    norm = torch.linalg.vector_norm(wide, dim=1, keepdim=True)
    if not bool(norm.isfinite().all()):
        raise InputError("a vector holds NaN or Inf; leave it out: vectors[vectors.isfinite().all(1)].")
    units = (wide / torch.where(norm > 0, norm, 1.0))[norm[:, 0] > 0]
    count, width = units.shape
    if count < 2:
        raise InputError(f"coherence is of pairs: it takes at least two vectors that are not zero, not {count}.")
    sums, largest = _cosines_of_pairs(units)
    pairs = count * (count - 1)
    mean, size, square = (sums / pairs).tolist()
    random = (random_cosine(width), width**-0.5, random_largest(width, pairs / 2))
    return Coherence(mean, size, square**0.5, largest, *random, count, len(vectors) - count)


def _cosines_of_pairs(units: Tensor) -> tuple[Tensor, float]:
    sums, largest = units.new_zeros(3), units.new_zeros(())
    rows = max(1, _BLOCK // len(units))
    for start in range(0, len(units), rows):
        cosines = units[start : start + rows] @ units.mT
        cosines.diagonal(start).zero_()  # a vector and itself
        size = cosines.abs()
        sums += torch.stack([cosines.sum(), size.sum(), cosines.square().sum()])
        largest = torch.maximum(largest, size.amax())
    return sums, min(float(largest), 1.0)
