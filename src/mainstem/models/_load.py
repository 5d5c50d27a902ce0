"""Models from the package, a folder, a hub id, or a module at hand. Nothing is downloaded but on an id, nothing is unpickled unasked."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from mainstem.core import LoadError

from ._embedded import Embedded, embedded, make, nearest, offered
from ._pixels import Pixels
from ._resnet import RESNET, load_resnet
from ._text import Codec


@dataclass
class Loaded:
    """A module ready to be run: its tokenizer or image processor where it has one, a name for people, and where it came from.

    `origin` is "embedded", "folder", "hub" or "module"; `source` the name, folder or id that it was asked for by; `revision`
    the hub's commit.
    """

    module: nn.Module
    name: str
    codec: Codec | None = None
    processor: Any = None
    origin: str = "module"
    source: str | None = None
    revision: str | None = None


def load(
    source: str | Path | nn.Module,
    tokenizer: Any = None,
    processor: Any = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    device_map: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    pickles: bool = False,
) -> Loaded:
    """Loads a model for reading: eval mode, weights checked to be finite.

    Parameters: `source`, the name of an embedded model (before a folder of that name; `./name` is the folder), a folder, a hub
    id or a module; `tokenizer` and `processor`, objects to use instead of the stored ones; `device`; `dtype`; `device_map`, as
    of accelerate; `revision`, of a hub id; `trust_remote_code`, run code that comes with the model; `pickles`, accept
    checkpoints that only exist as pickles, which can run code when read.

    Raises `LoadError` with the fix for a missing folder, broken or missing weights, a tokenizer of another model, NaN.
    """
    if not isinstance(source, (str, Path, nn.Module)):
        raise LoadError(f"cannot load {type(source).__name__}: give 'default', a folder, a hub id or a torch.nn.Module.")
    if isinstance(source, nn.Module):
        found = Loaded(source, type(source).__name__, _codec(tokenizer, source), processor)
    elif isinstance(source, str) and source in (known := embedded()):
        found = _embedded(known[source], tokenizer, processor)
    else:
        options = {"revision": revision, "trust_remote_code": trust_remote_code}
        found = _pretrained(str(source), tokenizer, processor, options, dtype, device_map, pickles)
    return _ready(found, device if device_map is None else None, dtype)


def _ready(found: Loaded, device: Any, dtype: Any) -> Loaded:
    kind = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if isinstance(dtype, str) and not isinstance(kind, torch.dtype):
        raise LoadError(f"no dtype {dtype!r}; take float32, bfloat16, float16 or float64.")
    if device is not None or kind is not None:
        try:
            found.module.to(device=device, dtype=kind)
        except (RuntimeError, AssertionError) as error:
            raise LoadError(f"cannot move the model to {device}: {_first_line(error)}") from error
    found.module.eval()
    for name, p in found.module.named_parameters():
        if p.is_meta:
            raise LoadError(
                f"weight {name} is on the meta device, without values: it was offloaded, or transformers found no place for it. "
                "transformers 4 loses a shared weight that is stored under its other name: upgrade to 5, or save the model again."
            )
        if p.is_floating_point() and not bool(p.isfinite().all()):
            raise LoadError(f"weight {name} holds NaN or inf: the checkpoint is broken. Take another copy of it.")
    return found


def _embedded(one: Embedded, tokenizer: Any, processor: Any) -> Loaded:
    module, codec, images = make(one)
    codec = codec if tokenizer is None else _codec(tokenizer, module)
    return Loaded(module, one.name, codec, images if processor is None else processor, "embedded", one.name)


def _pretrained(
    source: str, tokenizer: Any, processor: Any, options: dict[str, Any], dtype: Any, device_map: Any, pickles: bool
) -> Loaded:
    folder = Path(source)
    if not source.strip():
        raise LoadError(f"the model's name is empty. {offered(source)}")
    if folder.is_dir():
        _check_folder(folder, pickles)
        if _model_type(folder) == RESNET:
            return _own(folder, source, processor)
    elif folder.exists():
        raise LoadError(f"{source} is a file: name the folder that holds config.json and model.safetensors.")
    elif source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise LoadError(f"there is no folder {source}: check the path.")
    elif "/" not in source and nearest(source, alike=0.8):
        raise LoadError(
            f"cannot load {source!r}: there is no such folder, and no such model comes with mainstem. {offered(source)}"
        )
    module = _module(source, options, dtype, device_map, pickles)
    codec = _codec(tokenizer if tokenizer is not None else _stored(source, "AutoTokenizer", options), module)
    images = processor if processor is not None or codec is not None else _stored(source, "AutoImageProcessor", options)
    if folder.is_dir():
        return Loaded(module, folder.name or source, codec, images, "folder", source)
    return Loaded(module, folder.name, codec, images, "hub", source, _commit(source, options["revision"]))


def _model_type(folder: Path) -> str | None:
    stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return stored.get("model_type") if isinstance(stored, dict) else None


def _own(folder: Path, source: str, processor: Any) -> Loaded:
    """A folder in the form of the embedded image classifier, which transformers does not know."""
    try:
        module = load_resnet(folder)
        pixels = processor if processor is not None else Pixels.read(folder / "preprocessor_config.json")
    except (RuntimeError, KeyError, TypeError, ValueError, OSError) as error:
        raise LoadError(
            f"cannot load {source!r}: {_reason(error)}. Take weights and configuration from the same model."
        ) from error
    return Loaded(module, folder.name or source, None, pixels, "folder", source)


def _commit(source: str, revision: str | None) -> str | None:
    """The commit that a hub id was just read at, by the cache's own books: transformers 5 does not tell any more."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(source, "config.json", revision=revision)
    return Path(found).parent.name if isinstance(found, str) else None


