"""From image files and arrays to what a small image model reads, without transformers and torchvision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mainstem.core import InputError, LoadError


@dataclass(frozen=True)
class Pixels:
    """Resizes images to one size (bicubic, antialiased), and normalises them: (x / 255 - mean) / std in every channel.

    Called like an image processor of transformers. Parameters: `height` and `width`, in pixels; `mean` and `std`, of red,
    green and blue, for x / 255.
    """

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, path: Path) -> Pixels:
        """What a `preprocessor_config.json` says. Raises `LoadError` where it is missing. Parameters: `path`."""
        if not path.is_file():
            raise LoadError(f"{path.parent} lacks {path.name}: take another copy of it.")
        stored = json.loads(path.read_text(encoding="utf-8"))
        size = stored["size"]
        return cls(size["height"], size["width"], tuple(stored["image_mean"]), tuple(stored["image_std"]))

    def __call__(self, images: Sequence[Any] | np.ndarray, return_tensors: str = "pt") -> dict[str, Tensor]:
        """Pixel values [batch, channel, height, width] in float32.

        Parameters: `images`, PIL images of any size and mode, or arrays of bytes [height, width] or [height, width, channel];
        `return_tensors`, always "pt". Raises `InputError` for anything else.
        """
        if return_tensors != "pt":
            raise InputError(f"this processor returns torch tensors, return_tensors='pt', not {return_tensors!r}.")
        bytes_ = np.stack([np.asarray(self._resized(image)) for image in images])
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return {"pixel_values": ((torch.from_numpy(bytes_) / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()}

    def _resized(self, image: Any) -> Any:
        from PIL import Image

        picture = image if isinstance(image, Image.Image) else Image.fromarray(_bytes(image))
        return eight_bits(picture, "RGB").resize((self.width, self.height), Image.Resampling.BICUBIC)


def eight_bits(image: Any, mode: str) -> Any:
    """A PIL image in another mode; 16-bit greys are scaled, which PIL would clip to white.

    Parameters: `image`; `mode`, "RGB" or "L". Raises `InputError` for greys of which the range is not known.
    """
    from PIL import Image

    # PIL before 11.3 opened 16-bit files as "I".
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        levels = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise InputError(
            f"the image has numbers of {image.mode!r} mode, and nothing says which of them is white: "
            "scale it to 0 to 255 and save it as an 8-bit image."
        )
    try:
        return image.convert(mode)
    except ValueError as error:
        raise InputError(f"an image of mode {image.mode!r} cannot be read: save it as an 8-bit {mode} image.") from error


def _bytes(image: Any) -> np.ndarray:
    array = np.asarray(image) if isinstance(image, np.ndarray) else None
    if array is None or array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4))):
        what = type(image).__name__ if array is None else f"an array of {array.dtype} {list(array.shape)}"
        raise InputError(
            f"cannot read {what} as an image: give a file, a PIL image or an array of uint8 [height, width, 3]; "
            "pixel values that are normalised already as one float tensor [batch, channel, height, width]."
        )
    return array
