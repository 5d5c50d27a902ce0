"""The plain way: forward hooks that keep what passes, and a few lines of arithmetic. The floor, since it does nothing else."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ._rows import Way, Ways

Kept = dict[str, Tensor]


def capture(module: nn.Module, writes: bool, last: bool, call: Callable[[], object]) -> tuple[Kept, object]:
    """Points, and writes if asked, by name, with what the call returned.

    Parameters: `module`, a GPT-2 of transformers; `writes`; `last`, the last position only; `call`, which runs the module.
    """
    kept: Kept = {}
    body = module.transformer

    def keep(name: str, value: Any) -> None:
        value = value[0] if isinstance(value, tuple) else value
        kept[name] = value[:, -1:].clone() if last else value

    handles = []

    def reads(name: str, of: nn.Module) -> None:
        handles.append(of.register_forward_pre_hook(lambda _m, given: keep(name, given)))

    def gives(name: str, of: nn.Module) -> None:
        handles.append(of.register_forward_hook(lambda _m, _i, out: keep(name, out)))

    for i, block in enumerate(body.h):
        reads(f"resid_pre {i}", block.ln_1)
        reads(f"resid_mid {i}", block.ln_2)
        if writes:
            gives(f"attn {i}", block.attn)
            gives(f"mlp {i}", block.mlp)
    reads("resid_post", body.ln_f)
    if writes:
        gives("embed", body.wte)
        gives("pos", body.wpe)
    try:
        return kept, call()
    finally:
        for handle in handles:
            handle.remove()


def unembed(module: nn.Module, points: list[Tensor]) -> Tensor:
    """Logits of many points at the last position, in one product. Parameters: `module`; `points`."""
    return module.lm_head(module.transformer.ln_f(torch.stack([point[:, -1] for point in points])))


def ways(module: nn.Module, ids: Tensor) -> Ways:
    """Parameters: `module`, a GPT-2 of transformers; `ids`."""

    def every() -> object:
        return module(ids)

    def last() -> object:
        return module(ids, logits_to_keep=1)

    return {
        "points": Way(lambda _: capture(module, False, False, every)),
        "writes": Way(lambda _: capture(module, True, False, every)),
        "last": Way(lambda _: capture(module, True, True, last)),
        "lens": Way(lambda _: unembed(module, list(capture(module, False, True, last)[0].values()))),
    }
