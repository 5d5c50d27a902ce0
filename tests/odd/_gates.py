"""Gates and factors: what the stream or the write is multiplied by before they meet."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._registry import Residual, W, branches, linears, note, odd, scalars


@odd(3)
class FeatureGated(Residual):
    """A table whose features are gated at the door, and whose branches are gated again: x + down(relu(up x) * gate x)."""

    def __init__(self) -> None:
        super().__init__()
        self.door, self.gates = nn.Linear(W, W), linears()

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * torch.sigmoid(self.door(x)))

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        norm, up, _, down = f
        h = norm(x)
        return x + down(F.relu(up(h)) * F.pad(torch.sigmoid(self.gates[i](h)), (0, 4), value=0.5))


@odd(3)
class GatedResidual(Residual):
    """x + g(x) f(x), a gate made of the stream behind the last linear operation."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = linears()

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        return x + torch.sigmoid(self.gates[i](x)) * f(x)


@odd(3)
class Highway(Residual):
    """(1 - g(x)) x + g(x) f(x): the gate closes the stream as it opens the write."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = linears()

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        g = torch.sigmoid(self.gates[i](x))
        return (1 - g) * x + g * f(x)


@odd(3)
class ScalarHighway(Residual):
    """(1 - g) x + g f(x) with one learned g a block."""

    def __init__(self) -> None:
        super().__init__()
        self.g = scalars(-1.0, 0.2, 0.7)

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        g = torch.sigmoid(self.g[i])
        return (1 - g) * x + g * f(x)


@odd(3)
class Lerp(Residual):
    """x + 0.3 (f(x) - x) in one call."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        return torch.lerp(x, f(x), 0.3)


@odd(3)
class GatedLerp(Residual):
    """x + g(x) (f(x) - x) in one call, the gate as its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = linears()

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        return x.lerp(f(x), torch.sigmoid(self.gates[i](x)))


@odd(3)
class StochasticDepth(Residual):
    """Branches dropped by chance in training, and scaled by how likely they survive otherwise."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        survival = 1.0 - 0.2 * i
        if self.training:
            return x + f(x) * torch.bernoulli(torch.full((len(x), 1), survival))
        return x + survival * f(x)


@odd(3)
class ReZero(Residual):
    """x + a f(x) with a learned scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.a = scalars(0.3, -0.8, 1.7)

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        return x + self.a[i] * f(x)


@odd(3)
class LayerScale(Residual):
    """x + gamma * f(x) with a learned vector."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.randn(3, W))

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        return x + f(x).mul(self.gamma[i])


@odd(3, bypass=True)
class EntryMixedIn(Residual):
    """a x + b x0 + f(x) with learned a and b."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = scalars(0.9, 1.1, 0.8), scalars(0.2, -0.3, 0.4)

    def forward(self, x: Tensor) -> Tensor:
        first = x = note(self.stem(x))
        for i, f in enumerate(self.fs):
            x = note(self.a[i] * x + self.b[i] * first + f(x))
        return self.head(x)


@odd(3)
class PostNormGlu(nn.Module):
    """norm(x + glu(down(elu(up x)))): the gated residual networks of time series."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down, self.head = linears(), linears(out=2 * W), nn.Linear(W, 3)
        self.norms = nn.ModuleList(nn.LayerNorm(W) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        note(x)
        for up, down, norm in zip(self.up, self.down, self.norms, strict=True):
            x = norm(note(x + F.glu(down(F.elu(up(x))))))
        return self.head(x)


@odd(2)
class SoftMixture(Residual):
    """x + all experts at once, weighed by a softmax and added up by einsum."""

    def __init__(self) -> None:
        super().__init__(2)
        self.routers = linears(2, out=3)
        self.experts = nn.ModuleList(branches(3) for _ in range(2))

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        each = torch.stack([expert(x) for expert in self.experts[i]], 1)
        return x + torch.einsum("be,bed->bd", self.routers[i](x).softmax(-1), each)


@odd(3, bypass=True)
class Film(nn.Module):
    """Branches scaled and shifted by a condition that is an input of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.side, self.fs, self.head = nn.Linear(5, W), nn.Linear(3, 6 * W), branches(), nn.Linear(W, 3)

    def forward(self, x: Tensor) -> Tensor:
        x, c = x.split([5, 3], 1)
        *made, x = *self.side(c).chunk(6, -1), note(self.stem(x))
        for i, f in enumerate(self.fs):
            x = note(x + (f(x) * (1 + made[2 * i]) + made[2 * i + 1]))
        return self.head(x)


@odd(2, bypass=True)
class HyperNetwork(nn.Module):
    """A side input makes the matrix that a branch's result is multiplied by."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.makers, self.fs, self.head = nn.Linear(5, W), linears(2, 3, W * W), linears(2), nn.Linear(W, 3)

    def forward(self, x: Tensor) -> Tensor:
        x, c = x.split([5, 3], 1)
        x = note(self.stem(x))
        for maker, f in zip(self.makers, self.fs, strict=True):
            matrix = maker(c).view(-1, W, W)
            x = note(x + torch.bmm(matrix, f(torch.tanh(x)).unsqueeze(-1)).squeeze(-1))
        return self.head(x)


@odd(3)
class WeightNormed(Residual):
    """Branches whose weight is made anew at each call from a direction and a length."""

    def __init__(self) -> None:
        super().__init__()
        for f in self.fs:
            f[3] = nn.utils.parametrizations.weight_norm(f[3])


@odd(3)
class MixedPrecision(Residual):
    """Branches in bfloat16 inside a float32 stream, cast on the way in and out."""

    def __init__(self) -> None:
        super().__init__()
        for f in self.fs:
            f[1].to(torch.bfloat16), f[3].to(torch.bfloat16)

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        norm, up, act, down = f
        return x + down(act(up(norm(x).to(torch.bfloat16)))).float()
