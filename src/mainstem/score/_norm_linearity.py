"""How nearly a norm is linear: what neurons read of the stream before its norm, beside their pre-activations."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mainstem.core import InputError, tracked
from mainstem.stream import Pass, graded, key_products

ROWS = ("raw", "centred")


@dataclass(frozen=True, eq=False)
class Linearity:
    """Over tokens, the correlation of x . K with the pre-activation of every neuron of a write.

    Parameters: `write`; `key`, its name; `row`, "raw" or "centred", which K; `tokens`, how many; `correlation`, [neuron], not a
    number where a neuron says the same at all of them.
    """

    write: str
    key: str
    row: str
    tokens: int
    correlation: Float[Tensor, "neuron"]


@graded
@torch.no_grad()
def norm_linearity(run: Pass, real: Bool[Tensor, "batch pos"] | None = None) -> list[Linearity]:
    """For every write of neurons with known keys: how well x . K, before the norm, tells the pre-activation (x . K_c) / sigma(x) + B.

    With the same sigma at all tokens the correlation of the centred rows is 1. Raises `InputError` where no neuron's key is known,
    and for fewer than two tokens.

    Parameters: `run`; `real`, which places are tokens, None for all.
    """
    found = []
    writes = [w for w in run.stream.writes if w.writer and any(s.keys and s.attention is None for s in w.writer.sources)]
    for write in tracked(writes, "norms", len(writes)):
        for name, raw, centred, activation in key_products(run, write):
            keep = slice(None) if real is None else real.flatten().to(activation.device)
            seen = activation.flatten(0, -2)[keep].double()
            if len(seen) < 2:
                raise InputError("a correlation over tokens needs two tokens or more.")
            for row, value in zip(ROWS, (raw, centred), strict=True):
                r = pearson(value.flatten(0, -2)[keep].double(), seen)
                found.append(Linearity(write.label, name, row, len(seen), r))
    if not found:
        raise InputError("no neuron of this model has a key that is known to be a row of weights on the stream.")
    return found


def pearson(a: Float[Tensor, "token neuron"], b: Float[Tensor, "token neuron"]) -> Float[Tensor, "neuron"]:
    """The correlation of columns, sum (a - mean a)(b - mean b) / sqrt(sum (a - mean a)^2 sum (b - mean b)^2). Parameters: `a`; `b`."""
    da, db = a - a.mean(0), b - b.mean(0)
    size = da.square().sum(0).sqrt() * db.square().sum(0).sqrt()
    return torch.where(size > 0, (da * db).sum(0) / size, torch.nan)
