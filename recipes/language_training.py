"""How the embedded language models are trained: rows of text, Muon with AdamW, a checkpoint at every evaluation."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from muon import Muon, orthogonal
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from mainstem.models._gpt2 import GPT2

END = "<|endoftext|>"
PEAK, FLOOR, WARMUP, DECAY, EVALUATE_EVERY = 3e-3, 3e-5, 100, 0.05, 200

Curve = list[dict[str, float]]  # step, and the held-out loss on every kind of text


def train_tokenizer(texts: list[str], size: int, whole: set[str]) -> Tokenizer:
    """A byte-level BPE, with spaces attached to the words that follow them.

    Parameters: `texts`; `size`, of the vocabulary; `whole`, words that must be one token each.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    split = sorted(word for word in whole if len(tokenizer.encode(" " + word).ids) > 1)
    if split:
        raise SystemExit(f"{len(split)} names are more than one token; raise the vocabulary: {split}")
    return tokenizer


class Text:
    """Documents of one kind, laid end to end, each closed by the end-of-text token; and those kept for measuring."""

    def __init__(self, documents: list[str], tokenizer: Tokenizer, anywhere: float) -> None:
        end = tokenizer.token_to_id(END)
        ids = [[*encoding.ids, end] for encoding in tokenizer.encode_batch_fast(documents)]
        self.tokens = torch.tensor([token for row in ids for token in row])
        lengths = torch.tensor([len(row) for row in ids])
        self.starts, self.anywhere = lengths.cumsum(0) - lengths, anywhere

    def draw(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """Ids [count, length + 1]: a share of the rows starts anywhere, the others with a document, of those a tenth with an end.

        Parameters: `count`; `length`; `generator`, advanced.
        """
        last = len(self.tokens) - length - 1
        starts = self.starts[torch.randint(len(self.starts), (count,), generator=generator)]
        places = torch.randint(last, (count,), generator=generator)
        kind = torch.rand(count, generator=generator)
        starts = torch.where(kind < self.anywhere, places, starts - (kind > 0.9).long()).clamp(0, last)
        return self.tokens[starts[:, None] + torch.arange(length + 1)]


@dataclass
class Plan:
    """A training run: steps, and of every kind of text the rows of a step as (count, length)."""

    steps: int
    seed: int
    rows: dict[str, tuple[int, int]]
    done: int = 0
    curve: Curve = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return self.steps * sum(count * length for count, length in self.rows.values())

    @property
    def rate(self) -> float:
        """A linear warm-up, then half a cosine."""
        if self.done < WARMUP:
            return PEAK * (self.done + 1) / WARMUP
        done = (self.done - WARMUP) / max(1, self.steps - WARMUP)
        return FLOOR + (PEAK - FLOOR) * (1 + math.cos(math.pi * done)) / 2


def loss(model: GPT2, rows: Tensor) -> Tensor:
    """Mean nats a token, the products in bfloat16."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(rows[:, :-1])
    return F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())


def change(matrix: Tensor, momentum: Tensor, rate: float) -> None:
    """An orthogonal update with the size of one of AdamW's, so that both can share one learning rate."""
    update = orthogonal(momentum, torch.bfloat16) * 0.2 * max(matrix.shape) ** 0.5
    matrix.mul_(1 - rate * DECAY).sub_(update, alpha=rate)


def optimizers(model: GPT2) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the embeddings, norms and biases."""
    matrices = [parameter for parameter in model.transformer.h.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in model.parameters() if not any(parameter is matrix for matrix in matrices)]
    return [Muon(matrices, change, PEAK), torch.optim.AdamW(others, lr=PEAK, betas=(0.9, 0.98), weight_decay=DECAY)]


def train_step(model: GPT2, using: list[torch.optim.Optimizer], batch: list[Tensor], rate: float) -> None:
    """One update from the mean loss over all tokens of the batch's parts."""
    total = sum(rows.shape[0] * (rows.shape[1] - 1) for rows in batch)
    model.zero_grad()
    for rows in batch:
        (loss(model, rows) * (rows.shape[0] * (rows.shape[1] - 1) / total)).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in using:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()


@torch.no_grad()
def held_out_losses(model: GPT2, kept: dict[str, Text], lengths: dict[str, int]) -> dict[str, float]:
    """Mean nats a token on text that was kept back, the same rows each time, as long as those that are trained on."""
    generator = torch.Generator()
    means = {}
    for name, text in kept.items():
        generator.manual_seed(0)
        means[name] = sum(loss(model, text.draw(16, lengths[name], generator)).item() for _ in range(4)) / 4
    return means


def train(model: GPT2, told: dict[str, Text], kept: dict[str, Text], plan: Plan, checkpoint: Path) -> None:
    """Trains in place; goes on from the checkpoint if there is one, and removes it at the end.

    Parameters: `model`; `told` and `kept`, by kind of text; `plan`, whose curve is filled; `checkpoint`, a file.
    """
    using, generator = optimizers(model), torch.Generator().manual_seed(plan.seed)
    if checkpoint.is_file():
        _resume(torch.load(checkpoint, weights_only=True), model, using, generator, plan)
    lengths = {name: length for name, (_, length) in plan.rows.items()}
    began, first = time.monotonic(), plan.done
    while plan.done < plan.steps:
        batch = [told[name].draw(*shape, generator) for name, shape in plan.rows.items()]
        train_step(model, using, batch, plan.rate)
        plan.done += 1
        if plan.done % EVALUATE_EVERY == 0 or plan.done == plan.steps:
            plan.curve.append({"step": plan.done, **held_out_losses(model, kept, lengths)})
            _save(checkpoint, model, using, generator, plan)
            left = (time.monotonic() - began) / (plan.done - first) * (plan.steps - plan.done)
            print(*(f"{name} {value:.3g}" for name, value in plan.curve[-1].items()), f"{left:.0f} s left", flush=True)
    checkpoint.unlink()


def _save(path: Path, model: GPT2, using: list[torch.optim.Optimizer], generator: torch.Generator, plan: Plan) -> None:
    state = {
        "model": model.state_dict(),
        "optimizers": [one.state_dict() for one in using],
        "done": plan.done,
        "curve": plan.curve,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state | {"generator": generator.get_state()}, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def _resume(state: dict, model: GPT2, using: list[torch.optim.Optimizer], generator: torch.Generator, plan: Plan) -> None:
    model.load_state_dict(state["model"])
    for one, stored in zip(using, state["optimizers"], strict=True):
        one.load_state_dict(stored)
    generator.set_state(state["generator"])
    plan.done, plan.curve = state["done"], state["curve"]
    print(f"going on from step {plan.done}", flush=True)
