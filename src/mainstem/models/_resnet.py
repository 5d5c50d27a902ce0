"""A ResNet of basic blocks in plain torch: the activation comes after the addition, as in He et al. (2015), arXiv:1512.03385."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from mainstem.core import LoadError

RESNET = "mainstem-resnet"  # the model_type of folders in this form


@dataclass(frozen=True)
class ResNetConfig:
    """The sizes of a ResNet and the names of its classes, as its `config.json` has them.

    Each stage has a width in `hidden_sizes` and a number of blocks in `depths`; all but the first halve height and width.
    """

    num_channels: int
    image_size: int
    hidden_sizes: tuple[int, ...]
    depths: tuple[int, ...]
    id2label: dict[int, str]

    @classmethod
    def read(cls, path: Path) -> ResNetConfig:
        """What a `config.json` says of these; everything else in it is ignored."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            stored["num_channels"],
            stored["image_size"],
            tuple(stored["hidden_sizes"]),
            tuple(stored["depths"]),
            {int(index): name for index, name in stored["id2label"].items()},
        )


class ConvNorm(nn.Module):
    """A convolution without a bias, and its batch norm."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class BasicBlock(nn.Module):
    """Two convolutions that are added to the stream; where its shape changes, the stream goes through a projection."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.shortcut = ConvNorm(n_in, n_out, 1, stride) if (n_in, stride) != (n_out, 1) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        write = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + write)


class Stage(nn.Module):
    """Blocks of one width; the first one makes it."""

    def __init__(self, n_in: int, n_out: int, depth: int, stride: int) -> None:
        super().__init__()
        later = (BasicBlock(n_out, n_out, 1) for _ in range(depth - 1))
        self.blocks = nn.Sequential(BasicBlock(n_in, n_out, stride), *later)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class ResNet(nn.Module):
    """A stem at full size that ends in max pooling, stages of basic blocks, the mean over all places, and a linear head."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.hidden_sizes
        self.stem = ConvNorm(config.num_channels, widths[0], 3)
        inside = (widths[0], *widths[:-1])
        strides = (1, *(2 for _ in widths[1:]))
        self.stages = nn.Sequential(*map(Stage, inside, widths, config.depths, strides))
        self.head = nn.Linear(widths[-1], len(config.id2label))

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Logits [batch, class] of normalised images [batch, channel, height, width]."""
        self._check_shape(tuple(pixel_values.shape))
        x = F.max_pool2d(F.relu(self.stem(pixel_values)), 2)
        return self.head(self.stages(x).mean((2, 3)))

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        wanted = (self.config.num_channels, self.config.image_size, self.config.image_size)
        if shape[1:] != wanted:
            raise ValueError(f"images are [batch, {', '.join(map(str, wanted))}] (channels, height, width), not {list(shape)}")


def load_resnet(folder: str | Path) -> ResNet:
    """The model stored in `folder` (config.json and model.safetensors), in float32 and eval mode.

    Raises `LoadError` where one of the two is missing.
    """
    folder = Path(folder)
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise LoadError(f"{folder} lacks {name}: take another copy of it.")
    with torch.device("meta"):  # the stored values are its first ones: no time and no random number goes into others
        model = ResNet(ResNetConfig.read(folder / "config.json"))
    stored = load_file(folder / "model.safetensors")
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in stored.items()}, assign=True)
    return model.eval().requires_grad_()
