"""A goal as a direction on the output: what alternatives come to is a weighted sum of their logits and a constant."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.stream import Entries

from ._goal import Goal


@dataclass(frozen=True, eq=False)
class Choice:
    """The log-sum-exp of alternatives' logits as a sum that is linear in them, with the shares held at this output.

    log sum_A exp l_w = sum_A q_w l_w + H(q), q the softmax of l over A: exact at this output. For one token H is 0.

    `entries` are the shares, negative for what is held against; of the output's rows, zero where nothing is asked for, are
    `constant`, the entropies H, `value`, the left side, and `size`, what rounding is measured by: the absolute values of what
    `value` was made of, which can be far more than of the parts where both sides share a likely token.
    """

    entries: Entries
    constant: Tensor
    value: Tensor
    size: Tensor


def chosen(goal: Goal, output: Tensor) -> Choice:
    """A goal at an output, without the sum over every token where it is held against nothing: logits, no probabilities.

    Parameters: `goal`; `output`, at every position or at the one of each prompt alone.
    """
    sides = [_side(goal, output, goal.ids, goal.mask, 1.0)]
    if goal.against is not None and goal.against_mask is not None:
        sides.append(_side(goal, output, goal.against, goal.against_mask, -1.0))
    ids, shares, *numbers = (torch.cat(column, -1) for column in zip(*sides, strict=True))
    rows, shape = goal.rows(output), output.shape[:-1]
    every = ids.new_zeros(shape[0], ids.shape[-1])
    every[rows[0]] = ids  # rows without weight look at what their prompt's do, so that all may be of one kind
    every = every.reshape(shape[0], *[1] * (len(shape) - 1), -1).expand(*shape, -1).clone()
    every[rows] = ids
    constant, value, size = (_put(t.sum(-1), rows, shape) for t in numbers)
    return Choice(Entries(every, _put(shares, rows, shape)), constant, value, size)


def _side(goal: Goal, output: Tensor, ids: Tensor, mask: Tensor, sign: float) -> tuple[Tensor, ...]:
    """Ids and shares [place, alternative]; entropy, log-sum-exp and size [place, 1]. What cannot come takes no part."""
    logits = output[(*(row[:, None] for row in goal.rows(output)), ids)].masked_fill(~mask, -torch.inf)
    known = logits > -torch.inf
    value = logits.logsumexp(-1, keepdim=True)
    logs = (logits - value).masked_fill(~known, 0.0)
    shares = logs.exp().masked_fill(~known, 0.0)
    entropy = -(shares * logs).sum(-1, keepdim=True)
    size = sign * (entropy + (shares * logits.masked_fill(~known, 0.0)).abs().sum(-1, keepdim=True)) * (ids.shape[1] > 1)
    ids = torch.where(known, ids, ids.gather(-1, logits.argmax(-1, keepdim=True)))
    weights = sign * goal.weights.to(output.dtype)[:, None]
    return ids, *(torch.where(weights == 0, 0.0, weights * t) for t in (shares, entropy, value, size))


def _put(values: Tensor, rows: tuple[Tensor, ...], shape: torch.Size) -> Tensor:
    """Values of the places as a tensor of the output's rows. Parameters: `values`, [place, ...]; `rows`; `shape`."""
    return values.new_zeros(*shape, *values.shape[1:]).index_put(rows, values)
