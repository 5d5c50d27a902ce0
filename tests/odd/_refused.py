"""Modules to be refused, each in words that say why."""

import torch
from torch import Tensor, nn

from mainstem.core import InputError, NoStreamError, NotClosedError

from ._registry import Residual, W, branches, image, refused


@refused(NotClosedError, "the additions differ between two inputs: control flow depends on data")
class EarlyExit(Residual):
    """Stops after one block where the first number is the one of the test's input."""

    def forward(self, x: Tensor) -> Tensor:
        first = bool((x.mean() - 0.3).abs() > 1e3) or x[0, 0].item() == table_first()
        x = self.stem(x)
        for f in self.fs[: 1 if first else 3]:
            x = x + f(x)
        return self.head(x)


def table_first() -> float:
    """The first number of the registry's table."""
    from ._registry import table

    return float(table()[0][0, 0])


@refused(InputError, "the module is compiled, which hides its operations: map the plain module, module._orig_mod")
def Compiled() -> nn.Module:
    """Under torch.compile."""
    return torch.compile(Residual(), backend="eager")


@refused(InputError, "fs.1 is compiled")
def CompiledInside() -> nn.Module:
    """A branch of it under torch.compile."""
    made = Residual()
    made.fs[1] = torch.compile(made.fs[1], backend="eager")
    return made


@refused(InputError, "scripted or traced by TorchScript")
def Traced() -> nn.Module:
    """Traced by TorchScript."""
    return torch.jit.trace(Residual().eval(), torch.randn(4, W))


@refused(InputError, "fs.0 is scripted or traced by TorchScript")
def ScriptedInside() -> nn.Module:
    """A branch of it scripted."""
    made = Residual()
    made.fs[0] = torch.jit.script(made.fs[0])
    return made


@refused(NoStreamError, "joins features by concatenation")
class PlainUNet(nn.Module):
    """A U-Net without residual blocks: it joins, it does not add."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(W, 6), nn.Linear(6, 4), nn.Linear(4, 2)
        self.d, self.e = nn.Linear(2 + 4, 6), nn.Linear(6 + 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = torch.relu(self.a(x))
        b = torch.relu(self.b(a))
        up = torch.relu(self.d(torch.cat([torch.relu(self.c(b)), b], -1)))
        return self.e(torch.cat([up, a], -1))


@refused(NoStreamError, "no addition has one term", inputs=image)
class Shuffle(nn.Module):
    """Half of the channels pass, half go through a branch, then all are shuffled: nothing is added."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.convs = nn.Conv2d(3, 8, 3, 1, 1), nn.ModuleList(nn.Conv2d(4, 4, 3, 1, 1) for _ in range(2))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for conv in self.convs:
            keep, go = x.chunk(2, 1)
            x = torch.stack([keep, torch.relu(conv(go))], 2).flatten(1, 2)
        return self.head(x.mean((2, 3)))


@refused(NoStreamError, "no addition has one term")
class Ensemble(nn.Module):
    """The sum of three networks that all read the input: no term is the others' ancestor."""

    def __init__(self) -> None:
        super().__init__()
        self.fs = branches()

    def forward(self, x: Tensor) -> Tensor:
        return sum(f(x) for f in self.fs)


@refused(NoStreamError, "no addition has one term")
class Maxout(nn.Module):
    """The larger of x and f(x): no addition either."""

    def __init__(self) -> None:
        super().__init__()
        self.fs, self.head = branches(), nn.Linear(W, 3)

    def forward(self, x: Tensor) -> Tensor:
        for f in self.fs:
            x = torch.maximum(x, f(x))
        return self.head(x)
