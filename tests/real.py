"""Trained weights and real inputs: what the folders beside the repository and of `real_model` hold, and how it is read."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import mainstem as ms
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


HELD = {"default", "default-image", "tiny", "tinystories-656k", "smollm2", "resnet50"}


def model(source: str | Path) -> ms.Model:
    """A trained model that tests only read. Those of `HELD` are loaded and proved once for all files that one process runs.

    Parameters: `source`, the name of an embedded model, or a folder. Fails where a test before has changed the weights: what is
    changed, edited for good or mapped with other inputs is to be loaded by the test itself.
    """
    if Path(source).name not in HELD:
        return ms.load(source)
    made, before = _held(str(source))
    assert _state(made) == before, f"a test before this one has changed {source}, which all tests share"
    return made


@cache
def _held(source: str) -> tuple[ms.Model, list[Any]]:
    made = ms.load(source)
    return made, _state(made)


def _state(made: ms.Model) -> list[Any]:
    """Of every weight where it lies, how often it was written to, and whether it is trained; without reading the numbers."""
    tensors = (*made.module.named_parameters(), *made.module.named_buffers())
    return [made.module.training, *((name, t.data_ptr(), t._version, t.requires_grad) for name, t in tensors)]
