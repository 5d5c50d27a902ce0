"""Trained weights and real inputs: what the folders beside the repository and of `real_model` hold, and how it is read."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import nets

IMAGES = ("0294_n02132136_brown_bear", "0937_n07714990_broccoli", "0420_n02787622_banjo")


def photographs(shared: Path) -> list[str]:
    """Image files whose names begin with their class. Parameters: `shared`, the folder of assets."""
    return [str(shared / "images" / "imagenet_1000" / f"{name}.jpg") for name in IMAGES]


def resnet20(shared: Path) -> nn.Module:
    """The ResNet-20 whose weights were published, in our own hand-written form. Parameters: `shared`, the folder of assets."""
    held = torch.load(shared / "models" / "resnet20-12fca82f.th", map_location="cpu", weights_only=True)["state_dict"]
    module = nets.CifarResNet()
    module.load_state_dict({name.removeprefix("module."): value for name, value in held.items()})
    return module.eval()


def cifar(path: Path, count: int) -> tuple[Tensor, Tensor]:
    """Images, normalised as the ResNet-20's weights expect them, and labels. Parameters: `path`, an .npz; `count`, of images."""
    with np.load(path) as held:
        x, y = torch.tensor(held["x"][:count]), torch.tensor(held["y"][:count])
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((x / 255 - mean) / std).permute(0, 3, 1, 2).contiguous(), y.long()
