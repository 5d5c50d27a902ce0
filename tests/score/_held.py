"""Norms by hand that go on dividing by what they divided by first."""

from torch import Tensor, nn


class Held(nn.Module):
    """A norm that divides by what another norm divided by at its first call."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm, self.scale, self.centred = norm, None, isinstance(norm, nn.LayerNorm)

    def forward(self, x: Tensor) -> Tensor:
        v = x - x.mean(-1, keepdim=True) if self.centred else x
        if self.scale is None:
            eps = self.norm.eps if self.centred else self.norm.variance_epsilon
            self.scale = (v.square().mean(-1, keepdim=True) + eps).sqrt()
        y = v / self.scale * self.norm.weight
        return y + self.norm.bias if self.centred else y


def hold(module: nn.Module) -> None:
    """Puts such norms in the place of a module's own. Parameters: `module`."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if "norm" in type(child).__name__.lower():
                setattr(parent, name, Held(child))
