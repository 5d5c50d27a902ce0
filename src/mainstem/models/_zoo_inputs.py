"""Inputs for the architectures of the zoo: two rows, at least six places."""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ._shrink import VOCAB

_BATCH, _LENGTH, _FRAMES, _SAMPLES = 2, 7, 64, 2400
_SAID = 12  # ids below are special
_MEL = "num_mel_bins feature_projection_input_dim input_feat_per_channel feature_size input_dim audio_feature_dim".split()
# Sound as [batch, mel, time]; all others have it as [batch, time, mel].
_MEL_FIRST = (
    "whisper audioflamingo3 musicflamingo qwen2_audio voxtral voxtral_realtime qwen3_asr glmasr moss_transcribe_diarize".split()
)


def inputs(architecture: Any, module: nn.Module, config: Any) -> dict[str, Any]:
    """What the architecture is called with. Parameters: `architecture`; `module`, built; `config`, its configuration."""
    known = inspect.signature(module.forward).parameters
    if architecture.model_type in SPECIAL:
        return SPECIAL[architecture.model_type](config)
    main = getattr(module, "main_input_name", "input_ids")
    if architecture.kind in ("causal", "masked") or (main == "input_ids" and architecture.kind == "seq2seq"):
        made = {"input_ids": ids(config)}
    elif architecture.kind == "image":
        made = {"pixel_values": pixels(config)}
    elif main == "input_values":
        made = {"input_values": noise(_BATCH, _SAMPLES)}
    else:
        mel = next(
            (found for held in _inside(config) for name in _MEL if isinstance(found := getattr(held, name, None), int)), 80
        )
        shape = (mel, _FRAMES) if architecture.model_type in _MEL_FIRST else (_FRAMES, mel)
        made = {"input_features": noise(_BATCH, *shape)}
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


def pixels(config: Any) -> Tensor:
    """Images of the size that the configuration, or one inside it, says. Parameters: `config`."""
    size = next((found for held in _inside(config) if (found := getattr(held, "image_size", None))), 32)
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    channels = next((found for held in _inside(config) if (found := getattr(held, "num_channels", None))), 3)
    return noise(_BATCH, channels, height, width)


def _inside(config: Any) -> Iterator[Any]:
    """A configuration and those inside it."""
    from transformers import PretrainedConfig

    yield config
    for value in vars(config).values():
        if isinstance(value, PretrainedConfig):
            yield from _inside(value)


def _siglip2(config: Any) -> dict[str, Any]:
    side = config.vision_config.patch_size
    return {
        "pixel_values": noise(_BATCH, 16, 3 * side * side),
        "pixel_attention_mask": torch.ones(_BATCH, 16, dtype=torch.int32),
        "spatial_shapes": torch.tensor([[4, 4]] * _BATCH),
    }


def _codebooks(config: Any) -> dict[str, Any]:
    said = ids(config).repeat_interleave(config.num_codebooks, 0)
    return {"input_ids": (said + torch.arange(len(said))[:, None]) % VOCAB}


def _with_sound(config: Any) -> dict[str, Any]:
    frames = _LENGTH * config.downsample_factor * 2
    return {"input_ids": ids(config), "input_features": noise(_BATCH, config.audio_config.num_mel_bins, frames)}


def _dialogue(config: Any) -> dict[str, Any]:
    rows = [ids(config.decoder_config, 6 + i)[:, :6] for i in range(config.decoder_config.num_channels)]
    return {"input_ids": ids(config.encoder_config), "decoder_input_ids": torch.stack(rows, -1)}


def _assistant(config: Any) -> dict[str, Any]:
    text = config.text_config
    kv = {
        kind: tuple(noise(_BATCH, heads, _LENGTH, width + 0 * i) for i in range(2))
        for kind, heads, width in (
            ("sliding_attention", text.num_key_value_heads, text.head_dim),
            ("full_attention", text.num_key_value_heads, getattr(text, "global_head_dim", None) or text.head_dim),
        )
    }
    return {
        "inputs_embeds": noise(_BATCH, _LENGTH, 2 * config.backbone_hidden_size),
        "shared_kv_states": kv,
        "position_ids": torch.arange(_LENGTH)[None].expand(_BATCH, -1),
    }


def _channels(config: Any) -> dict[str, Any]:
    return {"input_ids": torch.stack([ids(config, _LENGTH + i)[:, :_LENGTH] for i in range(config.num_codebooks + 1)], -1)}


SPECIAL: dict[str, Any] = {
    "siglip2": _siglip2,
    "poolformer": lambda config: {"pixel_values": noise(_BATCH, 3, 64, 64)},  # its last stage pools more than one place
    "imagegpt": lambda config: {"input_ids": ids(config)},
    "shieldgemma2": lambda config: {"input_ids": ids(config)},
    "audio-spectrogram-transformer": lambda config: {"input_values": noise(_BATCH, config.max_length, config.num_mel_bins)},
    "granite_speech5_ctc": lambda config: {"input_features": noise(_BATCH, 64, 4 * config.encoder_config.num_mel_bins)},
    "speech-encoder-decoder": lambda config: {
        "input_values": noise(_BATCH, _SAMPLES),
        "decoder_input_ids": ids(config.decoder, 6),
    },
    "voxtral_realtime": _with_sound,
    "dia": _dialogue,
    "gemma4_assistant": _assistant,
    "gemma4_unified_assistant": _assistant,
    "kyutai_speech_to_text": _channels,
    "musicgen": _codebooks,
    "musicgen_melody": _codebooks,
}
