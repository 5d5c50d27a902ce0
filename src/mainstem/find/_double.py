"""True float64: casts to lower precisions that modules make inside are rewritten, call by call."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mainstem.algebra import Call, rule, tensors

_FILLS = frozenset(("tensor", "full", "scalar_tensor"))
_LOW = (torch.float32, torch.float16, torch.bfloat16)


def call_double(name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Makes a call in float64 wherever it asks for less; a fused product that knows no float64 is spelled out.

    Parameters: `name`, `func`, `args`, `kwargs`, the call.
    """
    if name in ("float", "half", "bfloat16"):
        return args[0].double()
    if name == "_grouped_mm":
        return _spelled_out(Call(name, func, args, kwargs, None))
    if name in _FILLS and "dtype" not in kwargs and any(isinstance(a, float) for a in args):
        kwargs = {**kwargs, "dtype": torch.float64}  # the lowest float64 does not fit into the default precision
    args = tuple([torch.float64 if isinstance(a, torch.dtype) and a in _LOW else a for a in args])
    kwargs = {k: torch.float64 if isinstance(v, torch.dtype) and v in _LOW else v for k, v in kwargs.items()}
    out = func(*args, **kwargs)
    made = isinstance(out, Tensor) and out.dtype in _LOW and not any(True for _ in tensors(args))
    return out.double() if made else out


def _spelled_out(call: Call) -> Tensor:
    found = rule(call.name)
    assert found is not None
    return found.form(call, {(0,): call.args[0]})
