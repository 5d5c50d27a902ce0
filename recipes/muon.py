"""What both kinds of training share: the orthogonal update of Jordan's Muon (2024)."""

from __future__ import annotations

import torch
from torch import Tensor


def orthogonal(matrix: Tensor, dtype: torch.dtype = torch.float32, steps: int = 5) -> Tensor:
    """The matrix with all singular values near one, by Newton-Schulz iteration.

    Parameters: `matrix`; `dtype`, of the iteration; `steps`.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T, dtype, steps).T
    x = (matrix / (matrix.norm() + 1e-7)).to(dtype)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (2.0315 * gram @ gram - 4.775 * gram) @ x
    return x.float()
