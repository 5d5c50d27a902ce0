"""Norms and fixed rotations: what a block reads its stream through."""

import torch
from torch import Tensor, nn

from mainstem.measure import directions


class RMSNorm(nn.Module):
    """x g / sqrt(mean x^2 + eps), g one number for each feature or one for all.

    Parameters: `width`; `gains`, how many: `width` or 1; `epsilon`, inside the root; `axis`, of the features.
    """

    def __init__(self, width: int, gains: int, epsilon: float, axis: int = -1) -> None:
        super().__init__()
        self.epsilon, self.axis = epsilon, axis
        self.weight = nn.Parameter(torch.ones(gains))

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.square().mean(self.axis, keepdim=True) + self.epsilon)
        behind = x.ndim - 1 - self.axis % x.ndim
        return x * scale * self.weight.view(-1, *(1 for _ in range(behind)))


def norm(kind: str, width: int, epsilon: float) -> nn.Module:
    """A norm by its name in a configuration. Parameters: `kind`; `width`; `epsilon`."""
    if kind == "layer":
        return nn.LayerNorm(width, eps=epsilon)
    return RMSNorm(width, width if kind == "rms" else 1, epsilon)


class Turn(nn.Module):
    """A fixed orthogonal map, stored and never trained. Parameters: `matrix`."""

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix.clone())

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.matrix)


def turns(basis: str, width: int, seed: int, number: int) -> tuple[nn.Module, nn.Module]:
    """What a block's part reads through and what it writes through.

    Parameters: `basis`, as of `VariantConfig`; `width`; `seed`; `number`, of the part, from 0.
    """
    if basis == "none":
        return nn.Identity(), nn.Identity()
    if basis == "shared":
        one = _rotation(width, seed)
        return Turn(one), Turn(one.T)
    return Turn(_rotation(width, seed + 2 * number + 1)), Turn(_rotation(width, seed + 2 * number + 2))


def _rotation(width: int, seed: int) -> Tensor:
    return directions(width, width, seed, torch.device("cpu"), torch.float32)
