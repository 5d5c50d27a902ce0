"""Directions and the subspaces they span."""

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError


def project(x: Float[Tensor, "*token width"], onto: Float[Tensor, " width"]) -> Float[Tensor, "*token width"]:
    """The part of vectors along one: (x . v / |v|^2) v. Parameters: `x`; `onto`, v, not zero."""
    if not bool(onto.any()):
        raise InputError("onto is a vector of zeros, which points nowhere.")
    return (x @ onto / onto.square().sum())[..., None] * onto


def span(vectors: Float[Tensor, "vector width"]) -> Float[Tensor, "width rank"]:
    """An orthonormal basis Q of what vectors span, so that Q Q^T projects onto it. Parameters: `vectors`, rows.

    Directions whose singular value is below eps * max(shape) of the largest are rounding and left out.
    """
    wide = vectors.double()
    _, sizes, directions = torch.linalg.svd(wide, full_matrices=False)
    least = torch.finfo(torch.float64).eps * max(wide.shape) * sizes.amax() if len(sizes) else 0.0
    return directions[sizes > least].mT


def leading(covariance: Float[Tensor, "width width"], rank: int | None, share: float) -> Float[Tensor, "width rank"]:
    """The leading eigenvectors of a covariance. Parameters: `covariance`; `rank`, how many, None for the fewest that hold `share`."""
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    if rank is None:
        held = values.cumsum(0) / values.sum()
        rank = int((held < share - 1e-12).sum()) + 1 if bool(values.any()) else 0
    return vectors[:, : min(rank, len(values))]


def captured(covariance: Float[Tensor, "width width"], basis: Float[Tensor, "width rank"]) -> Float[Tensor, ""]:
    """tr(Q^T C Q) / tr C, the share of the variance inside a subspace. Parameters: `covariance`, C; `basis`, Q, orthonormal."""
    total = covariance.trace()
    inside = ((covariance @ basis) * basis).sum()
    return inside / torch.where(total > 0, total, torch.nan)


def principal_angles(one: Float[Tensor, "width rank_x"], other: Float[Tensor, "width rank_y"]) -> Float[Tensor, " rank"]:
    """Angles between two subspaces in radians, rising; as many as the smaller has dimensions.

    The cosines are the singular values of Q_x^T Q_y, the sines those of what Q_x Q_x^T leaves of Q_y; each angle is taken from
    the one that is exact there. Source: Björck and Golub 1973; Knyazev and Argentati 2002.

    Parameters: `one`; `other`, orthonormal bases.
    """
    one, other = (one, other) if one.shape[1] >= other.shape[1] else (other, one)
    between = one.mT @ other
    cosines = torch.linalg.svdvals(between).clamp(0, 1)
    sines = torch.linalg.svdvals(other - one @ between).flip(0).clamp(0, 1)
    return torch.where(cosines.square() < 0.5, cosines.acos(), sines.asin())
