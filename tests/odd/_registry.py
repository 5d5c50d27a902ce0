"""Where odd modules are kept: each with what is true of it, and with the points of its streams noted as it runs.

What is true was worked out by hand from the definition: a stream is a chain x' = T(x) + sum of writes, T affine once its
data-dependent factors are frozen, every write computed from x by weights.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zoo import Builder, entry, rows

W = 8


@dataclass(frozen=True)
class Truth:
    """What is true of a module: additions of every stream, whether inputs pass the main one by, weights around it.

    `around` are beginnings of names of weights that reach the output in another way than through the main stream's end.
    """

    build: Builder
    adds: tuple[int, ...]
    bypass: bool = False
    around: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A module that is refused: by which error, in which words."""

    build: Builder
    error: type[Exception]
    words: str


ODD: dict[str, Truth] = {}
REFUSED: dict[str, Refusal] = {}
_noted: dict[int, list[Tensor]] | None = None


def table() -> tuple[Tensor, ...]:
    """Rows of a table as arguments."""
    return (rows(4, W),)


def odd(*adds: int, inputs: Callable[[], tuple] = table, bypass: bool = False, around: tuple[str, ...] = ()) -> Callable:
    """Puts a module without arguments into the registry.

    Parameters: `adds`, additions of every stream; `inputs`, makes its arguments; `bypass` and `around`, as in `Truth`.
    """

    def put(kind: type[nn.Module]) -> type[nn.Module]:
        ODD[kind.__name__] = Truth(_built(kind, inputs), adds, bypass, around)
        return kind

    return put


def refused(error: type[Exception], words: str, inputs: Callable[[], tuple] = table) -> Callable:
    """Puts a module that is to be refused into the registry. Parameters: `error`; `words`, a pattern; `inputs`."""

    def put(kind: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        REFUSED[kind.__name__] = Refusal(_built(kind, inputs), error, words)
        return kind

    return put


def _built(kind: Callable[[], nn.Module], inputs: Callable[[], tuple]) -> Builder:
    return entry(kind.__name__, {})(lambda: (kind(), inputs(), {}))


def note(x: Tensor, stream: int = 0) -> Tensor:
    """Says in a forward pass that here stands a point of a stream. Parameters: `x`, the point; `stream`, its number."""
    if _noted is not None:
        _noted[stream].append(x.detach().clone())
    return x


@contextmanager
def noting() -> Iterator[dict[int, list[Tensor]]]:
    """Collects what modules note."""
    global _noted
    _noted = defaultdict(list)
    try:
        yield _noted
    finally:
        _noted = None


class Branch(nn.Sequential):
    """A branch with weights: norm, up, activation, down."""

    def __init__(self, width: int = W, out: int | None = None) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, 12), nn.GELU(), nn.Linear(12, out or width))


def branches(n: int = 3, width: int = W) -> nn.ModuleList:
    """Several of them. Parameters: `n`; `width`."""
    return nn.ModuleList(Branch(width) for _ in range(n))


class Residual(nn.Module):
    """A stem, branches, a head; `step` says how a branch meets the stream."""

    def __init__(self, n: int = 3, width: int = W) -> None:
        super().__init__()
        self.stem, self.fs, self.head = nn.Linear(W, width), branches(n, width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Any:
        x = note(self.stem(x))
        for i, f in enumerate(self.fs):
            x = note(self.step(x, f, i))
        return self.head(x)

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        """One addition. Parameters: `x`; `f`, the branch; `i`, its number."""
        return x + f(x)


def linears(n: int = 3, width: int = W, out: int | None = None) -> nn.ModuleList:
    """Several linear layers. Parameters: `n`; `width`; `out`, if another."""
    return nn.ModuleList(nn.Linear(width, out or width) for _ in range(n))


def scalars(*values: float) -> nn.Parameter:
    """A learned scalar each. Parameters: `values`."""
    return nn.Parameter(torch.tensor(values))


def sequence(batch: int = 2, length: int = 6, width: int = W) -> tuple[Tensor]:
    """A sequence of vectors as arguments. Parameters: `batch`, `length`, `width`."""
    return (torch.randn(batch, length, width, generator=torch.Generator().manual_seed(length)),)


def image(batch: int = 2, channels: int = 3, size: int = 8) -> tuple[Tensor]:
    """An image of noise as arguments. Parameters: `batch`, `channels`, `size`."""
    return (torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(size)),)
