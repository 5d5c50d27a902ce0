"""nnsight 0.8: saves inside a trace of the same module."""

import torch
from nnsight import NNsight
from torch import Tensor, nn

from ._rows import Way, Ways


def ways(module: nn.Module, ids: Tensor) -> Ways:
    """Parameters: `module`, a GPT-2 of transformers; `ids`."""
    model = NNsight(module)

    def points() -> object:
        with model.trace(ids):
            kept = list().save()
            for block in model.transformer.h:
                kept.append(block.input)
                kept.append(block.ln_2.input)
            kept.append(model.transformer.ln_f.input)
            out = model.output.save()
        return kept, out

    def writes() -> object:
        with model.trace(ids):
            kept = list().save()
            kept.append(model.transformer.wte.output)
            kept.append(model.transformer.wpe.output)
            for block in model.transformer.h:
                kept.append(block.input)
                kept.append(block.attn.output[0])
                kept.append(block.ln_2.input)
                kept.append(block.mlp.output)
            kept.append(model.transformer.ln_f.input)
            out = model.output.save()
        return kept, out

    def last() -> object:
        with model.trace(ids, logits_to_keep=1):
            kept = list().save()
            kept.append(model.transformer.wte.output[:, -1:].clone())
            kept.append(model.transformer.wpe.output[:, -1:].clone())
            for block in model.transformer.h:
                kept.append(block.input[:, -1:].clone())
                kept.append(block.attn.output[0][:, -1:].clone())
                kept.append(block.ln_2.input[:, -1:].clone())
                kept.append(block.mlp.output[:, -1:].clone())
            kept.append(model.transformer.ln_f.input[:, -1:].clone())
            out = model.output.save()
        return kept, out

    def lens() -> object:
        with model.trace(ids, logits_to_keep=1):
            kept = list().save()
            for block in model.transformer.h:
                kept.append(block.input[:, -1].clone())
                kept.append(block.ln_2.input[:, -1].clone())
            kept.append(model.transformer.ln_f.input[:, -1].clone())
        return module.lm_head(module.transformer.ln_f(torch.stack(kept)))

    return {
        "points": Way(lambda _: points()),
        "writes": Way(lambda _: writes()),
        "last": Way(lambda _: last()),
        "lens": Way(lambda _: lens()),
    }
