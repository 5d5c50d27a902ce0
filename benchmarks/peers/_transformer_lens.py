"""TransformerLens, 4.3 and 2.18: the cache and what it offers on top, each at the cheapest that its own arguments allow."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ._rows import TOKEN, Way, Ways, fits

POINTS = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post")
WRITES = (*POINTS, "hook_attn_out", "hook_mlp_out", "hook_embed", "hook_pos_embed")
PARTS = ("attn.hook_z", "mlp.hook_post", "hook_mlp_out", "hook_embed", "hook_pos_embed", "ln_final.hook_scale")


def bridge(module: nn.Module) -> Any:
    """The transformers module behind the interface of TransformerLens 4: raw weights, no tokenizer, nothing fetched.

    Parameters: `module`, a GPT-2 of transformers, which is changed in place (eager attention, wrapped submodules).
    """
    from transformer_lens.model_bridge.sources import build_bridge_from_module

    return build_bridge_from_module(module, "GPT2LMHeadModel", hf_config=module.config)


def hooked(module: nn.Module) -> Any:
    """The re-implementation of TransformerLens 2 with the same weights, nothing folded. Parameters: `module`, as of `bridge`."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig
    from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights

    config = module.config
    made = HookedTransformerConfig(
        n_layers=config.n_layer,
        d_model=config.n_embd,
        n_ctx=config.n_positions,
        d_head=config.n_embd // config.n_head,
        n_heads=config.n_head,
        d_mlp=4 * config.n_embd,
        d_vocab=config.vocab_size,
        act_fn="gelu_new",
        normalization_type="LN",
        eps=config.layer_norm_epsilon,
        device="cpu",
        default_prepend_bos=False,
    )
    model = HookedTransformer(made)
    raw = {"fold_ln": False, "center_writing_weights": False, "center_unembed": False, "fold_value_biases": False}
    model.load_and_process_state_dict(convert_gpt2_weights(module, made), **raw)
    return model.eval()


def _shared(model: Any, ids: Tensor) -> tuple[Ways, Callable[..., Any]]:
    def run(*names: str, **options: Any) -> tuple[Tensor, Any]:
        return model.run_with_cache(ids, names_filter=lambda name: name.endswith(names), **options)

    ways = {
        "points": Way(lambda _: run(*POINTS)),
        "writes": Way(lambda _: run(*WRITES)),
        "last": Way(lambda _: run(*WRITES, pos_slice=-1)),
        "default": Way(lambda _: model.run_with_cache(ids)),
        "ready": Way(lambda _: run(*PARTS)),
    }
    return ways, lambda **options: run(*PARTS, **options)


def ways_4(module: nn.Module, ids: Tensor) -> Ways:
    """Parameters: `module`, a GPT-2 of transformers; `ids`."""
    model = bridge(module)
    found, ready = _shared(model, ids)

    def parts(held: Any, neurons: bool) -> tuple[Tensor, Any]:
        fits(model.cfg.n_layers * model.cfg.n_heads, *held[1]["hook_embed"].shape)  # heads are expanded in any case
        direction = model.ln_final.w * model.W_U[:, TOKEN]
        options = {"expand_neurons": neurons, "apply_ln": True, "project_output_onto": direction}
        return held[1].get_full_resid_decomposition(**options), held

    def lens() -> object:
        _, cache = model.run_with_cache(ids, names_filter=lambda name: name.endswith((*POINTS, "hook_scale")), pos_slice=-1)
        return model.unembed(model.ln_final(cache.accumulated_resid(layer=-1, incl_mid=True)[:, :, 0]))

    held = ready(pos_slice=-1)
    agree(model, parts(held, True)[0][..., 0], held[0][:, -1])
    return found | {
        "lens": Way(lambda _: lens()),
        "heads": Way(lambda held: parts(held, False), ready),
        "one": Way(lambda held: parts(held, True), lambda: ready(pos_slice=-1)),
        "neurons": Way(lambda held: parts(held, True), ready),
    }


def ways_2(module: nn.Module, ids: Tensor) -> Ways:
    """Parameters: `module`, a GPT-2 of transformers; `ids`."""
    model = hooked(module)
    found, ready = _shared(model, ids)

    def parts(held: Any, neurons: bool) -> tuple[Tensor, Any]:
        each = model.cfg.d_mlp if neurons else model.cfg.n_heads
        fits(model.cfg.n_layers * each, *held[1]["hook_embed"].shape)
        direction = model.ln_final.w * model.W_U[:, TOKEN]
        return held[1].get_full_resid_decomposition(expand_neurons=neurons, apply_ln=True) @ direction, held

    def lens() -> object:
        _, cache = model.run_with_cache(ids, names_filter=lambda name: name.endswith(POINTS), pos_slice=-1)
        points = cache.accumulated_resid(layer=-1, incl_mid=True)[:, :, 0]
        return model.unembed(model.ln_final(points))

    held = ready(pos_slice=-1)
    agree(model, parts(held, True)[0][..., 0], held[0][:, -1])
    return found | {
        "lens": Way(lambda _: lens()),
        "heads": Way(lambda held: parts(held, False), ready),
        "one": Way(lambda held: parts(held, True), lambda: ready(pos_slice=-1)),
        "neurons": Way(lambda held: parts(held, True), ready),
    }


def agree(model: Any, parts: Tensor, logits: Tensor) -> None:
    """Stops the run where the attribution compared is not of the same logit. Parameters: `model`; `parts`; `logits`, of the last position."""
    constant = model.ln_final.b @ model.W_U[:, TOKEN] + model.b_U[TOKEN]
    torch.testing.assert_close(parts.sum(0) + constant, logits[:, TOKEN], rtol=0, atol=1e-4)
