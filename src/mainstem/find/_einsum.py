"""Einstein sums of two tensors as one product of matrices, so that what they multiply and add over shows."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

Do = Callable[..., Any]


def einsum(args: tuple[Any, ...]) -> Callable[[Do], Tensor] | None:
    """How to make an Einstein sum by moving axes, one product and moving axes back; a function of `do`, as of `spelled`.

    Parameters: `args`, the call's. Returns None for one that is no plain product of two: with an ellipsis, a diagonal, an
    axis summed in one factor alone, or axes of size one that are spread.
    """
    if len(args) == 2 and isinstance(args[1], (list, tuple)):
        args = (args[0], *args[1])
    if len(args) != 3 or not isinstance(args[0], str) or not all(isinstance(t, Tensor) for t in args[1:]):
        return None
    equation, a, b = args
    left, arrow, out = equation.replace(" ", "").partition("->")
    one, _, two = left.partition(",")
    if not arrow or "." in equation or not _plain(one, two, out, a, b):
        return None
    return partial(_product, one, two, out, a, b)


def _plain(one: str, two: str, out: str, a: Tensor, b: Tensor) -> bool:
    if any(len(set(axes)) != len(axes) for axes in (one, two, out)) or len(one) != a.ndim or len(two) != b.ndim:
        return False
    if any(axis not in out for axis in set(one) ^ set(two)) or set(out) - set(one + two):
        return False
    sizes = dict(zip(one, a.shape, strict=True))
    return all(sizes.get(axis, size) == size for axis, size in zip(two, b.shape, strict=True)) and bool(
        set(one) & set(two) - set(out)
    )


def _product(one: str, two: str, out: str, a: Tensor, b: Tensor, do: Do) -> Tensor:
    sizes = dict(zip(one + two, (*a.shape, *b.shape), strict=True))
    batch = [x for x in one if x in two and x in out]
    rows, over = [x for x in one if x not in two], [x for x in one if x in two and x not in out]
    columns = [x for x in two if x not in one]
    first = _grouped(do, a, one, [batch, rows, over], sizes)
    second = _grouped(do, b, two, [batch, over, columns], sizes)
    made = do("matmul", torch.matmul, first, second)
    order = [*batch, *rows, *columns]
    made = do("reshape", Tensor.reshape, made, tuple(sizes[x] for x in order))
    return do("permute", Tensor.permute, made, tuple(order.index(x) for x in out))


def _grouped(do: Do, tensor: Tensor, axes: str, groups: list[list[str]], sizes: dict[str, int]) -> Tensor:
    """Axes moved together: those of the batch stay apart, the two groups behind become one axis each."""
    batch, *others = groups
    moved = do("permute", Tensor.permute, tensor, tuple(axes.index(x) for group in groups for x in group))
    shape = [sizes[x] for x in batch] + [torch.Size(sizes[x] for x in group).numel() for group in others]
    return do("reshape", Tensor.reshape, moved, tuple(shape))
