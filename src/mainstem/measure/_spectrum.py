"""Numbers of the eigenvalues of a covariance."""

import torch
from jaxtyping import Float
from torch import Tensor


def spectrum(covariance: Float[Tensor, "width width"]) -> Float[Tensor, " width"]:
    """Its eigenvalues, falling, none below 0. Parameters: `covariance`, symmetric; what is not finite is taken as 0."""
    return torch.linalg.eigvalsh(covariance.nan_to_num()).flip(0).clamp_min(0)


def effective_rank(eigenvalues: Float[Tensor, " width"]) -> Float[Tensor, ""]:
    """exp of the entropy of their shares, NaN where all are 0. Parameters: `eigenvalues`, none below 0."""
    share = eigenvalues / eigenvalues.sum()
    return torch.special.entr(share).sum().exp()


def participation_ratio(eigenvalues: Float[Tensor, " width"]) -> Float[Tensor, ""]:
    """(sum l)^2 / sum l^2, NaN where all are 0. Parameters: `eigenvalues`, none below 0."""
    share = eigenvalues / eigenvalues.sum()
    return 1 / share.square().sum()
