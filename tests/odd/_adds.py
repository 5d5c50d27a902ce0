"""Ways to add: operators, calls that add and multiply at once, sums of lists, slices, indices, in place."""

import torch
from torch import Tensor, nn

from ._registry import Residual, W, branches, linears, note, odd, sequence


@odd(3)
class Alpha(Residual):
    """torch.add, torch.sub and the reversed difference with a factor for what is added."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        call, first, second, alpha = ((torch.add, x, f(x), 0.5), (torch.sub, x, f(x), 2), (torch.rsub, f(x), x, 1.5))[i]
        return call(first, second, alpha=alpha)


@odd(3)
class DeadEnds(Residual):
    """Additions that look like the stream's, of which nothing is read."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        aside = x + f(x) * 2
        aside = aside + f(aside)
        return x + f(x)


@odd(3)
class InPlace(Residual):
    """x += f(x) on one storage from end to end."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        x += f(x)
        return x


@odd(3)
class Addcmul(Residual):
    """x + 0.5 g(x) f(x) in one call."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = linears()

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        return torch.addcmul(x, torch.sigmoid(self.gates[i](x)), f(x), value=0.5)


@odd(3)
class Addcdiv(Residual):
    """x + f(x) / s in one call."""

    def __init__(self) -> None:
        super().__init__()
        self.s = nn.Parameter(1 + torch.rand(3, W))

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        return x.addcdiv(f(x), self.s[i])


@odd(3)
class Addmm(Residual):
    """x + h W: the addition is inside the call that multiplies."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        norm, up, act, down = f
        return torch.addmm(x, act(up(norm(x))), down.weight.T)


@odd(3, inputs=sequence)
class Baddbmm(Residual):
    """0.5 x + 2 h W for batches, in one call."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        norm, up, act, down = f
        return torch.baddbmm(x, act(up(norm(x))), down.weight.T.expand(len(x), -1, -1), beta=0.5, alpha=2)


@odd(2)
class SumOfList(Residual):
    """sum([x, f(x), g(x)])."""

    def __init__(self) -> None:
        super().__init__(2)
        self.gs = branches(2)

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        return sum([x, f(x), self.gs[i](x)])


@odd(3)
class StackSum(Residual):
    """torch.stack([x, f(x)]).sum(0)."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        return torch.stack([x, f(x)]).sum(0)


@odd(3)
class Einsum(Residual):
    """Every product is an einsum, with the weights first."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        h = torch.relu(torch.einsum("fd,bd->bf", f[1].weight, x) + f[1].bias)
        return x + torch.einsum("df,bf->bd", f[3].weight, h)


@odd(4)
class SharedWithSteps(nn.Module):
    """One block called over and over, told how often by an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.steps, self.head = branches(1)[0], nn.Embedding(4, W), nn.Linear(W, 3)

    def forward(self, x: Tensor) -> Tensor:
        note(x)
        for i in range(4):
            x = note(x + self.f(x + self.steps(torch.tensor(i))))
        return self.head(x)


@odd(3)
class SliceAdd(Residual):
    """x[:, :5] += f(x): only some features are written to."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        x = x.clone()
        x[:, :5] += f(x)[:, :5]
        return x


EDGES = torch.tensor([[0, 1, 2, 3, 3, 1], [1, 2, 3, 0, 1, 0]])


@odd(3)
class Messages(Residual):
    """A graph's nodes: messages along the edges are added up in a tensor of zeros, and that to the stream."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        source, target = EDGES
        return x + torch.zeros_like(x).index_add(0, target, f(x[source]))


@odd(3)
class MessagesOntoStream(Residual):
    """Messages are added to the stream itself, row by row."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        source, target = EDGES
        return x.index_add(0, target, f(x[source]))


@odd(3)
class ScatteredOntoStream(Residual):
    """The same by scatter_add with an index for every number."""

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        source, target = EDGES
        return x.scatter_add(0, target[:, None].expand(-1, W), f(x[source]))


@odd(3, bypass=True)
class UnrolledDescent(nn.Module):
    """z - eta W^T (W z - y), y the input at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.ws, self.head = nn.Linear(W, W), linears(3), nn.Linear(W, 3)

    def forward(self, y: Tensor) -> Tensor:
        z = note(self.start(y))
        for w in self.ws:
            z = note(z - 0.1 * ((z @ w.weight.T - y) @ w.weight))
        return self.head(z)


@odd(2)
class RungeKutta(Residual):
    """Two steps of the classical Runge-Kutta method: additions inside a write are not the stream's."""

    def __init__(self) -> None:
        super().__init__(2)

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        k1 = f(x)
        k2 = f(x + 0.5 * k1)
        k3 = f(x + 0.5 * k2)
        k4 = f(x + k3)
        return x + (k1 + 2 * k2 + 2 * k3 + k4) / 6


@odd(2)
class MeanOfTwo(Residual):
    """x + (f(x) + g(x)) / 2: two linear maps behind one factor."""

    def __init__(self) -> None:
        super().__init__(2)
        self.gs = branches(2)

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        return x + (f(x) + self.gs[i](x)) / 2


@odd(2)
class JoinedWrite(Residual):
    """x + cat([f(x), g(x)]): each writes half of the features."""

    def __init__(self) -> None:
        super().__init__(2)
        self.gs = linears(2, out=3)

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        return x + torch.cat([f(x)[:, :5], torch.tanh(x) @ self.gs[i].weight.T], -1)


@odd(4, inputs=sequence)
class DeepSet(Residual):
    """x + f(x), then + g(mean x) for every element: a write that is the same at all positions."""

    def __init__(self) -> None:
        super().__init__(2)
        self.gs = branches(2)

    def forward(self, x: Tensor) -> Tensor:
        x = note(self.stem(x))
        for f, g in zip(self.fs, self.gs, strict=True):
            x = note(x + f(x))
            x = note(x + g(x.mean(1, keepdim=True)))
        return self.head(x)
