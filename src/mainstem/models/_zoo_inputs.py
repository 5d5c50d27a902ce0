"""Inputs for the architectures of the zoo: two rows, at least six places."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from ._shrink import VOCAB

_BATCH, _LENGTH = 2, 7
_SAID = 12  # ids below are special


def inputs(architecture: Any, module: nn.Module, config: Any) -> dict[str, Any]:
    """What the architecture is called with. Parameters: `architecture`; `module`, built; `config`, its configuration."""
    known = inspect.signature(module.forward).parameters
    main = getattr(module, "main_input_name", "input_ids")
    made: dict[str, Any] = {}
    if architecture.kind in ("causal", "masked"):
        made["input_ids"] = ids(config)
    elif architecture.kind == "image":
        size = getattr(config, "image_size", None) or 32
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        made["pixel_values"] = noise(_BATCH, getattr(config, "num_channels", 3), height, width)
    elif "input_ids" in known and architecture.kind == "seq2seq" and main == "input_ids":
        made["input_ids"] = ids(config)
    elif main == "input_values":
        made["input_values"] = noise(_BATCH, 2000)
    else:
        made["input_features"] = noise(_BATCH, getattr(config, "num_mel_bins", 80), 64)
    if "decoder_input_ids" in known and architecture.kind != "causal":
        made["decoder_input_ids"] = ids(config, 6)
    return made


def ids(config: Any, length: int = _LENGTH) -> Tensor:
    """Token ids without special ones. Parameters: `config`; `length`."""
    rows = min(VOCAB, getattr(config.get_text_config(), "vocab_size", None) or VOCAB)
    generator = torch.Generator().manual_seed(length)
    return torch.randint(min(_SAID, rows // 2), rows, (_BATCH, length), generator=generator)


def noise(*shape: int) -> Tensor:
    """Sound or pixels. Parameters: `shape`."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))
