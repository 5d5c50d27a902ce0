"""Models of the zoo run in a chosen precision, and the plain forward passes they are held against."""

from collections.abc import Callable
from copy import copy
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from mainstem.find import StreamMap, find
from mainstem.stream import Pass, take
from zoo import ZOO, Built

Edit = Callable[[nn.Module], None]


def cast(tree: Any, dtype: torch.dtype) -> Any:
    """Floating tensors of the arguments in another precision. Parameters: `tree`, a tuple or a dictionary; `dtype`."""
    if isinstance(tree, Tensor):
        return tree.to(dtype) if tree.is_floating_point() else tree
    return {k: cast(v, dtype) for k, v in tree.items()} if isinstance(tree, dict) else tuple(cast(v, dtype) for v in tree)


@cache
def mapped(name: str) -> StreamMap:
    """The map of a model of the zoo, found in float32: it holds in every precision."""
    module, args, kwargs = ZOO[name]()
    return find(module, *args, **kwargs)


def built(name: str, dtype: torch.dtype = torch.float64, change: Edit | None = None) -> Built:
    """A model of the zoo in a precision, its weights changed. Parameters: `name`; `dtype`; `change`, of the module."""
    module, args, kwargs = ZOO[name]()
    if change is not None:
        with torch.no_grad():
            change(module)
    return module.to(dtype), cast(args, dtype), cast(kwargs, dtype)


def passes(name: str, dtype: torch.dtype = torch.float64, change: Edit | None = None) -> list[Pass]:
    """One run of a model of the zoo for each of its streams, its module shared: `built` makes one that may be changed.

    Parameters: as of `built`.
    """
    return [copy(run) for run in _passes(name, dtype, change)]


@lru_cache(maxsize=64)
def _passes(name: str, dtype: torch.dtype, change: Edit | None) -> list[Pass]:
    module, args, kwargs = built(name, dtype, change)
    routed = change is not None and name == "experts"  # a loop over experts makes other calls where others are chosen
    found = find(module, *args, **kwargs) if routed else mapped(name)
    return [take(module, found, args, kwargs, stream=s.name) for s in found.streams]


@cache
def main(name: str, dtype: torch.dtype = torch.float64) -> Pass:
    """The run of the main stream, made once. Parameters: `name`; `dtype`."""
    return passes(name, dtype)[0]


def returned(name: str, dtype: torch.dtype) -> Tensor:
    """What the module itself returns, with nothing of ours around it. Parameters: `name`; `dtype`."""
    module, args, kwargs = built(name, dtype)
    with torch.no_grad():
        result = module(*args, **kwargs)
    return result if isinstance(result, Tensor) else result.logits


def plant_biases(module: nn.Module) -> None:
    """Large random values in every bias and every norm's shift. Parameters: `module`."""
    for name, p in module.named_parameters():
        if name.endswith("bias"):
            p.copy_(3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
