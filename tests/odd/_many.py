"""More streams than one: halves that read each other, towers, parallel copies, sums beside the stream."""

import torch
from torch import Tensor, nn

from ._registry import W, branches, linears, note, odd, sequence


@odd(3, 3, bypass=True)
class Reversible(nn.Module):
    """y1 = x1 + f(x2), y2 = x2 + g(y1): two half streams, each the other's reader."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(W, 2 * W), nn.Linear(2 * W, 3)
        self.fs, self.gs = branches(), branches()

    def forward(self, x: Tensor) -> Tensor:
        x = note(note(self.stem(x), 0), 1)
        a, b = x.chunk(2, -1)
        for f, g in zip(self.fs, self.gs, strict=True):
            a = note(a + f(b), 0)
            b = note(b + g(a), 1)
        return self.head(torch.cat([a, b], -1))


@odd(2, 2, bypass=True)
class Crossing(nn.Module):
    """Two streams of different width cross: each block reads both and writes to both."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, W), nn.Linear(3, 6)
        self.to_left, self.to_right = linears(2, W + 6, W), linears(2, W + 6, 6)
        self.head, self.other = nn.Linear(W, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = note(self.left(x[:, :5]), 0), note(self.right(x[:, 5:]), 1)
        for f, g in zip(self.to_left, self.to_right, strict=True):
            both = torch.tanh(torch.cat([a, b], -1))
            a, b = note(a + f(both), 0), note(b + g(both), 1)
        return self.head(a) * self.other(b)


@odd(2, 2, bypass=True)
class TwoTowers(nn.Module):
    """Two streams that never meet before their ends are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.fs, self.gs = nn.Linear(5, W), nn.Linear(3, W), branches(2), branches(2)
        self.head = nn.Linear(W, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = note(self.left(x[:, :5]), 0), note(self.right(x[:, 5:]), 1)
        for f in self.fs:
            a = note(a + f(a), 0)
        for g in self.gs:
            b = note(b + g(b), 1)
        return self.head(a) * self.head(b)


@odd(3)
class ParallelCopies(nn.Module):
    """Two copies of the stream, mixed by a small learned matrix; a block reads one mixture and writes to all."""

    def __init__(self) -> None:
        super().__init__()
        self.fs, self.head = branches(), nn.Linear(W, 3)
        self.mix, self.read, self.write = (nn.Parameter(torch.randn(3, *s)) for s in ((2, 2), (2,), (2,)))

    def forward(self, x: Tensor) -> Tensor:
        x = note(torch.stack([x, 0.5 * x], 1))
        for f, mix, read, write in zip(self.fs, self.mix, self.read, self.write, strict=True):
            made = f(torch.einsum("n,bnd->bd", read, x))
            x = note(torch.einsum("nm,bmd->bnd", mix, x) + write[:, None] * made[:, None])
        return self.head(x.sum(1))


AROUND = ("stem", "ins.0", "gates.0", "skips.0", "outs.0", "ins.1", "gates.1", "skips.1")


@odd(2, inputs=sequence, bypass=True, around=AROUND)
class SkipSum(nn.Module):
    """As WaveNet: x + out(h) goes on, skip(h) of every block is added up beside, and only that sum is read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(W, W), nn.Linear(W, 3)
        self.ins, self.gates, self.outs, self.skips = linears(), linears(), linears(), linears()

    def forward(self, x: Tensor) -> Tensor:
        x, total = note(self.stem(x)), 0
        for i in range(3):
            h = torch.tanh(self.ins[i](x)) * torch.sigmoid(self.gates[i](x))
            total = total + self.skips[i](h)
            x = note(x + self.outs[i](h)) if i < 2 else x
        return self.head(torch.relu(total))


@odd(2, bypass=True, around=("trunks.0", "fores.0", "backs.0", "trunks.1", "fores.1"))
class DoublyResidual(nn.Module):
    """As N-BEATS: what a block explains is taken from the stream, what it foresees is added up beside."""

    def __init__(self) -> None:
        super().__init__()
        self.trunks, self.backs, self.fores = linears(), linears(2), linears(out=3)

    def forward(self, x: Tensor) -> Tensor:
        note(x)
        total = torch.zeros(len(x), 3)
        for i in range(3):
            h = torch.relu(self.trunks[i](x))
            total = total + self.fores[i](h)
            x = note(x - self.backs[i](h)) if i < 2 else x
        return total
