"""One torch call as data: read a tensor out of it, run it again with other tensors in it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from mainstem.core import Path


@dataclass(frozen=True, slots=True)
class Call:
    """A call that happened: `name` is the operation, `args` and `kwargs` as they were, `out` what came back."""

    name: str
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any

    def arg(self, path: Path) -> Any:
        """The argument at `path`: first a position or a keyword, then positions inside sequences."""
        return dig(self.kwargs if isinstance(path[0], str) else self.args, path)

    def parameter(self, position: int, keyword: str, default: Any = None) -> Any:
        """An argument that may have come by position or by keyword."""
        if position < len(self.args):
            return self.args[position]
        return self.kwargs.get(keyword, default)

    @property
    def moves(self) -> bool:
        """Whether it brings its tensor to another device, and asks for no other precision."""
        asked = [*self.args[1:], *self.kwargs.values()]
        other = any(isinstance(a, torch.dtype | torch.Tensor) for a in asked)
        named = any(isinstance(a, torch.device | str) or type(a) is int for a in asked)
        return self.name in ("cuda", "cpu") or (self.name == "to" and named and not other)

    def again(self, live: Mapping[Path, torch.Tensor]) -> Any:
        """Runs the call with the arguments at the paths of `live` replaced, never in place."""
        args, kwargs = self.args, self.kwargs
        for path, value in live.items():
            if isinstance(path[0], str):
                kwargs = put(kwargs, path, value)
            else:
                args = put(args, path, value)
        return pure(self.name, self.func)(*args, **{k: v for k, v in kwargs.items() if k not in ("inplace", "out")})


def dig(tree: Any, path: Path) -> Any:
    """Follows `path` into nested sequences and mappings."""
    for step in path:
        tree = tree[step]
    return tree


def put(tree: Any, path: Path, value: Any) -> Any:
    """A copy of nested sequences and mappings with the leaf at `path` replaced."""
    if not path:
        return value
    if isinstance(tree, Mapping):
        return {**tree, path[0]: put(tree[path[0]], path[1:], value)}
    items: Any = list(tree)
    items[path[0]] = put(items[path[0]], path[1:], value)
    return tuple(items) if isinstance(tree, tuple) else items


def tensors(tree: Any, path: Path = ()) -> Iterator[tuple[Path, torch.Tensor]]:
    """Every tensor in nested sequences and mappings with its path."""
    if isinstance(tree, torch.Tensor):
        yield path, tree
    elif isinstance(tree, (list, tuple)):
        for i, item in enumerate(tree):
            yield from tensors(item, (*path, i))
    elif isinstance(tree, Mapping):
        for k, item in tree.items():
            yield from tensors(item, (*path, k))


def base_name(name: str) -> str:
    """The operation without the marks of in-place and operator forms: `add_`, `__iadd__`, `__radd__` are `add`."""
    if name.startswith("__") and name.endswith("__"):
        core = name[2:-2]
        return _OPERATORS.get(core, core)
    return name[:-1] if name.endswith("_") and name != "_" else name


_OPERATORS = {
    "iadd": "add", "radd": "add", "isub": "sub", "imul": "mul", "rmul": "mul", "itruediv": "div", "truediv": "div",
    "idiv": "div",
}  # fmt: skip


def is_inplace(name: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether a call of this name overwrites its first argument."""
    if name.startswith("__i") and name.endswith("__"):
        return name not in ("__invert__", "__index__", "__int__")
    trailing = name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
    return trailing or name == "__setitem__" or kwargs.get("out") is not None or kwargs.get("inplace") is True


def pure(name: str, func: Callable[..., Any]) -> Callable[..., Any]:
    """The form of an in-place operation that leaves its operands alone."""
    base = base_name(name)
    if base == name:
        return func
    if base == "setitem":
        return assigned
    found = getattr(torch.Tensor, base, None) or getattr(torch, base, None)
    return func if found is None or name.startswith("__r") else found


def assigned(x: torch.Tensor, index: Any, value: Any) -> torch.Tensor:
    """x with x[index] = value, as a new tensor. Parameters: `x`; `index`, whatever may stand in brackets; `value`."""
    places = torch.arange(x.numel(), device=x.device).reshape(x.shape)[index]
    new = torch.as_tensor(value, dtype=x.dtype, device=x.device).expand(places.shape)
    return x.reshape(-1).scatter(0, places.reshape(-1), new.reshape(-1)).reshape(x.shape)


def raised(call: Call, dtype: torch.dtype) -> Call:
    """The call with every floating tensor, and every precision it asks for, in a higher one."""

    def up(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            return value.to(dtype)
        if isinstance(value, torch.dtype) and value.is_floating_point:
            return dtype
        return type(value)(map(up, value)) if type(value) in (list, tuple) else value

    func = torch.Tensor.float if call.name in ("half", "bfloat16") else call.func
    return Call(call.name, func, up(call.args), {k: up(v) for k, v in call.kwargs.items()}, up(call.out))


def raised_to(call: Call, dtype: torch.dtype) -> Call:
    """The call in another precision, also where it is a cast that goes by the name of one. Parameters: `call`; `dtype`."""
    up = raised(call, dtype)
    return replace(up, func=lambda x, *_: x.to(dtype)) if call.name in ("float", "half", "bfloat16") else up
