"""Trains a network on a table, in a plain loop: a trainer of language models has nothing to give here."""

import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._loop import batches, fit
from ._mlp import TableNet
from ._outcome import Outcome
from ._setup import Setup
from ._stream_use import stream_use
from ._tables import Table, table
from ._watch import Row, Writer, looked


def train_table(setup: Setup, seed: int, folder: Path | None = None) -> Outcome:
    """A trained network and what it came to, beside the constant predictor and linear regression on the same rows.

    Parameters: `setup`; `seed`, of the cut into rows to train and to test on, of weights and of the order of rows; `folder`, unused.
    """
    found = table(**{"split": seed, **setup.data})
    torch.manual_seed(seed)
    model = TableNet(found.x.shape[1], **setup.model)
    began = time.monotonic()

    def loss(rows: Tensor) -> Tensor:
        return F.mse_loss(model(found.x[rows]), found.y[rows])

    order = batches(len(found.x), setup.training, seed)
    writers = [Writer(layer.weight, None) for layer in model.down if isinstance(layer, nn.Linear)]
    rows = fit(model, setup.training, order, loss, lambda step: _look(model, found, step), writers)
    numbers = _numbers(model, found) | {"hours": (time.monotonic() - began) / 3600}
    with torch.no_grad():
        rows += [*_look(model, found, setup.training.steps)]
        rows += stream_use(setup.training.steps, model.points(found.test_x), model.residual)
    return Outcome(model, numbers, rows)


@torch.no_grad()
def _numbers(model: TableNet, found: Table) -> dict[str, float]:
    error = float(F.mse_loss(model(found.test_x), found.test_y))
    return {
        "mse": error,
        "r2": 1 - error / found.constant,
        "r2_linear": 1 - found.linear / found.constant,
        "mse_constant": found.constant,
        "mse_linear": found.linear,
        "train_mse": float(F.mse_loss(model(found.x), found.y)),
        "parameters": float(sum(p.numel() for p in model.parameters())),
    }


@torch.no_grad()
def _look(model: TableNet, found: Table, step: int) -> Iterator[Row]:
    yield from looked(step, model.points(found.test_x))
    yield Row(step, "mse", "", float(F.mse_loss(model(found.test_x), found.test_y)))
