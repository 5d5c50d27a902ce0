"""What is predicted, place by place: the tokens, what they are held against, and which cell of the result a place belongs to."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Goal:
    """What is predicted, place by place. A place is one row of the output that is scored.

    Parameters: `places`, [place, 2], prompt and position, or [place, 1] where the output is [batch, class]; `ids`,
    [place, alternative]; `mask`, [place, alternative], False where a place has fewer alternatives; `against`, the same for
    what it is held against, None for every token (a log-probability); `against_mask`; `weights`, [place], 1, or 0 for places
    of padding; `owner`, [place], which cell of the result a place is summed into; `shape`, of the result behind the component
    axis: (batch,) or (batch, pos); `text`, the target in words, one for each prompt where they differ.
    """

    places: Tensor
    ids: Tensor
    mask: Tensor
    against: Tensor | None
    against_mask: Tensor | None
    weights: Tensor
    owner: Tensor
    shape: tuple[int, ...]
    text: str | tuple[str, ...]

    def logits(self, output: Float[Tensor, "batch *pos vocab"]) -> Float[Tensor, "place vocab"]:
        """The rows of an output that are scored. Parameters: `output`, at every position or at the one of each prompt alone."""
        return output[self.rows(output)]

    def rows(self, output: Float[Tensor, "batch *pos vocab"]) -> tuple[Tensor, ...]:
        """An index of the places in an output. Parameters: `output`, at every position or at the one of each prompt alone."""
        columns = zip(self.places.unbind(1), output.shape, strict=False)
        return tuple(column if size > 1 else torch.zeros_like(column) for column, size in columns)

    def value(self, logits: Float[Tensor, "*rest place vocab"]) -> Float[Tensor, "*rest place"]:
        """The number that is scored at every place, in nats: log p of the target, or its log-odds.

        log sum_{w in ids} exp l_w - log sum_{w in against} exp l_w, the second sum over every token where nothing is named.

        Parameters: `logits`, those of the places, such as `logits(output)`, or several sets of them.
        """
        wanted = _logsumexp(logits, self.ids, self.mask)
        if self.against is None:
            return wanted - logits.logsumexp(-1)
        assert self.against_mask is not None
        return wanted - _logsumexp(logits, self.against, self.against_mask)

    def ranks(self, logits: Float[Tensor, "place vocab"]) -> Float[Tensor, "place"]:
        """How many tokens are likelier than the target at every place, 0 where it is the likeliest; of alternatives, than the likeliest.

        Parameters: `logits`, those of the places.
        """
        wanted = self.best(logits.gather(-1, self.ids))
        limit = wanted + 64 * torch.finfo(logits.dtype).eps * (1 + wanted.abs())  # what is nearer than that is as likely
        return (logits > limit[:, None]).sum(-1).to(logits.dtype)

    def best(self, picked: Float[Tensor, "row alternative"], where: Tensor | slice = slice(None)) -> Float[Tensor, "row"]:
        """The highest of the target's own logits. Parameters: `picked`, those of its tokens; `where`, the place of every row."""
        return picked.masked_fill(~self.mask[where], -torch.inf).amax(-1)

    def at(self, where: Tensor) -> "Goal":
        """The goal at some of its places, each for itself. Parameters: `where`, which ones, repeated as often as wanted."""
        against = None if self.against is None else self.against[where]
        against_mask = None if self.against_mask is None else self.against_mask[where]
        order = torch.arange(len(where), device=where.device)
        ones = torch.ones_like(self.weights[where])
        return Goal(
            self.places[where], self.ids[where], self.mask[where], against, against_mask, ones, order, (len(where),), self.text
        )

    def total(self, values: Float[Tensor, "*rest place"]) -> Float[Tensor, "..."]:
        """Values of the places summed into the cells of the result; padding adds nothing, whatever stands there.

        Parameters: `values`.
        """
        weighed = torch.where(self.weights == 0, 0.0, values * self.weights.to(values.dtype))
        cells = values.new_zeros(*values.shape[:-1], math.prod(self.shape))
        return cells.index_add(-1, self.owner, weighed).reshape(*values.shape[:-1], *self.shape)

    @property
    def positions(self) -> tuple[int, ...] | None:
        """The scored position of every prompt, of a sequence the first; None where all are kept, and where there are none."""
        if self.places.shape[1] != 2 or len(self.shape) != 1:
            return None
        found = torch.full(self.shape, torch.iinfo(torch.long).max, device=self.places.device)
        return tuple(found.scatter_reduce(0, self.owner, self.places[:, 1], "amin").tolist())


def _logsumexp(logits: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    picked = logits.gather(-1, ids.expand(*logits.shape[:-1], -1))
    return picked.masked_fill(~mask, -torch.inf).logsumexp(-1)
