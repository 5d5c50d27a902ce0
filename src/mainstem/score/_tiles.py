"""Products of many rows with an unembedding, a tile of the vocabulary at a time: never rows x vocabulary at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from ._goal import Goal

_TILE = 2**19  # numbers of a tile: 4 MB in float64, which a processor's cache holds
_WIDE = 2**24  # the same on an accelerator, where each product is started from here
ROWS = 1024  # rows that are multiplied with one tile
_ROUNDINGS = 64  # eps times what a logit is made of: what is nearer to the target's is as likely


@dataclass(frozen=True, eq=False)
class Unembedding:
    """Logits y -> factor * (matrix y + bias), in float64 whatever the weights are stored in.

    Parameters: `matrix`, [vocab, d_model]; `bias`, [vocab], or None; `factor`, above zero.
    """

    matrix: Float[Tensor, "vocab d_model"]
    bias: Float[Tensor, "vocab"] | None
    factor: float = 1.0

    def tiles(self, dtype: torch.dtype = torch.float64) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """Rows of the vocabulary, with where they begin and their bias; the factor is in both.

        What a tile holds is gone when the next one is taken: it is made where that was. Parameters: `dtype`, of the tiles.
        """
        step, size = self.step(dtype), self.matrix.shape
        plain = self.matrix.dtype == dtype and self.factor == 1
        held = self.matrix if plain else self.matrix.new_empty(min(step, size[0]), size[1], dtype=dtype)
        for first in range(0, size[0], step):
            here = self.matrix[first : first + step]
            if not plain:
                here = held[: len(here)].copy_(here)
                here = here if self.factor == 1 else here.mul_(self.factor)
            bias = None if self.bias is None else self.factor * self.bias[first : first + step].to(dtype)
            yield first, here, bias

    def step(self, dtype: torch.dtype = torch.float64) -> int:
        """Rows of a tile. Parameters: `dtype`, of the tiles."""
        most = _TILE if self.matrix.device.type == "cpu" else _WIDE
        return max(1, most * 8 // dtype.itemsize // max(self.matrix.shape[1], ROWS))

    @cached_property
    def longest(self) -> float:
        """A number that no row of the matrix is longer than, whatever the sums of squares were rounded to."""
        width, precision = self.matrix.shape[1], torch.promote_types(self.matrix.dtype, torch.float32)
        info, lengths = torch.finfo(precision), torch.linalg.vector_norm(self.matrix, dim=-1, dtype=precision)
        return float(lengths.max()) * (1 + (width + 8) * info.eps) + (width * info.tiny) ** 0.5

    @cached_property
    def masked(self) -> bool:
        """Whether a token is ruled out, by a bias of -inf."""
        return self.bias is not None and bool(self.bias.isneginf().any())

    @cached_property
    def shift(self) -> float:
        """The largest finite number that is added to a logit, factor included."""
        if self.bias is None:
            return 0.0
        return self.factor * float(torch.where(self.bias.isfinite(), self.bias, 0.0).double().abs().max())

    def at(self, rows: Float[Tensor, "row d_model"], ids: Tensor) -> Float[Tensor, "row entry"]:
        """A few logits of every row. Parameters: `rows`; `ids`, [row, entry]."""
        found = (self.matrix[ids].double() @ rows[..., None]).squeeze(-1)
        return self.factor * (found if self.bias is None else found + self.bias[ids].double())

    def logsumexp(self, rows: Float[Tensor, "row d_model"]) -> Float[Tensor, "row"]:
        """log sum over the vocabulary of exp(logit), of every row. Parameters: `rows`."""
        total = rows.new_full(rows.shape[:1], -torch.inf)
        for _, matrix, bias in self.tiles():
            for some, part in zip(total.split(ROWS), rows.split(ROWS), strict=True):
                logits = part @ matrix.T if bias is None else torch.addmm(bias, part, matrix.T)
                some.copy_(torch.logaddexp(some, logits.logsumexp(-1)))
        return total

    def ranks(self, rows: Float[Tensor, "row d_model"], where: Tensor, goal: Goal) -> Float[Tensor, "row"]:
        """How many tokens are likelier than the target, at every row. Parameters: as of `value`."""
        found, wanted = rows.new_zeros(rows.shape[:1]), goal.best(self.at(rows, goal.ids[where]), where)
        limit = wanted + _ROUNDINGS * torch.finfo(rows.dtype).eps * (1 + self.factor * self.longest * rows.norm(dim=-1))
        for _, matrix, bias in self.tiles():
            for some, part, most in zip(found.split(ROWS), rows.split(ROWS), limit.split(ROWS), strict=True):
                logits = part @ matrix.T if bias is None else torch.addmm(bias, part, matrix.T)
                some.add_((logits > most[:, None]).sum(1))
        return found

    def value(self, rows: Float[Tensor, "row d_model"], where: Tensor, goal: Goal) -> Float[Tensor, "row"]:
        """What is scored, at every row. Parameters: `rows`; `where`, [row], the place of the goal that each is read at; `goal`."""
        return self.chosen(rows, where, goal, self.logsumexp(rows) if goal.against is None else None)

    def chosen(self, rows: Tensor, where: Tensor, goal: Goal, every: Tensor | None) -> Float[Tensor, "row"]:
        """The same where the sum over the vocabulary is known. Parameters: as of `value`; `every`, log-sum-exp of every row."""
        wanted = _some(self.at(rows, goal.ids[where]), goal.mask[where])
        if goal.against is not None and goal.against_mask is not None:
            return wanted - _some(self.at(rows, goal.against[where]), goal.against_mask[where])
        assert every is not None
        return wanted - every


def _some(logits: Tensor, mask: Tensor) -> Tensor:
    return logits.masked_fill(~mask, -torch.inf).logsumexp(-1)
