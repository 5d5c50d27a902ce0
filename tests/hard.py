"""The architectures that are hard to take apart, small and random, each with what its configuration says of it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import transformers
from torch import nn

from zoo import GROUPED, SMALL, Builder, Built, entry, ids, pixels

Make = Callable[[], tuple[tuple[Any, ...], dict[str, Any]]]


@dataclass(frozen=True)
class Hard:
    """A model and what is true of it.

    Parameters: `build`; `adds`, additions of every stream; `blocks`, kinds of the writes of the main stream's blocks;
    `heads` of every attention; `experts`, (experts, neurons) of mixtures; `neurons`, widths of the other writes; `outs`,
    labels of writes, paths of the modules that return what is added, both with a place for the block's number, and the
    factor it is added with; `bypass`, whether anything passes the main stream by.
    """

    build: Builder
    adds: tuple[int, ...]
    blocks: tuple[str, ...] = ("attn mlp", "attn mlp")
    heads: int | None = None
    experts: tuple[int, int] | None = None
    neurons: tuple[int, ...] | None = None
    outs: tuple[tuple[str, str, float], ...] = ()
    bypass: bool = False


HARD: dict[str, Hard] = {}
TOKENS: Make = lambda: ((ids(),), {})  # noqa: E731
BOTH = (("L{}.attn", "model.layers.{}.self_attn", 1.0), ("L{}.mlp", "model.layers.{}.mlp", 1.0))
NORMED = (
    ("L{}.attn", "model.layers.{}.post_attention_layernorm", 1.0),
    ("L{}.mlp", "model.layers.{}.post_feedforward_layernorm", 1.0),
)


def lively(module: nn.Module) -> nn.Module:
    """Random weights of the size that keeps a signal's, and every vector (bias, norm, layer scale, sink) away from 0 and 1."""
    with torch.no_grad():
        for p in module.parameters():
            if p.ndim > 1:
                p.normal_(0, prod(p.shape[1:]) ** -0.5)
            else:
                p.add_(0.3 * torch.randn_like(p))
    return module


def hard(
    name: str, family: str, head: str = "ForCausalLM", inputs: Make = TOKENS, config: str = "", **truth: Any
) -> Callable[..., None]:
    """Puts a model of transformers into the registry; what comes back takes its configuration.

    Parameters: `name`; `family` and `head`, of which its class's name is made; `inputs`; `config`, the family of its
    configuration if another; `truth`, as in `Hard`.
    """

    def configured(*parts: dict[str, Any], **more: Any) -> None:
        options = {k: v for part in (*parts, more) for k, v in part.items()}

        def build() -> Built:
            made = getattr(transformers, f"{config or family}Config")(**options)
            model = lively(getattr(transformers, f"{family}{head}")(made))
            return model, *inputs()

        HARD[name] = Hard(entry(name, {})(build), **truth)

    return configured


def without(*words: str) -> dict[str, Any]:
    """The common sizes without some. Parameters: `words`, parts of their names."""
    return {k: v for k, v in SMALL.items() if not any(w in k for w in words)}


SHORT = {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
MIXED = ("mixer mlp", "attn mlp")
TWO = ["linear_attention", "full_attention"]
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12}
LATENT = {"q_lora_rank": 12, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 6, "v_head_dim": 10}

