"""Calls that do several things at once, done one by one: an addition inside of one would not show otherwise.

The parts have keys of their own, `addmm.mm` and `addmm.add`. A sum that was rounded once is then rounded twice; what a
vector is added to (the bias of a linear map) stays one call.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ._einsum import einsum

Do = Callable[..., Any]
Spelled = Callable[..., Any]
_OPERANDS = ("tensor1", "tensor2", "mat1", "mat2", "batch1", "batch2", "end", "weight")


def spelled(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[Do], Any] | None:
    """How to make a call part by part: a function of `do(name, func, *args, **kwargs)`, which makes one part.

    Parameters: `name`, `args`, `kwargs`, the call's. Returns None for a call that is one thing, or adds to less than the whole.
    """
    if name == "einsum":
        return einsum(args)
    found = _SPELLED.get(name)
    if found is None or not args or not isinstance(args[0], Tensor) or kwargs.get("out") is not None:
        return None
    whole, form = found
    operands = (*args, *(kwargs[word] for word in _OPERANDS if word in kwargs))
    options = {word: value for word, value in kwargs.items() if word not in _OPERANDS}
    return partial(_made, form, operands, options) if whole(*operands, **options) else None


def _made(form: Spelled, args: tuple[Any, ...], kwargs: dict[str, Any], do: Do) -> Any:
    return form(do, *args, **kwargs)


def opened(func: Callable[..., Any]) -> Callable[..., Any] | None:
    """A composite written in Python that torch shows as one call, made to show its inside; None for any other.

    Parameters: `func`, the call's function.
    """
    return _attention() if func is F.multi_head_attention_forward else None


@cache
def _attention() -> Callable[..., Any]:
    """The function as it is, but for its question whether somebody watches: the answer would hand the whole call over again."""
    func: Any = F.multi_head_attention_forward
    return FunctionType(func.__code__, {**func.__globals__, "has_torch_function": _nobody}, func.__name__, func.__defaults__)


def _nobody(_tensors: Any) -> bool:
    return False


def _add(do: Do, x: Tensor, written: Tensor, alpha: Any, inplace: bool) -> Any:
    func = Tensor.add_ if inplace else torch.add
    return do("add_" if inplace else "add", func, x, written, **({} if alpha == 1 else {"alpha": alpha}))


def _product(kind: str, inplace: bool) -> Spelled:
    """x + value * a b, and x + value * a / b."""

    def form(do: Do, x: Tensor, a: Tensor, b: Tensor, value: Any = 1) -> Any:
        return _add(do, x, do(kind, getattr(torch, kind), a, b), value, inplace)

    return form


def _matrix(kind: str) -> Spelled:
    """beta x + alpha A B."""

    def form(do: Do, x: Tensor, a: Tensor, b: Tensor, beta: Any = 1, alpha: Any = 1) -> Any:
        product = do(kind, getattr(torch, kind), a, b)
        return _add(do, x if beta == 1 else do("mul", torch.mul, x, beta), product, alpha, False)

    return form


def _lerp(do: Do, x: Tensor, end: Tensor, weight: Any) -> Any:
    """(1 - w) x + w end."""
    rest = do("rsub", torch.rsub, weight, 1) if isinstance(weight, Tensor) else 1 - weight
    return _add(do, do("mul", torch.mul, x, rest), do("mul", torch.mul, end, weight), 1, False)


def _scattered(kind: str) -> Spelled:
    """x + (what is added to some of its rows, and zero elsewhere)."""

    def form(do: Do, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        nothing = do("zeros_like", torch.zeros_like, x)
        return _add(do, x, do(kind, getattr(torch, kind), nothing, *args, **kwargs), 1, False)

    return form


def _same(x: Tensor, a: Tensor, b: Tensor, **_: Any) -> bool:
    return x.shape == torch.broadcast_shapes(x.shape, a.shape, b.shape) and max(a.numel(), b.numel()) == x.numel()


def _full(x: Tensor, a: Tensor, b: Tensor, **_: Any) -> bool:
    return x.shape == (*a.shape[:-1], b.shape[-1])


def _always(*_: Any, **__: Any) -> bool:
    return True


def _between(x: Tensor, end: Tensor, weight: Any, **_: Any) -> bool:
    return x.shape == end.shape and (not isinstance(weight, Tensor) or weight.numel() <= x.numel())


_SPELLED: dict[str, tuple[Callable[..., bool], Spelled]] = {
    **{f"addc{short}{dash}": (_same, _product(kind, bool(dash))) for short, kind in (("mul", "mul"), ("div", "div")) for dash in ("", "_")},
    **{name: (_full, _matrix(kind)) for name, kind in (("addmm", "mm"), ("baddbmm", "bmm"))},
    **{name: (_always, _scattered(name)) for name in ("index_add", "scatter_add")},
    "lerp": (_between, _lerp),
}  # fmt: skip
COMPOSED = frozenset((*_SPELLED, "einsum"))
