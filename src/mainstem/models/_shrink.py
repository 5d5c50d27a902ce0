"""Configurations of transformers made small: every kind of layer is kept, every width is not."""

from typing import Any

VOCAB, WIDTH, HEADS, GROUPS, HEAD = 64, 32, 4, 2, 8

_SIZES = (
    (VOCAB, "vocab_size src_vocab_size tgt_vocab_size decoder_vocab_size vocab_size_per_layer_input codebook_vocab_size"),
    (
        WIDTH,
        "hidden_size d_model n_embd dim embedding_size word_embed_proj_dim hidden_dim text_hidden_size "
        "emb_dim hidden_size_global true_hidden_size d_latents input_embedding_size output_embedding_size entity_emb_size "
        "projection_dim classifier_proj_size output_hidden_size decoder_hidden_size audio_hidden_size adapter_in_dim "
        "adapter_out_dim adapter_input_size projector_hidden_size decoder_input_dim image_size projection_size adapter_dim",
    ),
    (
        48,
        "intermediate_size encoder_ffn_dim decoder_ffn_dim ffn_dim ffn_hidden_size d_ff d_inner n_inner dff dim_ff "
        "moe_intermediate_size shared_expert_intermediate_size expert_ffn_hidden_size feed_forward_size "
        "shared_intermediate_size shared_experts_intermediate_size speech_encoder_intermediate_size output_dim mlp_dim "
        "moe_shared_expert_intermediate_size intermediate_size_mlp feedforward_dim "
        "num_feed_forward_hidden dense_intermediate_size",
    ),
    (
        HEADS,
        "num_attention_heads n_head n_heads num_heads encoder_attention_heads decoder_attention_heads "
        "num_encoder_attention_heads num_decoder_attention_heads encoder_num_attention_heads decoder_num_attention_heads "
        "speech_encoder_attention_heads num_key_value_attention_heads",
    ),
    (
        2,
        "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_encoder_layers num_decoder_layers "
        "encoder_num_hidden_layers decoder_num_hidden_layers num_experts_per_tok num_experts_per_token moe_top_k moe_topk "
        "top_k_experts num_adapter_layers speech_decoder_prenet_layers speech_decoder_postnet_layers num_self_attends_per_block "
        "speech_encoder_layers num_global_layers num_blocks num_timestamp_prediction_layers conf_num_hidden_layers num_feed_forward_hidden num_feedforward_networks",
    ),
    (
        HEAD,
        "head_dim d_kv qk_nope_head_dim v_head_dim global_head_dim kv_channels attention_head_size swa_head_dim "
        "linear_head_dim patch_size linear_key_head_dim linear_value_head_dim mamba_d_state state_size ssm_state_size index_head_dim laurel_rank mamba_chunk_size chunk_size"
        " hidden_size_per_layer_input index_topk mamba_d_ssm",
    ),
    (
        4,
        "num_experts n_routed_experts num_local_experts moe_num_experts qk_rope_head_dim rotary_dim mamba_n_heads "
        "linear_num_heads num_conv_pos_embedding_groups num_groups window_size num_self_attention_heads num_cross_attention_heads "
        "linear_num_key_heads linear_num_value_heads index_n_heads zero_expert_num num_codebooks mamba_num_heads",
    ),
    (
        128,
        "max_position_embeddings n_positions n_ctx max_target_positions max_seq_len entity_vocab_size "
        "pronunciation_vocab_size shape_vocab_size audio_vocab_size codebook_size",
    ),
    (
        16,
        "kv_lora_rank q_lora_rank mamba_d_head mamba_head_dim lru_width o_lora_rank embed_dim num_conv_pos_embeddings "
        "subsampling_conv_channels num_mel_bins num_latents auxiliary_channels pronunciation_embed_dim shape_embed_dim "
        "t2u_variance_predictor_embed_dim t2u_variance_predictor_hidden_dim aspp_out_channels conv_channels xvector_output_dim "
        "input_feat_per_channel feature_size output_channels nemo_conv_channels ext_pw_out_channel "
        "depthwise_separable_out_channel num_filters downsample_hidden_size groups_width stem_out_channels intra_bottleneck_size",
    ),
    (32, "max_source_positions class_expand"),
)
SIZES = {key: size for size, keys in _SIZES for key in keys.split()}
DEPTHS = {key for key, size in SIZES.items() if size == 2 and "layer" in key}
# Numbers that are there for a few layers, groups or steps.
_CAPPED = {
    "first_k_dense_replace": 1,
    "num_dense_layers": 1,
    "moe_layer_start_index": 1,
    "n_group": 2,
    "topk_group": 1,
    "num_expert_group": 2,
    "n_groups": 2,
    "mamba_n_groups": 2,
}
# Multipliers of one would hide that they are there.
_LIVELY = {
    "initializer_range": 0.2,
    "init_std": 0.2,
    "residual_multiplier": 0.6,
    "embedding_multiplier": 1.7,
    "logits_scaling": 3.0,
    "attention_multiplier": 0.4,
}
_WIDTHS = (
    "hidden_sizes embed_dim embed_dims stage_in_channels stage_mid_channels stage_out_channels stem_channels "
    "base_attn_unit_dims neck_hidden_sizes"
)
# What has an entry a stage: widths, numbers of blocks, heads.
_STAGES: dict[str, Any] = (
    {key: lambda i, v: min(v, 16 * (i + 1)) for key in _WIDTHS.split()}
    | {key: lambda i, v: min(v, 2) for key in ("depths", "depth", "n_attn_blocks", "num_block_repeats", "block_sizes")}
    | {key: lambda i, v: min(v, 2 ** min(i, 2)) for key in ("num_heads", "num_attention_heads")}
    | {key: lambda i, v: min(v, 16) for key in ("conv_dim", "tdnn_dim")}
    | {"image_size": lambda i, v: 32}
)
_GROUPED = {"num_key_value_heads": "num_attention_heads", "num_kv_heads": "num_attention_heads", "kv_n_heads": "n_heads"}


