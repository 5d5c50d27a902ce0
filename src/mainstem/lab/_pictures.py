"""Images to tell apart: scikit-learn's digits, or images that the user names."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from mainstem.core import InputError, whole

from ._extras import needed

DIGITS = "digits"
SIDE, CHANNELS = 32, 3  # of an image of CIFAR-10's binary version, behind a byte for its class
Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Pictures:
    """Images to train on and to test on.

    Parameters: `x` and `test_x` [image, channel, height, width], as they are stored; `y` and `test_y`, their classes; `mean` and `deviation` of
    each channel of those to train on; `mirrored`, whether an image may be turned left to right.
    """

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor
    mean: Tensor
    deviation: Tensor
    mirrored: bool = False

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(max(self.y.max(), self.test_y.max())) + 1

    def normal(self, x: Tensor) -> Tensor:
        """Images less the mean of each channel, over its deviation. Parameters: `x`, as they are stored."""
        return (x.float() - self.mean) / self.deviation


@lru_cache(maxsize=2)
def pictures(images: str = DIGITS, test: float = 0.2, kept: int = 0, mirrored: bool = False) -> Pictures:
    """Images to train on, and others to test on.

    Parameters: `images`, "digits" (8 x 8, with scikit-learn), the folder of CIFAR-10's binary version, or an .npz file with `x`, [image, height, width,
    channel] as bytes, and `y`, classes from 0, and where they are apart `test_x` and `test_y` likewise; `test`, the share of images that is kept
    to test on, the last, where they are not apart; `kept`, test on the first so many only, 0 for all; `mirrored`, turn half of the images left to right in training.

    Raises `InputError` for what is not there or holds something else, and for a share or number that cannot be.
    """
    whole("data.kept", kept, 0)
    if not 0 < test < 1:
        raise InputError(f"data.test is {test}: a share between 0 and 1.")
    held = _digits() if images == DIGITS else _read(Path(images))
    if len(held) == 2:
        x, y = held
        cut = int(len(x) * (1 - test))
        held = (x[:cut], y[:cut], x[cut:], y[cut:])
    x, y, test_x, test_y = held
    last = kept or len(test_x)
    return Pictures(x, y, test_x[:last], test_y[:last], *_scale(x), mirrored)


def _scale(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, one after another: of many images all as floats are too large."""
    found = [torch.std_mean(x[:, c].float()) for c in range(x.shape[1])]
    deviation, mean = (torch.stack(part)[:, None, None] for part in zip(*found, strict=True))
    return mean, deviation


def _digits() -> tuple[Tensor, ...]:
    found = needed("sklearn.datasets").load_digits()
    return torch.tensor(found.images, dtype=torch.float32)[:, None], torch.tensor(found.target)


def _read(path: Path) -> tuple[Tensor, ...]:
    parts = _binary(path) if path.is_dir() else _file(path)
    for x, y in parts:
        if x.ndim != 4 or len(x) != len(y):
            raise InputError(
                f"{path} holds x of {x.shape} and y of {y.shape}: x is [image, height, width, channel], y its classes."
            )
    return tuple(part for x, y in parts for part in (torch.tensor(x).permute(0, 3, 1, 2), torch.tensor(y, dtype=torch.long)))


def _file(path: Path) -> list[Arrays]:
    if not path.is_file():
        raise InputError(
            f"no images {path}: name 'digits', an .npz file with x [image, height, width, channel] and y, or the folder of CIFAR-10's binary version."
        )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return [(held["x"], held["y"]), *_apart(held)]
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:  # numpy's own words advise on pickles
        raise InputError(f"{path} holds no images: x [image, height, width, channel] and y are needed, as an .npz.") from error


def _apart(held: Mapping[str, np.ndarray]) -> list[Arrays]:
    return [(held["test_x"], held["test_y"])] if "test_x" in held else []


def _binary(folder: Path) -> list[Arrays]:
    train, test = sorted(folder.glob("data_batch_*.bin")), folder / "test_batch.bin"
    if not train or not test.is_file():
        raise InputError(
            f"{folder} is not CIFAR-10's binary version: data_batch_1.bin to data_batch_5.bin and test_batch.bin are needed."
        )
    return [_rows(train), _rows([test])]


def _rows(files: list[Path]) -> Arrays:
    row = 1 + CHANNELS * SIDE * SIDE
    held = [np.fromfile(file, np.uint8) for file in files]
    if broken := [file for file, one in zip(files, held, strict=True) if len(one) % row or not len(one)]:
        raise InputError(f"{broken[0]} does not hold images of {row} bytes each: it is cut short, or of another kind.")
    rows = np.concatenate(held).reshape(-1, row)
    return rows[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1), rows[:, 0]
