"""Cosines of two sites, token by token."""

from math import exp, lgamma, log, pi, sqrt

import torch
from torch import Tensor

from ._pieces import Piece


def cosines(one: Piece, other: Piece) -> tuple[Tensor, Tensor]:
    """Each token's cosine, and 1 where both sides have a length, else 0. Parameters: `one`; `other`, as wide."""
    each = [torch.linalg.vector_norm(piece.x, dim=1, keepdim=True) for piece in (one, other)]
    apart = (each[0] * each[1] > 0)[:, 0]
    # Divided before they are multiplied: lengths may be too small or too large for a product of four.
    units = [piece.x / torch.where(norm > 0, norm, 1.0) for piece, norm in zip((one, other), each, strict=True)]
    return torch.linalg.vecdot(*units).clamp(-1, 1), one.weight * apart


def random_cosine(width: int) -> float:
    """The mean size of the cosine of two random directions, Gamma(d/2) / (sqrt(pi) Gamma((d + 1)/2)), about sqrt(2 / (pi d)).

    Its root mean square is exactly 1 / sqrt(d). Parameters: `width`, d.
    """
    return sqrt(1 / pi) * exp(lgamma(width / 2) - lgamma((width + 1) / 2))


def random_largest(width: int, pairs: float) -> float:
    """About the largest size of that many cosines of random directions, sqrt(1 - pairs^(-2/d)), at most 1.

    Parameters: `width`, d; `pairs`, how many.
    """
    return sqrt(max(0.0, 1 - exp(-2 * log(max(pairs, 1.0)) / width)))
