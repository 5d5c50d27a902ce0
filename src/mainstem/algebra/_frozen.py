"""Frozen forms: what an operation does to a vector when its data-dependent factors stay as they were.

Each takes the call and the replaced operands and returns an **affine** function's value. At the operands of the
call itself it returns what the call returned.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from mainstem.core import Path

from ._calls import Call

Live = Mapping[Path, torch.Tensor]


def plain(call: Call, live: Live) -> Any:
    """Operations that are affine in the replaced operands already: views, sums, products with a frozen operand."""
    return call.again(live)


def identity(call: Call, live: Live) -> torch.Tensor:
    """Operations that hand their input on: dropout that is off, detach."""
    return live[(0,)]


def layer_norm(call: Call, live: Live) -> torch.Tensor:
    """(v - mean v) / sigma(x) * weight + bias, sigma from the input that was seen."""
    x, v = call.args[0], live[(0,)]
    shape = call.parameter(1, "normalized_shape")
    weight, bias = call.parameter(2, "weight"), call.parameter(3, "bias")
    dims = tuple(range(-(1 if isinstance(shape, int) else len(shape)), 0))
    eps = call.parameter(4, "eps", 1e-5)
    centred = (v - v.mean(dims, keepdim=True)) * (x.var(dims, correction=0, keepdim=True) + eps).rsqrt()
    return _affine(centred, weight, bias)


def rms_norm(call: Call, live: Live) -> torch.Tensor:
    """v / rms(x) * weight."""
    x, v = call.args[0], live[(0,)]
    shape = call.parameter(1, "normalized_shape")
    weight, eps = call.parameter(2, "weight"), call.parameter(3, "eps")
    dims = tuple(range(-(1 if isinstance(shape, int) else len(shape)), 0))
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return _affine(v * (x.square().mean(dims, keepdim=True) + eps).rsqrt(), weight, None)


def group_norm(call: Call, live: Live) -> torch.Tensor:
    """Per-group (v - mean v) / sigma(x), then gain and bias per channel."""
    x, v = call.args[0], live[(0,)]
    groups, weight, bias = call.parameter(1, "num_groups"), call.parameter(2, "weight"), call.parameter(3, "bias")
    eps = call.parameter(4, "eps", 1e-5)
    split = (x.shape[0], groups, -1)
    flat = v.reshape(split)
    scale = (x.reshape(split).var(-1, correction=0, keepdim=True) + eps).rsqrt()
    out = ((flat - flat.mean(-1, keepdim=True)) * scale).reshape(x.shape)
    per_channel = (-1, *(1,) * (x.ndim - 2))
    return _affine(out, *(None if p is None else p.reshape(per_channel) for p in (weight, bias)))


def normalize(call: Call, live: Live) -> torch.Tensor:
    """v / max(norm(x), eps)."""
    x = call.args[0]
    p, dim, eps = call.parameter(1, "p", 2.0), call.parameter(2, "dim", 1), call.parameter(3, "eps", 1e-12)
    return live[(0,)] / x.norm(p, dim, keepdim=True).clamp_min(eps)


def activation(call: Call, live: Live) -> torch.Tensor:
    """v * (f(x) - f(0)) / x + f(0), with the slope f'(0) where x is zero."""
    share, at_zero = ratio(call)
    return live[(0,)] * share + at_zero


def ratio(call: Call) -> tuple[torch.Tensor, torch.Tensor]:
    """What an activation multiplied its input by, (f(x) - f(0)) / x, and f(0). Parameters: `call`."""
    x = call.args[0]
    origin = torch.zeros((), dtype=x.dtype, device=x.device)

    def f(value: torch.Tensor) -> torch.Tensor:
        return call.again({(0,): value})

    pulled: tuple[torch.Tensor, Callable[..., tuple[torch.Tensor, ...]]] = torch.func.vjp(f, origin)  # type: ignore[assignment]
    at_zero, back = pulled
    safe = torch.where(x == 0, torch.ones_like(x), x)
    return torch.where(x == 0, back(torch.ones_like(origin))[0], (f(x) - at_zero) / safe), at_zero


def relu(call: Call, live: Live) -> torch.Tensor:
    """v where x was positive, else zero."""
    return live[(0,)] * (call.args[0] > 0)


def gated(call: Call, live: Live) -> torch.Tensor:
    """The first half of v times the sigmoid of the second half of x."""
    x, dim = call.args[0], call.parameter(1, "dim", -1)
    return live[(0,)].chunk(2, dim)[0] * x.chunk(2, dim)[1].sigmoid()


def adaptive_pool(call: Call, live: Live) -> torch.Tensor:
    """The mean over the image where one pixel is asked for: torch's own call has no rule for stacks of vectors."""
    size, rank = call.parameter(1, "output_size"), int(call.name[-2])
    every = (size,) * rank if isinstance(size, int) else tuple(size)
    return live[(0,)].mean(tuple(range(-rank, 0)), keepdim=True) if set(every) == {1} else call.again(live)


def max_pool(call: Call, live: Live) -> torch.Tensor:
    """Picks from v the places that held the maxima of x."""
    x, v = call.args[0], live[(0,)]
    rank = int(call.name[len("max_pool")])
    pool: Callable[..., Any] = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1]
    keys = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    options = dict(zip(keys, call.args[1:], strict=False)) | {k: call.kwargs[k] for k in keys if k in call.kwargs}
    out, index = pool(x, **options, return_indices=True)
    start = x.ndim - rank
    return v.flatten(start).gather(-1, index.flatten(start)).reshape(out.shape)


def grouped_product(call: Call, live: Live) -> torch.Tensor:
    """Rows of v times the weights of their group, group by group: works in every dtype, unlike the fused call."""
    v, weights, ends = live.get((0,), call.args[0]), call.args[1], call.parameter(2, "offs")
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    rows = [v[int(a) : int(b)] @ w for a, b, w in zip(starts, ends, weights, strict=True)]
    return torch.cat(rows)


def _affine(x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None) -> torch.Tensor:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias
