"""From prompts, ids and images to what a module is called with: padding, masks and positions that agree."""

import inspect
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mainstem.core import InputError

from ._load import Loaded
from ._pixels import eight_bits


@dataclass
class Inputs:
    """Arguments for a module, and how people read them: pieces of text, which places are real, the last real one."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    ids: Tensor | None = None
    mask: Tensor | None = None
    prompts: tuple[str, ...] = ()
    sizes: tuple[int, ...] = field(default=())

    @property
    def last(self) -> Tensor | None:
        """The last real position of every prompt, None where there are no positions."""
        if self.ids is None:
            return None
        if self.mask is None:
            return torch.full((self.ids.shape[0],), self.ids.shape[1] - 1, device=self.ids.device)
        places = torch.arange(self.mask.shape[1], device=self.mask.device)
        return (self.mask * places).argmax(1)


def prepare(loaded: Loaded, data: Any, padding: str = "right", **more: Any) -> Inputs:
    """The inputs for text, ids, images or tensors.

    Parameters: `loaded`; `data`, one text or several, ids as lists or tensors, images as tensors [batch, channel, height,
    width], files or PIL images; `padding`, "right" or "left", for prompts of different lengths; `more`, passed to the module.

    Raises `InputError` for empty or too long prompts, wrong image sizes, text without a tokenizer.
    """
    if padding not in ("right", "left"):
        raise InputError(f"padding is 'right' or 'left', not {padding!r}.")
    several = list(data) if isinstance(data, (list, tuple)) else [data]
    if not several:
        raise InputError("there is nothing to trace: give a prompt, ids or an image.")
    if all(isinstance(item, str) for item in several) and loaded.codec is not None:
        return _ids(loaded, [loaded.codec.encode(item) for item in several], padding, tuple(several), more)
    if isinstance(data, Tensor):
        return _tensor(loaded, data, padding, more)
    if all(isinstance(item, int) for item in several):
        return _ids(loaded, [several], padding, (), more)
    if all(isinstance(item, (list, tuple)) for item in several):
        return _ids(loaded, [list(item) for item in several], padding, (), more)
    if loaded.processor is not None:
        return _images(loaded, several, more)
    raise InputError(_unread(loaded, several[0]))


def _unread(loaded: Loaded, item: Any) -> str:
    if isinstance(item, Path) and loaded.codec is not None:
        return f"{loaded.name} reads text, not images: give it a prompt."
    if isinstance(item, Path) and not item.is_file():
        return f"there is no image {item}."
    if isinstance(item, str) and hasattr(getattr(loaded.module, "config", None), "num_channels"):
        return f"{loaded.name} reads images, not text: give it an image (--image FILE)."
    if isinstance(item, Path):
        return f"images need a processor: put preprocessor_config.json into the folder of {loaded.name}, or pass processor=... to load."
    if isinstance(item, str):
        return f"text needs a tokenizer: put tokenizer.json into the folder of {loaded.name}, pass tokenizer=... to load, or trace token ids."
    return f"cannot read {type(item).__name__} as input: {_reads(loaded)}."


def _reads(loaded: Loaded) -> str:
    """What a model reads, in words."""
    if loaded.codec is not None:
        return f"{loaded.name} reads text, or token ids such as [3, 4, 5]"
    if reads_images(loaded):
        return f"{loaded.name} reads images: give floats that are normalised, [batch, channel, height, width], or an image file or array"
    if hasattr(getattr(loaded.module, "config", None), "vocab_size"):
        return f"{loaded.name} reads token ids, such as [3, 4, 5]"
    return "give text, token ids, images or a tensor"


def reads_images(loaded: Loaded) -> bool:
    """Whether images are what a model reads. Parameters: `loaded`."""
    channels = hasattr(getattr(loaded.module, "config", None), "num_channels")
    return loaded.codec is None and (loaded.processor is not None or channels)


def advice(loaded: Loaded, inputs: Inputs) -> str:
    """What could be wrong with an input that a model could not be run with; nothing where it looks right.

    Parameters: `loaded`; `inputs`, that failed.
    """
    config = getattr(loaded.module, "config", None)
    if inputs.ids is not None and reads_images(loaded):
        return f" {_reads(loaded)}."
    if inputs.ids is not None:
        count = getattr(config, "vocab_size", None)
        beyond = isinstance(count, int) and bool(((inputs.ids < 0) | (inputs.ids >= count)).any())
        return f" Token ids go from 0 to {count - 1}." if count and beyond else ""
    size = getattr(config, "image_size", None)
    if len(inputs.sizes) == 4 and size is not None and inputs.sizes[2:] not in (size, (size, size)):
        got = " x ".join(map(str, inputs.sizes[2:]))
        return f" The image came to {got}, the model reads {size}: set that size in preprocessor_config.json, or resize."
    ids = loaded.codec is not None or hasattr(config, "vocab_size")
    if inputs.sizes and ids and getattr(loaded.module, "main_input_name", "input_ids") == "input_ids":
        return f" {_reads(loaded)}, and no floats."
    return ""


def _tensor(loaded: Loaded, data: Tensor, padding: str, more: dict[str, Any]) -> Inputs:
    if data.is_floating_point():
        if not bool(data.isfinite().all()):
            raise InputError("the input holds NaN or inf.")
        if data.ndim < 2 or not data.numel():
            raise InputError(f"the input has shape {tuple(data.shape)}: give [batch, ...] with at least one row.")
        weight = next((p for p in loaded.module.parameters() if p.is_floating_point()), data)
        return Inputs((data.to(weight),), more, sizes=tuple(data.shape))
    if data.ndim == 0 or not data.shape[0]:
        raise InputError(f"the input has shape {tuple(data.shape)}: give [batch, ...] with at least one row.")
    rows = data.unsqueeze(0) if data.ndim == 1 else data
    return _ids(loaded, [row.tolist() for row in rows], padding, (), more)


def _ids(loaded: Loaded, rows: Sequence[list[Any]], padding: str, prompts: tuple[str, ...], more: dict[str, Any]) -> Inputs:
    for row in rows:
        if loaded.codec is not None:
            if not all(isinstance(token, Integral) for token in row):
                raise InputError(f"{_reads(loaded)}: whole numbers, in one list for every prompt.")
            loaded.codec.check([int(token) for token in row])
        elif not row:
            raise InputError("the prompt has no tokens: give at least one.")
    device = next((p.device for p in loaded.module.parameters()), torch.device("cpu"))
    ids, mask = (t.to(device) for t in _filled(rows, loaded.codec.pad if loaded.codec else 0, padding == "left"))
    given = more.get("attention_mask")
    if isinstance(given, Tensor) and given.shape == mask.shape:
        mask = given.to(mask)
    known = None if bool(mask.all()) else mask
    return Inputs((), _named(loaded.module, ids, known) | _decoder(loaded.module, ids, more), ids, known, prompts)


def _filled(rows: Sequence[list[Any]], pad: int, left: bool) -> tuple[Tensor, Tensor]:
    """Rows made equally long, and which of their places are real."""
    width = max(map(len, rows))
    filled = [[pad] * (width - len(r)) + r if left else r + [pad] * (width - len(r)) for r in rows]
    real = [[0] * (width - len(r)) + [1] * len(r) if left else [1] * len(r) + [0] * (width - len(r)) for r in rows]
    return torch.tensor(filled), torch.tensor(real)


def _named(module: nn.Module, ids: Tensor, mask: Tensor | None) -> dict[str, Any]:
    """By the names of the module's own parameters; positions are said where padding stands before the text."""
    known = inspect.signature(module.forward).parameters
    first = next(iter(known), "input_ids")
    named: dict[str, Any] = {"input_ids" if "input_ids" in known else first: ids}
    if mask is not None:
        if "attention_mask" not in known:
            raise InputError(
                "this module takes no attention_mask: prompts of different lengths can't be traced together. Trace them one by one."
            )
        named["attention_mask"] = mask
        if "position_ids" in known and not bool(mask[:, 0].all()):
            named["position_ids"] = (mask.cumsum(1) - 1).clamp_min(0)
    return named


def _decoder(module: nn.Module, ids: Tensor, more: dict[str, Any]) -> dict[str, Any]:
    """A decoder that was given nothing to say starts with its start token."""
    config = getattr(module, "config", None)
    if not getattr(config, "is_encoder_decoder", False) or "decoder_input_ids" in more:
        return more
    start = getattr(config, "decoder_start_token_id", None) or 0
    return more | {"decoder_input_ids": torch.full((ids.shape[0], 1), start, device=ids.device)}


def _images(loaded: Loaded, several: list[Any], more: dict[str, Any]) -> Inputs:
    from PIL import Image

    mode = "L" if getattr(getattr(loaded.module, "config", None), "num_channels", 3) == 1 else "RGB"
    opened = []
    for item in several:
        picture = _opened(loaded, item) if isinstance(item, (str, Path)) else item
        opened.append(eight_bits(picture, mode) if isinstance(picture, Image.Image) else picture)
    pixels = loaded.processor(images=opened, return_tensors="pt")["pixel_values"]
    inputs = _tensor(loaded, pixels, "right", more)
    inputs.prompts = tuple(str(item) for item in several)
    return inputs


def _opened(loaded: Loaded, path: str | Path) -> Any:
    """The image in a file, read to its end."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        most = Image.MAX_IMAGE_PIXELS or 0
        raise InputError(f"the image {str(path)!r} is too large: resize it to at most {most:,} pixels.") from error
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(path, str) and not os.path.exists(path):
            raise InputError(
                f"cannot read {path!r} as an image: {loaded.name} reads images, not text, and there is no file of that name. "
                "Give a PNG or JPEG file (--image FILE)."
            ) from error
        reason = getattr(error, "strerror", None) or str(error).partition(" '")[0]
        raise InputError(f"cannot read {str(path)!r} as an image ({reason}): give a PNG or JPEG file.") from error


def example(loaded: Loaded) -> Inputs:
    """An input to map a model with: a sentence, ids or pixels of its own form.

    Parameters: `loaded`. Raises `InputError` for a module of which neither is known.
    """
    if loaded.codec is not None:
        found = prepare(loaded, "The quick brown fox jumps over the lazy dog.")
        if "decoder_input_ids" in found.kwargs and found.ids is not None:
            found.kwargs["decoder_input_ids"] = found.ids[:, :4]
        return found
    module, config = loaded.module, getattr(loaded.module, "config", None) or object()
    if hasattr(config, "vocab_size"):
        rows = torch.arange(1, 9) % max(2, int(config.vocab_size))
        decoder: dict[str, Any] = {"decoder_input_ids": rows[None, :4]} if getattr(config, "is_encoder_decoder", False) else {}
        return prepare(loaded, rows[None], **decoder)
    if hasattr(config, "num_channels"):
        size = getattr(config, "image_size", None) or 64
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        generator = torch.Generator().manual_seed(0)
        return prepare(loaded, torch.randn(2, config.num_channels, height, width, generator=generator))
    raise InputError(
        f"the form of {type(module).__name__}'s input is not known: map it with one of your own, model.map_with(*inputs), or trace one."
    )
