"""Principal directions of rows: along which they differ most."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError


@dataclass(frozen=True, eq=False)
class Principal:
    """Directions along which rows differ, those that differ most first.

    Parameters: `mean`, of the rows; `directions`, each of unit length; `shares`, of the variance that each holds, of the standardised
    rows where they were standardised; `count`, how many rows there were.
    """

    mean: Float[Tensor, " width"]
    directions: Float[Tensor, "direction width"]
    shares: Float[Tensor, " direction"]
    count: int


def principal(rows: Float[Tensor, "row width"], k: int = 30, standardised: bool = False) -> Principal:
    """The leading principal directions, in float64.

    x - mean = sum_i s_i u_i, the u_i the right singular vectors. Standardised, every coordinate is first divided by its own deviation
    sigma, and u_i reads the stream along u_i / sigma, here brought to unit length: these are no longer orthogonal. Of the two signs, the one
    by which the largest coordinate is positive.

    Parameters: `rows`; `k`, the most directions, fewer where the rows span fewer; `standardised`. Raises `InputError` for fewer than two
    rows, rows that are all the same or not finite.
    """
    wide = rows.double()
    if len(wide) < 2 or not bool(wide.isfinite().all()):
        raise InputError(f"principal directions need two rows of finite numbers or more: these are {len(wide)}.")
    mean = wide.mean(0)
    centred = wide - mean
    noise = torch.finfo(torch.float64).eps * max(wide.shape)
    deviation = centred.square().mean(0).sqrt()
    still = deviation <= noise * mean.abs()  # a coordinate that never changes is left alone
    scale = torch.where(still, 1.0, deviation) if standardised else torch.ones_like(mean)
    _, sizes, found = torch.linalg.svd(centred.masked_fill(still, 0.0) / scale, full_matrices=False)
    held = sizes > noise * sizes.amax()
    if not bool(held.any()):
        raise InputError("all rows are the same: they have no principal direction.")
    shares = sizes.square() / sizes.square().sum()
    made = signed(torch.nn.functional.normalize(found[held][:k] / scale, dim=1))
    return Principal(mean, made, shares[held][:k], len(wide))


def signed(rows: Float[Tensor, "row width"]) -> Float[Tensor, "row width"]:
    """Each row with the sign by which its largest coordinate is positive. Parameters: `rows`."""
    return rows * rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()
