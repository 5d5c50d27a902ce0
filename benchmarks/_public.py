"""Log-probability increase of neurons as public code works it out: x + v for every neuron of a layer, all of it unembedded.

It stands on the modules of the two families that are measured, captured by plain hooks, and on nothing of mainstem.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

CHUNK = 256  # vectors that are unembedded at a time, so that it fits


@dataclass(frozen=True)
class Layer:
    """What a layer's MLP adds to at one position, and what it adds.

    Parameters: `x`, [d_model], the stream before it; `h`, [neuron], coefficients; `rows`, [neuron, d_model], a vector of each.
    """

    x: Tensor
    h: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Anatomy:
    """Where a module keeps what is needed. Parameters: `blocks`; `before`, the name of the norm before the MLP; `down`, of its last product; `norm`, the final one; `head`."""

    blocks: Any
    before: str
    down: str
    norm: nn.Module
    head: nn.Module

    def read(self, y: Tensor) -> Tensor:
        """The norm as the module itself computes it, in float64 spelled out. Parameters: `y`, [..., d_model]."""
        if y.dtype != torch.float64:
            return self.norm(y)
        weight, bias = self.norm.weight.double(), getattr(self.norm, "bias", None)
        if bias is not None:
            return nn.functional.layer_norm(y, y.shape[-1:], weight, bias.double(), self.norm.eps)
        return weight * y * (y.square().mean(-1, keepdim=True) + self.norm.variance_epsilon).rsqrt()

    def logprob(self, y: Tensor, target: int) -> Tensor:
        """log p of a token, were the final norm to read y. Parameters: `y`, [some, d_model]; `target`."""
        return (self.read(y) @ self.head.weight.to(y.dtype).T).log_softmax(-1)[:, target]


def anatomy(module: nn.Module) -> Anatomy:
    """Of GPT-2 and of Llama, in transformers or in mainstem. Parameters: `module`."""
    found: Any = module
    if hasattr(found, "transformer"):
        core = found.transformer
        return Anatomy(core.h, "ln_2", "mlp.c_proj", core.ln_f, found.lm_head)
    return Anatomy(found.model.layers, "post_attention_layernorm", "mlp.down_proj", found.model.norm, found.lm_head)


def layers(module: nn.Module, ids: Tensor, position: int = -1) -> list[Layer]:
    """Every layer's MLP at one position of a prompt, by hooks. Parameters: `module`; `ids`, [1, pos]; `position`."""
    seen: dict[str, list[Tensor]] = {"x": [], "h": []}
    where = anatomy(module)
    handles = []
    for block in where.blocks:
        for name, kind in ((where.before, "x"), (where.down, "h")):
            handles.append(
                block.get_submodule(name).register_forward_pre_hook(
                    lambda _, args, kind=kind: seen[kind].append(args[0][0, position].detach())
                )
            )
    try:
        module(ids)
    finally:
        for handle in handles:
            handle.remove()
    rows = [block.get_submodule(where.down).weight.detach() for block in where.blocks]
    return [
        Layer(x, h, row if row.shape == (len(h), len(x)) and "c_proj" in where.down else row.T)
        for x, h, row in zip(seen["x"], seen["h"], rows, strict=True)
    ]


def scores(where: Anatomy, layer: Layer, target: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """log p(target | x + v) - log p(target | x) of every neuron of a layer. Parameters: `where`; `layer`; `target`; `dtype`."""
    x, h, rows = layer.x.to(dtype), layer.h.to(dtype), layer.rows.to(dtype)
    before = where.logprob(x[None], target)
    return torch.cat([_some(where, x, h[some], rows[some], target) for some in _chunks(len(h))]) - before


def _some(where: Anatomy, x: Tensor, h: Tensor, rows: Tensor, target: int) -> Tensor:
    return where.logprob(x + h[:, None] * rows, target)


def _chunks(n: int) -> Iterator[slice]:
    return (slice(first, first + CHUNK) for first in range(0, n, CHUNK))


def products(matrix: Tensor, points: Tensor) -> Tensor:
    """The two products of every point with the unembedding: logits, and the mean of its rows. Parameters: `matrix`; `points`."""
    return (points @ matrix.T).softmax(-1) @ matrix
