"""What a module gives back, and numbers that are not real."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mainstem.core import NoStreamError

from ._registry import Residual, W, note, odd, refused


@odd(3)
class Several(Residual):
    """Returns a tuple of a dictionary and nothing."""

    def forward(self, x: Tensor) -> tuple:
        return {"logits": super().forward(x), "loss": None}, None


@odd(3)
class Nested(Residual):
    """The output is made in a module inside a module."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Sequential(nn.Identity(), nn.LayerNorm(W)), nn.Linear(W, 3))


class Swish(torch.autograd.Function):
    """An operation with a derivative of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return g * s * (1 + x * (1 - s))


@odd(3)
class OwnFunction(Residual):
    """Branches with an autograd function that somebody wrote."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        norm, up, _, down = f
        return x + down(Swish.apply(up(norm(x))))


@odd(3)
class Checkpointed(Residual):
    """Branches that would be run again for their gradient."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        return x + checkpoint(f, x, use_reentrant=False)


@refused(NoStreamError, "complex")
class Complex(nn.Module):
    """A stream of complex numbers, read by its size."""

    def __init__(self) -> None:
        super().__init__()
        self.ws = nn.ParameterList(torch.randn(W, W, dtype=torch.complex64) for _ in range(3))
        self.head = nn.Linear(W, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = note(x.to(torch.complex64))
        for w in self.ws:
            x = note(x + (x * x.abs()) @ w)
        return self.head(x.abs())
