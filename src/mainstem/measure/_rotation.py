"""Random directions, the same ones for the same seed wherever they are made."""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor


@lru_cache(maxsize=8)
def directions(width: int, count: int, seed: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "width count"]:
    """Orthonormal directions, uniform over all such sets: a rotation where there are as many as features.

    Q of a Gaussian matrix's QR with the signs of R's diagonal put onto its columns; without them it is not uniform.
    Source: Mezzadri 2007, arXiv math-ph/0609050.

    Parameters: `width`; `count`, at most as many; `seed`; `device` and `dtype` of the result, which is made on the processor in
    float64.
    """
    source = torch.Generator().manual_seed(seed)
    gaussian = torch.randn(width, min(count, width), generator=source, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    return (q * r.diagonal().sign()).to(device, dtype)
