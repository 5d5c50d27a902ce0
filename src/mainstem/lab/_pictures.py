"""Images to tell apart: scikit-learn's digits, or a file of images that the user names."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mainstem.core import InputError

from ._extras import needed

DIGITS = "digits"


@dataclass(frozen=True)
class Pictures:
    """Images [image, channel, height, width], normalised by those to train on, their classes, and how many classes there are."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: int


@lru_cache(maxsize=2)
def pictures(images: str = DIGITS, test: float = 0.2) -> Pictures:
    """Images to train on, and the last of them kept to test on.

    Parameters: `images`, "digits" (8 x 8, with scikit-learn) or an .npz file with `x`, [image, height, width, channel] as bytes, and `y`,
    classes from 0, such as CIFAR-10's; `test`, the share that is kept.

    Raises `InputError` for a file that is not there or holds something else.
    """
    x, y = _digits() if images == DIGITS else _file(Path(images))
    cut = int(len(x) * (1 - test))
    mean, deviation = x[:cut].mean((0, 2, 3), keepdim=True), x[:cut].std((0, 2, 3), keepdim=True)
    x = (x - mean) / deviation
    return Pictures(x[:cut], y[:cut], x[cut:], y[cut:], int(y.max()) + 1)


def _digits() -> tuple[Tensor, Tensor]:
    found = needed("sklearn.datasets").load_digits()
    return torch.tensor(found.images, dtype=torch.float32)[:, None], torch.tensor(found.target)


def _file(path: Path) -> tuple[Tensor, Tensor]:
    if not path.is_file():
        raise InputError(f"no images {path}: name 'digits' or an .npz file with x [image, height, width, channel] and y.")
    try:
        with np.load(path, allow_pickle=False) as held:
            x, y = held["x"], held["y"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} does not hold images ({error}): x [image, height, width, channel] and y are needed.") from error
    if x.ndim != 4 or len(x) != len(y):
        raise InputError(f"{path} holds x of {x.shape} and y of {y.shape}: x is [image, height, width, channel], y its classes.")
    return torch.tensor(x, dtype=torch.float32).permute(0, 3, 1, 2) / 255, torch.tensor(y, dtype=torch.long)
