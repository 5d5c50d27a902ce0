"""Trains a transformer on text by transformers' Trainer, with looks at it on the way."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mainstem.measure import rotated_mean

from ._config import VariantConfig
from ._extras import needed
from ._kinds import TRANSFORMER, kind_named
from ._optimizers import clipped, optimizer, schedule
from ._outcome import Outcome
from ._setup import Setup, Training
from ._stream_use import lane_use, stream_use
from ._text import Text, text
from ._transformer import Variant
from ._watch import Row, Steps, alphas, looked

PROBES = 8  # rows that are looked at


def train_text(setup: Setup, seed: int, folder: Path | None = None) -> Outcome:
    """A trained transformer and what it came to: losses in nats a token, sizes, the stream at the end and on the way.

    Parameters: `setup`; `seed`, of weights and of the order of rows; `folder`, for checkpoints, from which it goes on.
    """
    needed("accelerate")
    rows = text(**setup.data)
    torch.manual_seed(seed)
    choices = {"vocab_size": rows.vocabulary, "n_positions": rows.train.shape[1], **setup.model}
    model = kind_named(choices.pop("kind", TRANSFORMER))(VariantConfig(**choices))
    model = model.double() if setup.training.precision == "float64" else model
    found: list[Row] = []
    began = time.monotonic()
    trained = _fit(model, rows, setup.training, seed, folder, found)
    seconds = time.monotonic() - began
    model.eval()
    last = list(_look(model, rows.held_out[:PROBES], setup.training.steps))
    found += [*last, *_use(model, rows.held_out[:PROBES], setup.training.steps)]
    numbers = {
        "eval_loss": held_out_loss(model, rows.held_out),
        "train_loss": trained,
        "unigram_loss": rows.unigram_loss,
        "parameters": float(model.num_parameters(only_trainable=True)),
        "tokens": float(setup.training.steps * setup.training.batch * rows.train.shape[1]),
        "hours": seconds / 3600,
        **_kurtosis(last, model.config.d_model),
    }
    return Outcome(model, numbers, found)


@torch.no_grad()
def held_out_loss(model: Variant, rows: Tensor, batch: int = 16) -> float:
    """Mean nats a token. Parameters: `model`; `rows` of ids; `batch`, rows at a time."""
    parts = [(float(model(some.to(model.device), labels=some.to(model.device)).loss), len(some)) for some in rows.split(batch)]
    return sum(loss * n for loss, n in parts) / sum(n for _, n in parts)


def _fit(model: Variant, rows: Text, training: Training, seed: int, folder: Path | None, found: list[Row]) -> float:
    """Trains in place and returns the mean loss of training."""
    from transformers import PrinterCallback, Trainer
    from transformers.trainer_utils import get_last_checkpoint

    using = optimizer(model, training, model.stream_axes(), seed)
    with tempfile.TemporaryDirectory() as nowhere:
        place = str(folder) if folder and training.checkpoint else nowhere
        trainer = Trainer(
            model=model,
            args=_arguments(training, seed, place),
            train_dataset=[{"input_ids": row, "labels": row} for row in rows.train],
            optimizers=(using, schedule(using, training)),
            callbacks=[_callback(model, rows, training, using, found)],
        )
        trainer.remove_callback(PrinterCallback)
        last = get_last_checkpoint(place) if Path(place).is_dir() else None
        return float(trainer.train(resume_from_checkpoint=last).training_loss)


def _arguments(training: Training, seed: int, place: str) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=place,
        max_steps=training.steps,
        per_device_train_batch_size=training.batch,
        max_grad_norm=0.0,  # clipped by our callback, which also says how long the gradient was
        seed=seed,
        data_seed=seed,
        use_cpu=not torch.cuda.is_available(),
        bf16=training.precision == "bfloat16",
        save_strategy="steps" if training.checkpoint else "no",
        save_steps=training.checkpoint or 1,
        save_total_limit=1,
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
    )


def _callback(model: Variant, rows: Text, training: Training, using: torch.optim.Optimizer, found: list[Row]) -> Any:
    """What the Trainer calls: clips, and looks at steps that are to be looked at."""
    from transformers import TrainerCallback

    steps = Steps(model.writers(), using)
    probes = rows.held_out[:PROBES]

    def due(state: Any) -> bool:
        return bool(training.watch) and state.global_step % training.watch == 0

    class Watching(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if due(state):
                model.eval()
                found.extend(_look(model, probes, state.global_step))
                found.append(Row(state.global_step, "eval_loss", "", held_out_loss(model, rows.held_out)))
                model.train()

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            length = clipped(model, training.clip)
            if due(state):
                found.append(Row(state.global_step, "gradient_norm", "", length))
                steps.begin()

        def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if due(state):
                found.extend(steps.end(state.global_step))

    return Watching()


@torch.no_grad()
def _look(model: Variant, probes: Tensor, step: int) -> Iterator[Row]:
    yield from looked(step, model.points(probes.to(model.device)))
    yield from alphas(step, model)


@torch.no_grad()
def _use(model: Variant, probes: Tensor, step: int) -> Iterator[Row]:
    """What the stream is used for, and its lane where it has one."""
    points = {name: x for name, x in model.points(probes.to(model.device)).items() if not name.endswith(".computation")}
    yield from stream_use(step, points, model.config.residual and model.config.placement == "pre")
    if model.config.d_embedding < model.config.d_model:
        yield from lane_use(step, points, model.config.d_embedding)


def _kurtosis(rows: list[Row], width: int) -> dict[str, float]:
    """Of the stream at the end: the mean over what leaves the blocks, that of the last, and what any vector has in a random basis."""
    left = [row.value for row in rows if row.name == "kurtosis" and row.site.endswith("resid_post")]
    random = float(rotated_mean(torch.tensor(width).double()))
    return {"kurtosis": sum(left) / len(left), "kurtosis_last": left[-1], "kurtosis_random": random}