def _check_folder(folder: Path, pickles: bool) -> None:
    """What can be said about a folder before anything of it is loaded."""
    config = folder / "config.json"
    if not config.is_file():
        raise LoadError(f"{folder} holds no config.json: it is not a model folder in Hugging Face format.")
    try:
        json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LoadError(f"{config} is not readable JSON ({error}): take another copy of it.") from error
    weights = sorted(folder.glob("*.safetensors"))
    if not weights and list(folder.glob("*.bin")) and not pickles:
        raise LoadError(
            f"{folder} holds only a pickled checkpoint, which can run code when read. If you trust it, pass pickles=True "
            "(--pickles), or save it again with safe_serialization."
        )
    if not weights and not pickles:
        raise LoadError(f"{folder} holds no .safetensors weights: copy or download model.safetensors into it.")
    for path in weights:
        _check_safetensors(path)
    _check_index(folder)


def _check_index(folder: Path) -> None:
    """Weights in several files are listed in an index; a copy that was broken off lacks some."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    try:
        files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise LoadError(f"{index} is not a readable index of weights: take another copy of it.") from error
    absent = sorted(name for name in files if not (folder / name).is_file())
    if absent:
        raise LoadError(f"{folder} lacks {absent[0]}, which {index.name} names: copy or download it again.")


def _check_safetensors(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as stored:
            list(stored.keys())
    except (SafetensorError, OSError) as error:
        raise LoadError(f"{path} is broken or half-written ({_first_line(error)}): copy or download it again.") from error


def _module(source: str, options: dict[str, Any], dtype: Any, device_map: Any, pickles: bool) -> nn.Module:
    import transformers

    quiet, bars = transformers.logging.get_verbosity(), transformers.utils.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        transformers.utils.logging.disable_progress_bar()
    more = {"device_map": device_map} if device_map is not None else {}
    try:
        config = transformers.AutoConfig.from_pretrained(source, **options)
        kind = _class(transformers, config)
        module, report = kind.from_pretrained(
            source,
            dtype=dtype or "auto",
            use_safetensors=None if pickles else True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            **options,
            **more,
        )
    except Exception as error:  # a broken folder fails in as many ways as there are classes that read it
        raise LoadError(f"cannot load {source!r}: {_reason(error)} {_offline_hint(source)}".strip()) from error
    finally:
        transformers.logging.set_verbosity(quiet)
        if bars:
            transformers.utils.logging.enable_progress_bar()
    _check_weights(source, type(module).__name__, report)
    return module


def _check_weights(source: str, kind: str, report: dict[str, Any]) -> None:
    """What was not in the checkpoint, or did not fit, would be random."""
    missing, other = sorted(report.get("missing_keys", ())), sorted(report.get("mismatched_keys", ()))
    if other:
        name, stored, wanted = other[0]
        sizes = f"{tuple(stored)} in the checkpoint and {tuple(wanted)} by config.json"
        raise LoadError(f"{source}: weight {name} is {sizes}: take both from the same model.")
    if missing:
        count = f"{len(missing)} weights" if len(missing) > 1 else "a weight"
        raise LoadError(f"{source} lacks {count} of {kind} ({missing[0]}): take another copy, they would be random.")


def _class(transformers: Any, config: Any) -> Any:
    for name in config.architectures or ():
        if hasattr(transformers, name):
            return getattr(transformers, name)
    auto = getattr(config, "auto_map", None) or {}
    return next((getattr(transformers, name) for name in auto if name.startswith("AutoModel")), transformers.AutoModel)


def _stored(source: str, kind: str, options: dict[str, Any]) -> Any:
    """The tokenizer or image processor that lies beside the weights, or None."""
    import transformers

    names = {
        "AutoTokenizer": ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")
    }
    folder = Path(source)
    wanted = names.get(kind, ("preprocessor_config.json",))
    if folder.is_dir() and not any((folder / name).is_file() for name in wanted):
        return None
    try:
        return getattr(transformers, kind).from_pretrained(source, **options)
    except Exception as error:  # as above
        if not folder.is_dir():
            return None
        what = "tokenizer" if kind == "AutoTokenizer" else "image processor"
        raise LoadError(f"the {what} in {source} cannot be read ({_reason(error)}): take another copy of it.") from error


def _codec(tokenizer: Any, module: nn.Module) -> Codec | None:
    if tokenizer is None or isinstance(tokenizer, Codec):
        return tokenizer
    codec = Codec(tokenizer, _limit(module), _rows(module))
    largest = max(tokenizer.get_vocab().values(), default=0)
    if codec.size is not None and largest >= codec.size:
        raise LoadError(
            f"the tokenizer has ids up to {largest}, the model only {codec.size} embeddings: they do not belong together. "
            "Put the model's own tokenizer into its folder, or pass tokenizer=..."
        )
    return codec


def _limit(module: nn.Module) -> int | None:
    config = getattr(module, "config", None)
    for name in ("max_position_embeddings", "n_positions", "max_sequence_length"):
        if isinstance(found := getattr(config, name, None), int) and found > 0:
            return found
    return None


def _rows(module: nn.Module) -> int | None:
    try:
        return int(module.get_input_embeddings().weight.shape[0])  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        return None


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


def _reason(error: BaseException) -> str:
    """The first line of an error, with its class where the line alone says nothing."""
    if "trust_remote_code=True" in str(error):
        return "it comes with code of its own. If you trust it, pass trust_remote_code=True (--trust-remote-code)."
    if isinstance(error, (UnpicklingError, EOFError)):
        return "its pickled checkpoint is broken: copy or download it again."
    line = _first_line(error)
    return f"{type(error).__name__}: {line}" if isinstance(error, (KeyError, AttributeError, TypeError)) else line


def _offline_hint(source: str) -> str:
    if Path(source).is_dir():
        return ""
    hint = "Is the name right, and the hub reachable? A local folder needs its path, such as ./model."
    return hint if "/" in source else f"{hint} {offered(source)}"