def shrunk(default: dict[str, Any], special: dict[str, Any]) -> dict[str, Any]:
    """A small configuration of the kind of a default one.

    Parameters: `default`, the configuration as a dictionary, those inside it too; `special`, values to set whatever the rules
    say, nested like `default`.
    """
    small: dict[str, Any] = {}
    depth = (
        0
        if "depths" in default
        else next((default[key] for key in default if key in DEPTHS and isinstance(default[key], int)), 0)
    )
    lists = _condensed(default, depth)
    for key, value in default.items():
        if isinstance(value, dict) and _is_config(key, value):
            small[key] = shrunk(value, special.get(key) or {})
        elif key in lists:
            small[key] = lists[key]
        elif key in DEPTHS and isinstance(value, int):
            small[key] = len(next(iter(lists.values()))) if lists and value == depth else min(2, value)
        elif key in _STAGES and isinstance(value, (list, tuple)) and value and all(isinstance(v, int) for v in value):
            small[key] = [_STAGES[key](i, v) for i, v in enumerate(value)]
        elif (made := _scalar(key, value, default)) is not None:
            small[key] = made
    return small | {key: value for key, value in special.items() if not isinstance(value, dict) or key not in small}


def _is_config(key: str, value: dict[Any, Any]) -> bool:
    return "model_type" in value or key.endswith("_config") or key in ("encoder", "decoder", "text_encoder", "audio_encoder")


def _condensed(default: dict[str, Any], depth: int) -> dict[str, list[Any]]:
    """Lists with an entry a layer, cut to one layer of every kind, at least two."""
    lists = {
        key: value
        for key, value in default.items()
        if isinstance(value, (list, tuple)) and len(value) == depth > 2 and not key.startswith("_")
    }
    if not lists:
        return {}
    kinds = list(dict.fromkeys(zip(*(map(repr, value) for value in lists.values()), strict=True)))
    rows = list(zip(*lists.values(), strict=True))
    first = [next(row for row in rows if tuple(map(repr, row)) == kind) for kind in kinds][:6]
    kept = first * 2 if len(first) == 1 else first
    return {key: [row[i] for row in kept] for i, key in enumerate(lists)}


def _scalar(key: str, value: Any, default: dict[str, Any]) -> Any:
    if value is None:
        return {"head_dim": HEAD, "num_key_value_heads": HEADS, "vocab_size": VOCAB}.get(key)
    if isinstance(value, bool):
        return False if key == "use_cache" else None
    if key == "head_dim" and value == default.get("qk_rope_head_dim"):
        return SIZES["qk_rope_head_dim"]
    if isinstance(value, float):
        return _LIVELY.get(key) if key in ("initializer_range", "init_std") or value == 1.0 else None
    if not isinstance(value, int):
        return None
    if key in _CAPPED:
        return min(value, _CAPPED[key])
    if key in _GROUPED and isinstance(value, int):
        heads = default.get(_GROUPED[key]) or default.get("num_attention_heads")
        return HEADS if value == heads else min(value, GROUPS)
    if key.endswith(("_token_id", "_token_index")) and isinstance(value, int):
        return _token(key, value)
    if key in SIZES and isinstance(value, int):
        return min(value, SIZES[key]) if key not in ("vocab_size",) else SIZES[key]
    return None


def _token(key: str, value: int) -> int:
    """Special tokens keep apart from each other and from what is said."""
    names = ("pad", "bos", "eos", "decoder_start", "sep", "cls", "mask", "unk", "image", "audio", "video")
    return next((i for i, name in enumerate(names) if key.startswith(name)), 11 if value >= VOCAB else value)
