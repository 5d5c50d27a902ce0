"""Trains a small ResNet, and takes its last blocks away one after another."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from mainstem.find import Patch, find
from mainstem.find import run as run_edited
from mainstem.stream import patches, zero

from ._loop import batches, fit
from ._outcome import Outcome
from ._pictures import Pictures, pictures
from ._resnet import SmallResNet
from ._setup import Setup
from ._watch import Row, looked

PROBES, BATCH = 64, 250


def train_images(setup: Setup, seed: int, folder: Path | None = None) -> Outcome:
    """A trained ResNet, its accuracy on images that were kept back, and that without its last blocks and without its first.

    Parameters: `setup`; `seed`, of weights, of the order of images and of their shifts; `folder`, unused.
    """
    found = pictures(**setup.data)
    torch.manual_seed(seed)
    model = SmallResNet(found.x.shape[1], found.classes, **setup.model)
    draw = torch.Generator().manual_seed(seed)
    began = time.monotonic()

    def loss(rows: Tensor) -> Tensor:
        return F.cross_entropy(model(moved(found.normal(found.x[rows]), draw, found.mirrored)), found.y[rows])

    order = batches(len(found.x), setup.training, seed)
    rows = fit(model, setup.training, order, loss, lambda step: _look(model, found, step))
    hours = (time.monotonic() - began) / 3600
    rows += _look(model, found, setup.training.steps)
    numbers = {"accuracy": accuracy(model, found), "hours": hours}
    numbers["parameters"] = float(sum(p.numel() for p in model.parameters()))
    if model.blocks[0].residual:
        numbers |= curves(model, found)
    return Outcome(model, numbers, rows)


@torch.no_grad()
def accuracy(model: SmallResNet, found: Pictures, changed: Sequence[Patch] = ()) -> float:
    """Share of the images kept back that are told right. Parameters: `model`; `found`; `changed`, in each forward pass."""
    right = 0
    for x, y in zip(found.test_x.split(BATCH), found.test_y.split(BATCH), strict=True):
        x = found.normal(x)
        logits = run_edited(model, (x,), {}, patches=changed).result if changed else model(x)
        right += int((logits.argmax(-1) == y).sum())
    return right / len(found.test_y)


def curves(model: SmallResNet, found: Pictures) -> dict[str, float]:
    """Accuracy without the writes of the last k blocks, `tail_k`, and of the first k, `head_k`, k = 0 none; and the mean of each curve.

    Parameters: `model`; `found`.
    """
    mapped = find(model, found.normal(found.test_x[:2]))
    labels = [write.label for write in mapped.main.writes if write.kind != "skip"]
    numbers: dict[str, float] = {}
    for name, order in (("tail", labels[::-1]), ("head", labels)):
        values = [accuracy(model, found, patches(mapped, zero(*order[:k]) if k else None)) for k in range(len(order) + 1)]
        numbers |= {f"{name}_{k}": value for k, value in enumerate(values)}
        numbers[f"{name}_mean"] = sum(values) / len(values)
    return numbers


@torch.no_grad()
def _look(model: SmallResNet, found: Pictures, step: int) -> Iterator[Row]:
    yield from looked(step, model.points(found.normal(found.test_x[:PROBES])))
    yield Row(step, "accuracy", "", accuracy(model, found))


def moved(x: Tensor, draw: torch.Generator, mirrored: bool) -> Tensor:
    """Each image shifted by up to an eighth of its side, what comes in being the mean.

    Parameters: `x` [image, channel, height, width], normalised; `draw`; `mirrored`, also turn each left to right or not, by a throw.
    """
    side = x.shape[-1]
    most = max(1, side // 8)
    padded = F.pad(x, (most,) * 4)
    top, left = torch.randint(2 * most + 1, (2, len(x), 1), generator=draw)
    across = torch.arange(side)
    rows, columns = top + across, left + across
    if mirrored:
        turned = torch.randint(2, (len(x), 1), generator=draw).bool()
        columns = torch.where(turned, columns.flip(1), columns)
    images, channels = torch.arange(len(x))[:, None, None, None], torch.arange(x.shape[1])[:, None, None]
    return padded[images, channels, rows[:, None, :, None], columns[:, None, None, :]]
