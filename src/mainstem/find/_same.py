"""Whether an operation leaves the basis of its operands' features alone, tried out by turning them."""

from collections.abc import Iterator, Mapping
from functools import cache

import torch
from torch import Tensor

from mainstem.algebra import Call, base_name, dig, put, raised_to, rule
from mainstem.core import Path

from ._record import Node

_MISS = 1e-9
Axes = Mapping[Path, int]


class Trial:
    """One operation run on random numbers in float64, where only what is not a weight or a vector stays as it was.

    Parameters: `node`, what the operation made; `width`, of the features that are turned.
    """

    def __init__(self, node: Node, width: int) -> None:
        assert node.call is not None
        self.node, self.width = node, width
        self.call = raised_to(node.call, torch.float64)
        self.drawn = 0
        v = self._numbers(torch.Size([width]))
        self.mirror = v / v.norm()

    def turns(self, live: Axes, beside: Axes = {}) -> int | None:  # noqa: B006
        """The axis along which what comes out is turned when operands are, None where it is not just turned.

        Parameters: `live`, the operands that are turned with the axes of their features; `beside`, such as a bias, more of these.
        """
        every = {**live, **beside}
        values = {path: self.random(path) for path in every}
        plain, turned = self.run(values), self.run({path: self.turn(values[path], axis) for path, axis in every.items()})
        for axis in reversed(range(plain.ndim)):
            if plain.shape[axis] == self.width and self.near(self.turn(plain, axis), turned):
                return axis
        return None

    def cancels(self, live: Axes) -> bool:
        """Whether nothing changes when all these operands are turned. Parameters: `live`, with the axes of their features."""
        values = {path: self.random(path) for path in live}
        return self.near(self.run(values), self.run({path: self.turn(values[path], axis) for path, axis in live.items()}))

    def axes(self, path: Path) -> Iterator[int]:
        """Axes of an operand that may count features, the last first. Parameters: `path`."""
        shape = self.call.arg(path).shape
        return (axis for axis in reversed(range(len(shape))) if shape[axis] == self.width)

    def spread(self, vector: Tensor, path: Path, axis: int) -> Tensor:
        """An operand that holds a vector at every place. Parameters: `vector`; `path`; `axis`, of the operand's features."""
        like = self.call.arg(path)
        return vector.to(like).expand(like.movedim(axis, -1).shape).movedim(-1, axis).contiguous()

    def random(self, path: Path) -> Tensor:
        """Random numbers of an operand's shape. Parameters: `path`."""
        like = self.call.arg(path)
        return self._numbers(like.shape).to(like.device)

    def _numbers(self, shape: torch.Size) -> Tensor:
        """Others at every call, a prime number of them over and over: drawing as many as a large model has weights takes its time."""
        self.drawn += 1
        pool, count = _pool().roll(1009 * self.drawn), shape.numel()
        return pool.repeat(count // len(pool) + 1)[:count].reshape(shape)

    def turn(self, value: Tensor, axis: int) -> Tensor:
        """The vectors along an axis mirrored at a random plane. Parameters: `value`; `axis`."""
        mirror, last = self.mirror.to(value.device), value.movedim(axis, -1)
        return (last - 2 * (last @ mirror)[..., None] * mirror).movedim(-1, axis)

    def run(self, values: Mapping[Path, Tensor]) -> Tensor:
        """The operation with some operands replaced. Parameters: `values`, by their paths."""
        out = evaluated(self.call, values)
        return dig(out, self.node.output)

    def near(self, a: Tensor, b: Tensor) -> bool:
        """Whether two results agree but for rounding. Parameters: `a`; `b`."""
        return a.shape == b.shape and bool((a - b).abs().max() <= _MISS * (1e-300 + a.abs().max()))


@cache
def _pool() -> Tensor:
    return torch.randn(65_537, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def evaluated(call: Call, values: Mapping[Path, Tensor]) -> Tensor:
    """A call with operands replaced; a fused product that knows no float64 is spelled out. Parameters: `call`; `values`."""
    if base_name(call.name) != "_grouped_mm":
        return call.again(values)
    args = call.args
    for path, value in values.items():
        args = put(args, path, value)
    found = rule(call.name)
    assert found is not None
    return found.form(Call(call.name, call.func, args, call.kwargs, None), {(0,): args[0]})