hard("cohere", "Cohere", adds=(2,), heads=4, neurons=(48,), outs=BOTH)(SMALL, GROUPED)
hard("zaya", "Zaya", adds=(4,), heads=4, experts=(4, 12), bypass=True)(
    SMALL, GROUPED, num_experts=4, moe_intermediate_size=12, head_dim=8, router_hidden_size=8
)  # fmt: skip
hard(
    "mpt",
    "Mpt",
    adds=(4,),
    heads=4,
    outs=(("L{}.attn", "transformer.blocks.{}.attn", 1.0), ("L{}.mlp", "transformer.blocks.{}.ffn.down_proj", 1.0)),
)(SHORT, d_model=32, n_heads=4, n_layers=2, expansion_ratio=2, max_seq_len=32)
hard("dbrx", "Dbrx", adds=(4,), heads=4, neurons=(24,), outs=(("L{}.attn", "transformer.blocks.{}.norm_attn_norm.attn", 1.0), ("L{}.mlp", "transformer.blocks.{}.ffn", 1.0)))(
    SHORT, d_model=32, n_heads=4, n_layers=2, max_seq_len=32,
    attn_config={"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 2.0}, ffn_config={"ffn_hidden_size": 24, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 32},
)  # fmt: skip
hard("olmo2", "Olmo2", adds=(4,), heads=4, outs=NORMED)(SMALL, GROUPED)
hard("olmo3", "Olmo3", adds=(4,), heads=4, outs=NORMED)(
    SMALL, GROUPED, sliding_window=4, layer_types=["sliding_attention", "full_attention"]
)
hard("gemma3", "Gemma3", config="Gemma3Text", adds=(4,), heads=4, neurons=(48,), outs=NORMED)(
    SMALL, GROUPED, head_dim=8, sliding_window=4, layer_types=["sliding_attention", "full_attention"]
)
hard(
    "glm4",
    "Glm4",
    adds=(4,),
    heads=4,
    outs=(("L{}.attn", "model.layers.{}.post_self_attn_layernorm", 1.0), ("L{}.mlp", "model.layers.{}.post_mlp_layernorm", 1.0)),
)(SMALL, GROUPED, head_dim=8)
hard("minimax", "MiniMax", adds=(4,), heads=4, blocks=MIXED, outs=(("L{}.mlp", "model.layers.{}.mlp", 1.3), ("L1.attn", "model.layers.1.self_attn", 1.1), ("L0.mixer", "model.layers.0.self_attn", 1.2)), experts=(4, 48))(
    SMALL, GROUPED, num_local_experts=4, layer_types=TWO, block_size=4, mlp_alpha_factor=0.8, mlp_beta_factor=1.3,
    full_attn_alpha_factor=0.9, full_attn_beta_factor=1.1, linear_attn_alpha_factor=0.7, linear_attn_beta_factor=1.2,
)  # fmt: skip
hard("doge", "Doge", adds=(4,), heads=4, outs=BOTH)(SMALL, GROUPED)
hard("albert", "Albert", "ForMaskedLM", adds=(6,), blocks=("attn mlp",) * 3, heads=4)(
    SMALL, embedding_size=16, num_hidden_layers=3
)
hard("hrm", "HrmText", adds=(6, 6), blocks=(), heads=4, bypass=True)(
    SMALL,
    num_hidden_layers=6,
    head_dim=8,
    num_layers_per_stack=1,
    H_cycles=2,
    L_cycles=2,
    L_bp_cycles=[1, 1],
    embedding_scale=2.0,
)
hard("mamba2", "Mamba2", adds=(2,), blocks=("mixer",) * 2, neurons=(64,), outs=(("L{}.mixer", "backbone.layers.{}.mixer", 1.0),))(
    without("attention", "inter"), num_heads=8, head_dim=8, state_size=4, n_groups=2, chunk_size=4
)
FALCON = (
    ("L{}.mixer", "model.layers.{}.mamba", 1.4),
    ("L{}.attn", "model.layers.{}.self_attn", 0.7),
    ("L{}.mlp", "model.layers.{}.feed_forward", 1.0),
)
hard("falcon_h1", "FalconH1", adds=(4,), blocks=("mixer attn mlp",) * 2, heads=4, outs=FALCON)(
    SMALL, GROUPED, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_d_state=4, mamba_chunk_size=4, attention_out_multiplier=0.7,
    ssm_out_multiplier=1.4, mlp_multipliers=[0.9, 1.2], embedding_multiplier=1.5, lm_head_multiplier=0.8,
)  # fmt: skip
hard("zamba", "Zamba", adds=(4,), blocks=("mixer",) * 4, bypass=True, outs=(("L0.mixer", "model.layers.0.mamba", 1.0), ("L1.mixer", "model.layers.1.mamba_decoder.mamba", 1.0)))(
    SMALL, num_hidden_layers=4, num_key_value_heads=4, n_mamba_heads=2, use_mamba_kernels=False, mamba_d_state=4, mamba_dt_rank=4, attn_layer_period=2,
    attn_layer_offset=1, attention_hidden_size=64, attention_head_dim=16, layers_block_type=["linear_attention", "hybrid", "linear_attention", "hybrid"],
)  # fmt: skip
hard("zamba2", "Zamba2", adds=(3,), blocks=("mixer",) * 3, bypass=True, outs=(("L0.mixer", "model.layers.0.mamba", 1.0), ("L1.mixer", "model.layers.1.mamba_decoder.mamba", 1.0)))(
    SMALL, num_hidden_layers=3, num_key_value_heads=4, n_mamba_heads=4, mamba_d_state=4, mamba_ngroups=1, chunk_size=4, use_mamba_kernels=False,
    layers_block_type=["linear_attention", "hybrid", "linear_attention"], num_mem_blocks=1, adapter_rank=4,
)  # fmt: skip
hard(
    "rwkv",
    "Rwkv",
    adds=(4,),
    blocks=("mixer mlp",) * 2,
    outs=(("L{}.mixer", "rwkv.blocks.{}.attention", 1.0), ("L{}.mlp", "rwkv.blocks.{}.feed_forward", 1.0)),
)(without("attention"), attention_hidden_size=32, context_length=32, use_cache=False)
hard("qwen3_next", "Qwen3Next", adds=(4,), blocks=MIXED, heads=4, experts=(4, 12), outs=(("L0.mixer", "model.layers.0.linear_attn", 1.0), ("L1.attn", "model.layers.1.self_attn", 1.0), BOTH[1]))(
    SMALL, GROUPED, MOE, head_dim=8, layer_types=TWO, shared_expert_intermediate_size=10, linear_key_head_dim=4, linear_value_head_dim=4,
    linear_num_key_heads=2, linear_num_value_heads=4,
)  # fmt: skip
hard("kimi_linear", "KimiLinear", adds=(4,), blocks=MIXED, heads=4, experts=(4, 12), outs=(("L0.mixer", "model.layers.0.self_attn", 1.0), ("L1.attn", "model.layers.1.self_attn", 1.0), BOTH[1]))(
    SMALL, MOE, num_key_value_heads=4, kv_lora_rank=8, qk_rope_head_dim=4, v_head_dim=8, qk_nope_head_dim=4, layer_types=TWO, linear_head_dim=4,
    linear_num_heads=4, mlp_layer_types=["dense", "sparse"], num_experts_per_token=2,
)  # fmt: skip
hard("qwen2_moe", "Qwen2Moe", adds=(4,), heads=4, experts=(4, 12), neurons=(10,), outs=BOTH)(
    SMALL, GROUPED, MOE, shared_expert_intermediate_size=10
)
hard("qwen3_moe", "Qwen3Moe", adds=(4,), heads=4, experts=(4, 12), outs=BOTH)(SMALL, GROUPED, MOE, head_dim=8)
hard("deepseek_v2", "DeepseekV2", adds=(4,), heads=4, experts=(4, 12), neurons=(12, 48), outs=BOTH)(
    SMALL,
    LATENT,
    num_key_value_heads=4,
    n_routed_experts=4,
    num_experts_per_tok=2,
    moe_intermediate_size=12,
    n_shared_experts=1,
    first_k_dense_replace=1,
)
hard("deepseek_v3", "DeepseekV3", adds=(4,), heads=4, experts=(4, 12), neurons=(12, 48), outs=BOTH)(
    SMALL,
    LATENT,
    num_key_value_heads=4,
    n_routed_experts=4,
    num_experts_per_tok=2,
    moe_intermediate_size=12,
    n_shared_experts=1,
    first_k_dense_replace=1,
    n_group=2,
    topk_group=1,
)
hard("deepseek_v4", "DeepseekV4", adds=(4,), heads=4, experts=(4, 12), neurons=(12,))(
    without("inter"), q_lora_rank=12, head_dim=8, num_experts_per_tok=2, n_routed_experts=4, n_shared_experts=1, moe_intermediate_size=12,
    layer_types=["sliding_attention", "compressed_sparse_attention"], mlp_layer_types=["moe", "moe"], hc_mult=2, hc_sinkhorn_iters=3,
    sliding_window=4, o_groups=2, o_lora_rank=8, index_n_heads=2, index_head_dim=8, index_topk=4, num_nextn_predict_layers=0, num_key_value_heads=1,
)  # fmt: skip
hard("gpt_oss", "GptOss", adds=(4,), heads=4, experts=(4, 48), outs=BOTH)(
    SMALL, GROUPED, num_local_experts=4, num_experts_per_tok=2, head_dim=8, sliding_window=4, layer_types=["sliding_attention", "full_attention"],
    rope_parameters={"rope_type": "default", "rope_theta": 1e4},
)  # fmt: skip


def two_texts() -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A source and a target."""
    return (), {"input_ids": ids(), "decoder_input_ids": ids(length=5)}


CODED = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "d_model": 32,
         "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "decoder_start_token_id": 0, "forced_eos_token_id": 0}  # fmt: skip
CROSS = ("attn cross mlp",) * 2
WRITTEN = (
    ("dec.L{}.attn", "model.decoder.layers.{}.self_attn", 1.0), ("dec.L{}.cross", "model.decoder.layers.{}.encoder_attn", 1.0),
    ("dec.L{}.mlp", "model.decoder.layers.{}.fc2", 1.0), ("enc.L{}.attn", "model.encoder.layers.{}.self_attn", 1.0),
    ("enc.L{}.mlp", "model.encoder.layers.{}.fc2", 1.0),
)  # fmt: skip
hard(
    "bart",
    "Bart",
    "ForConditionalGeneration",
    two_texts,
    adds=(6, 4),
    blocks=CROSS,
    heads=4,
    neurons=(48,),
    outs=WRITTEN,
    bypass=True,
)(SHORT, CODED, max_position_embeddings=32)


def sound() -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Sixteen frames of sound and a text."""
    frames = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
    return (), {"input_features": frames, "decoder_input_ids": ids(length=5)}


hard(
    "whisper",
    "Whisper",
    "ForConditionalGeneration",
    sound,
    adds=(6, 4),
    blocks=CROSS,
    heads=4,
    neurons=(48,),
    outs=WRITTEN,
    bypass=True,
)(SHORT, CODED, num_mel_bins=6, max_source_positions=8, max_target_positions=16, begin_suppress_tokens=None)


def image(size: int) -> Make:
    """Images as the only argument. Parameters: `size`."""
    return lambda: ((pixels(size=size),), {})


hard("swin", "Swin", "ForImageClassification", image(16), adds=(8,), blocks=("attn mlp",) * 4)(
    image_size=16, patch_size=2, embed_dim=8, depths=[2, 2], num_heads=[2, 4], window_size=4, num_labels=3, drop_path_rate=0.0
)
hard("convnext", "ConvNext", "ForImageClassification", image(32), adds=(4,), blocks=("mixer",) * 4)(
    num_stages=2, hidden_sizes=[8, 12], depths=[2, 2], layer_scale_init_value=0.5, image_size=32, num_labels=3
)
hard("regnet", "RegNet", "ForImageClassification", image(32), adds=(4,), blocks=("conv",) * 4)(
    embedding_size=8, hidden_sizes=[8, 16], depths=[2, 2], groups_width=4, num_labels=3
)


def caption() -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Texts and images."""
    return (), {"input_ids": ids(), "pixel_values": pixels(size=8)}


TOWER = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
hard("clip", "CLIP", "Model", caption, adds=(4, 4), heads=4, bypass=True)(
    text_config={**SHORT, **TOWER, "max_position_embeddings": 16},
    vision_config={**TOWER, "image_size": 8, "patch_size": 4},
    projection_dim=8,
)
hard("xlnet", "XLNet", "LMHeadModel", adds=(4,), heads=4)(SHORT, d_model=32, n_layer=2, n_head=4, d_inner=48)
hard("bitnet", "BitNet", adds=(4,), heads=4, outs=BOTH)(SMALL, GROUPED)
