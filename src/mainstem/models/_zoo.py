"""Every architecture of the installed transformers release, small, random and lively."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mainstem.core import LoadError

from ._shrink import shrunk
from ._zoo_inputs import inputs
from ._zoo_special import CONFIGS

KINDS = {
    "causal": ("CAUSAL_LM",),
    "masked": ("MASKED_LM",),
    "seq2seq": ("SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ"),
    "image": ("IMAGE_CLASSIFICATION",),
    "audio": ("AUDIO_CLASSIFICATION", "CTC"),
}


@dataclass(frozen=True, order=True)
class Architecture:
    """A class of transformers. Parameters: `kind`, as in `KINDS`; `model_type`, of its configuration; `name`, of the class."""

    kind: str
    model_type: str
    name: str


@dataclass(frozen=True)
class Small:
    """A module and what it is called with. Parameters: `module`, `args`, `kwargs`."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def architectures(kinds: Iterable[str] = tuple(KINDS)) -> tuple[Architecture, ...]:
    """Every architecture that the auto classes of transformers know, each class once a kind.

    Parameters: `kinds`, of `KINDS`.
    """
    return tuple(dict.fromkeys(one for kind in kinds for one in _of(kind)))


def _of(kind: str) -> Iterator[Architecture]:
    from transformers.models.auto import modeling_auto

    types: dict[str, list[str]] = {}
    for task in KINDS[kind]:
        for model_type, names in getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES").items():
            for name in (names,) if isinstance(names, str) else names:
                types.setdefault(name, []).append(model_type)
    for name, several in types.items():
        yield Architecture(kind, max(several, key=lambda one: _stem(name).startswith(_stem(one))), name)


def _stem(name: str) -> str:
    """A name to compare with: a class that several model types share is taken with the one that it is called after."""
    return name.lower().replace("-", "").replace("_", "")


def small(architecture: Architecture) -> Small:
    """The architecture with small random weights, in eval mode and float32, and an input for it; the same each time.

    Parameters: `architecture`. Raises `LoadError` with the reason in one line where it cannot be built.
    """
    import transformers

    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        try:
            config = configuration(architecture)
            module = _module(getattr(transformers, architecture.name), config)
            return Small(liven(module).eval(), (), inputs(architecture, module, config))
        except Exception as error:
            line = " ".join(str(error).split()).partition(". ")[0][:300]
            raise LoadError(f"cannot be built small: {type(error).__name__}: {line}") from error


def configuration(architecture: Architecture) -> Any:
    """Its configuration made small. Parameters: `architecture`."""
    from transformers import CONFIG_MAPPING

    kind = CONFIG_MAPPING[architecture.model_type]
    special = CONFIGS.get(architecture.name) or CONFIGS.get(architecture.model_type) or {}
    if callable(special):
        return special(kind)
    default = _plain(_default(kind, special))
    if architecture.kind == "causal" and default.get("is_decoder") is False and not default.get("is_encoder_decoder"):
        special = {"is_decoder": True} | special
    config = kind(**shrunk(default, special))
    _settle(config)
    return _part(config, architecture.name)


def _default(kind: Any, special: dict[str, Any]) -> Any:
    """A configuration as it comes; some do not pass their own checks before they are made small."""
    try:
        return kind()
    except Exception:
        return kind(**special)


def _part(config: Any, name: str) -> Any:
    """Of a configuration with several parts, the one that the class is made of."""
    import transformers

    wanted = getattr(transformers, name).config_class
    parts = [getattr(config, key) for key, kind in config.sub_configs.items() if kind is wanted]
    return config if isinstance(config, wanted) or not parts else parts[0]


def _plain(config: Any) -> dict[str, Any]:
    """All that a configuration holds, those inside it as dictionaries."""
    from transformers import PretrainedConfig

    held = {key: value for key, value in vars(config).items() if not key.startswith("_") and key != "transformers_version"}
    return {
        key: _plain(value) | {"model_type": value.model_type} if isinstance(value, PretrainedConfig) else value
        for key, value in held.items()
    }


def _settle(config: Any) -> None:
    from transformers import PretrainedConfig

    if hasattr(config, "use_cache"):
        config.use_cache = False
    for value in vars(config).values():
        if isinstance(value, PretrainedConfig):
            _settle(value)


def _module(kind: Any, config: Any) -> nn.Module:
    """Built so that memory nobody initialised is NaN, which `liven` sees."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        return kind._from_config(config) if hasattr(kind, "_from_config") else kind(config)
    finally:
        torch.use_deterministic_algorithms(before)


def liven(module: nn.Module) -> nn.Module:
    """Gives every gain, bias, gate and running statistic values of its own, so that none of them can hide as 0 or 1.

    Parameters: `module`, changed in place.
    """
    with torch.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.is_floating_point() and tensor.numel():
                _enliven(name.rpartition(".")[2], tensor, isinstance(tensor, nn.Parameter))
    return module


def _enliven(name: str, tensor: torch.Tensor, weight: bool) -> None:
    if not bool(tensor.isfinite().all()) and weight:
        tensor.normal_(0, 0.2)
    flat = bool((tensor == tensor.flatten()[0]).all()) and (weight or name in ("running_mean", "running_var"))
    if not flat and not (weight and tensor.abs().max() < 1e-2):
        return
    noise = 0.2 * torch.randn_like(tensor)
    if name == "running_var":
        tensor.copy_(0.5 + noise.abs())
    else:
        tensor.copy_(noise + (tensor if tensor.abs().max() >= 1e-2 else 0.0))
