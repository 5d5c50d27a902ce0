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
        return picture.convert("RGB").resize((self.width, self.height), Image.Resampling.BICUBIC)


def _bytes(image: Any) -> np.ndarray:
    array = np.asarray(image) if isinstance(image, np.ndarray) else None
    if array is None or array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4))):
        what = type(image).__name__ if array is None else f"an array of {array.dtype} {list(array.shape)}"
        raise InputError(
            f"cannot read {what} as an image: give a file, a PIL image or an array of uint8 [height, width, 3]; "
            "pixel values that are normalised already as one float tensor [batch, channel, height, width]."
        )
    return array
