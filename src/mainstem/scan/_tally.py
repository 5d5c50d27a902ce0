"""Sums over examples, and what they come to: means with bootstrap intervals."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError

LOW, HIGH = 0.025, 0.975


class Tally:
    """Sums of values for every example: of each metric and each value of a curve, and of how many places they are."""

    def __init__(self) -> None:
        self.sums: dict[int, Tensor] = {}
        self.counts: dict[int, int] = {}

    def add(self, example: int, sums: Float[Tensor, "metric step"], count: int) -> None:
        """Adds what a part of an example came to. Parameters: `example`, its number; `sums`, over its places; `count`, of these."""
        self.sums[example] = self.sums[example] + sums if example in self.sums else sums
        self.counts[example] = self.counts.get(example, 0) + count

    def means(self, resamples: int, seed: int) -> Float[Tensor, "3 metric step"]:
        """The mean over places, and its 95 % bootstrap interval over examples, from the 2.5 % to the 97.5 % quantile.

        Of each resample, as many examples drawn with replacement, it is the sum of values over the number of places. One example
        has no interval (nan). Parameters: `resamples`, 0 for no interval; `seed`. Raises `InputError` where there are no examples.
        """
        order = sorted(self.sums)
        if not order:
            raise InputError("there is nothing in these data that a metric could be of: no next token, no label.")
        sums = torch.stack([self.sums[i] for i in order])
        counts = torch.tensor([self.counts[i] for i in order], dtype=sums.dtype)
        mean = sums.sum(0) / counts.sum()
        if resamples < 1 or len(order) < 2:
            nothing = torch.full_like(mean, torch.nan)
            return torch.stack([mean, nothing, nothing])
        drawn = torch.stack([w @ sums.flatten(1) / (w @ counts) for w in weights(len(order), resamples, seed)])
        ends = torch.quantile(drawn, torch.tensor([LOW, HIGH], dtype=sums.dtype), 0)
        return torch.stack([mean, *ends.unflatten(1, mean.shape)])


def weights(examples: int, resamples: int, seed: int) -> Iterator[Float[Tensor, " example"]]:
    """How often each example is drawn, for every resample. Parameters: `examples`; `resamples`; `seed`."""
    made = torch.Generator().manual_seed(seed)
    for _ in range(resamples):
        draw = torch.randint(examples, (examples,), generator=made)
        yield torch.bincount(draw, minlength=examples).double()
