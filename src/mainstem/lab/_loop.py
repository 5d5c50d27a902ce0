"""A plain training loop with looks at the model on the way."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from ._optimizers import clipped, optimizer, schedule
from ._setup import Training
from ._watch import Row, Steps, Writer


def batches(rows: int, training: Training, seed: int) -> Iterator[Tensor]:
    """Indices of the rows of each step: all once an epoch in a new order, the same for the same seed.

    Parameters: `rows`, how many; `training`; `seed`.
    """
    draw = torch.Generator().manual_seed(seed)
    waiting = torch.empty(0, dtype=torch.long)
    for _ in range(training.steps):
        while len(waiting) < training.batch:
            waiting = torch.cat([waiting, torch.randperm(rows, generator=draw)])
        yield waiting[: training.batch]
        waiting = waiting[training.batch :]


def fit(
    model: nn.Module,
    training: Training,
    order: Iterable[Tensor],
    loss: Callable[[Tensor], Tensor],
    look: Callable[[int], Iterable[Row]],
    writers: Iterable[Writer] = (),
) -> list[Row]:
    """Trains in place and returns what was seen.

    Parameters: `model`; `training`; `order`, indices of each step; `loss` of those; `look` at the model before a step; `writers`, of
    which updates are watched.
    """
    using = optimizer(model, training, {})
    rates, steps, seen = schedule(using, training), Steps(writers, using), list[Row]()
    model.train()
    for step, rows in enumerate(order):
        due = bool(training.watch) and step % training.watch == 0
        if due:
            model.eval()
            seen += look(step)
            model.train()
        using.zero_grad()
        loss(rows).backward()
        length = clipped(model, training.clip)
        if due:
            seen.append(Row(step, "gradient_norm", "", length))
            steps.begin()
        using.step()
        rates.step()
        if due:
            seen += steps.end(step)
    model.eval()
    return seen
