"""What both kinds of training share: Jordan's Muon (2024), whose updates are momenta made orthogonal."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Change = Callable[[Tensor, Tensor, float], object]  # of a weight in place, by its momentum and the learning rate


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


class Muon(torch.optim.Optimizer):
    """Nesterov's momentum, and what each kind of training makes of it.

    Parameters: `weights`; `change`, which puts the momentum into a weight; `lr`; `momentum`.
    """

    def __init__(self, weights: list[nn.Parameter], change: Change, lr: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})
        self.change = change

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
                mean.lerp_(weight.grad, 1 - group["momentum"])
                self.change(weight, weight.grad.lerp(mean, group["momentum"]), group["lr"])
