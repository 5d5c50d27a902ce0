"""Memory management: neurons that write against what they read, and heads that take away what stands at their own token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.find import Write
from mainstem.stream import Matrices, Pass, find_write, head_of, matrices


@dataclass(frozen=True)
class Eraser:
    """A neuron or a head, and how far its weights take away what they read.

    Parameters: `component`, its label; `kind`, "neuron" or "head"; `key`, of the neuron's rows that read ("key", "gate", "up");
    `score`, of a neuron its cosine, of a head `eigenvalues` times `present`: near -1 for what erases; `cosine`, of what it reads
    with what it adds; `eigenvalues`, sum Re(l) / sum |l| over the eigenvalues l of W_V W_O; `present`, the head's mean attention
    to the token that it writes at.
    """

    component: str
    kind: str
    key: str | None
    score: float
    cosine: float | None = None
    eigenvalues: float | None = None
    present: float | None = None


@torch.no_grad()
def erasers(run: Pass, weights: Pass, real: Tensor | None = None) -> list[Eraser]:
    """Every neuron and head whose weights can be read, those that erase most first.

    Of a neuron cos(W_in, W_out) with the norm's gain in W_in, less its mean where a layer norm centres; of a head the eigenvalues
    of the d_head x d_head matrix W_V W_O. Both say what happens to what is read of the stream as far as it stands there when it
    is written to. Gated neurons have two rows that read: one whose "up" row is against what it adds erases wherever its gate is open.

    Parameters: `run`, whose attention is looked at; `weights`, a run to read weights off, best of one token; `real`, [batch, pos],
    which places are tokens, None for all. The first token of a prompt, which can look at nothing else, does not count.
    Raises `InputError` where nothing of the model can be read.
    """
    found: list[Eraser] = []
    for write in weights.stream.writes:
        made = matrices(weights, write)
        if made is not None:
            found += _heads(run, write, made, real) if len(made.sizes) == 2 else _neurons(made)
    if not found:
        raise InputError(
            "no weights of this model can be read as rows: it has no neurons or heads that read the stream by a matrix."
        )
    return sorted(found, key=lambda one: one.score)


@torch.no_grad()
def presence(run: Pass, labels: Sequence[str], real: Tensor | None = None) -> tuple[dict[str, float], int]:
    """Heads' mean attention to the token that they write at, and over how many tokens. Parameters: `run`; `labels`, of heads; `real`, as of `erasers`."""
    found, count = dict[str, float](), 0
    for label in labels:
        name, _, head = label.rpartition(".H")
        own, counted = _own(head_of(run, find_write(run.stream, name), int(head)).pattern(run), real)
        found[label], count = _mean(own, counted), int(counted.sum())
    return found, count


def _neurons(made: Matrices) -> Iterator[Eraser]:
    for key, reads in made.reads.items():
        if reads.shape == made.adds.shape:
            cosines = torch.nn.functional.cosine_similarity(reads.double(), made.adds.double(), dim=1)
            for i, value in enumerate(cosines.tolist()):
                yield Eraser(f"{made.write.label}.N{i}", "neuron", key, value, value)


def _heads(run: Pass, write: Write, made: Matrices, real: Tensor | None) -> Iterator[Eraser]:
    if "value" not in made.reads or made.reads["value"].shape[1] != made.adds.shape[1]:
        return
    count, width = made.sizes
    values, adds = (rows.double().unflatten(0, (-1, width)) for rows in (made.reads["value"], made.adds))
    values = values.repeat_interleave(count // len(values), 0)
    roots = torch.linalg.eigvals(values @ adds.mT)
    patterns = head_of(run, write, 0).patterns(run)
    for i, each in enumerate((roots.real.sum(-1) / roots.abs().sum(-1)).tolist()):
        present = _mean(*_own(patterns[:, i], real))
        yield Eraser(f"{made.write.label}.H{i}", "head", None, each * present, None, each, present)


def _own(pattern: Tensor, real: Tensor | None) -> tuple[Tensor, Tensor]:
    """Attention of tokens to themselves, and which count, the first of each prompt left out. Parameters: `pattern`, [batch, pos, key_pos]; `real`."""
    own = pattern.diagonal(dim1=-2, dim2=-1).double()
    counted = torch.ones_like(own, dtype=torch.bool) if real is None else real.to(own.device).bool().clone()
    counted[torch.arange(len(counted)), counted.int().argmax(1)] = False
    return own, counted


def _mean(own: Tensor, counted: Tensor) -> float:
    return float(own[counted].mean()) if bool(counted.any()) else torch.nan
