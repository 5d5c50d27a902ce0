"""How fast what is read changes with what a point holds: the gradient of the score at any vector of the stream."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ._goal import Goal
from ._norm import Norm
from ._reading import Asked, Normed, Reading
from ._survey import read, survey

Slope = tuple[Float[Tensor, "row"], Float[Tensor, "row d_model"]]


def slopes(reading: Reading, asked: Sequence[Asked], goal: Goal) -> list[Slope]:
    """What is read at every row, and its gradient there. Parameters: `reading`; `asked`; `goal`.

    Of a norm and a matrix in closed form: the gradient of log p by the logits' input n is E_q[U] - E_p[U], q the softmax over the
    target's alternatives, p the prediction (or that over what the target is held against); then n's transposed Jacobian. Of
    any other readout by reverse mode through it.
    """
    return _closed(reading, asked, goal) if isinstance(reading, Normed) else _reverse(reading, asked, goal)


def _closed(reading: Normed, asked: Sequence[Asked], goal: Goal) -> list[Slope]:
    at, matrix = survey(reading, asked), reading.unembedding
    where = torch.cat([each[1] for each in asked])

    def expected(ids: Tensor, mask: Tensor) -> Tensor:
        shares = matrix.at(at.normed, ids).masked_fill(~mask, -torch.inf).softmax(-1)
        return (shares[:, None] @ matrix.matrix[ids].double()).squeeze(1)

    against = at.mean
    if goal.against is not None and goal.against_mask is not None:
        against = expected(goal.against[where], goal.against_mask[where])
    g = matrix.factor * (expected(goal.ids[where], goal.mask[where]) - against)
    sizes = [len(each[1]) for each in asked]
    values = read(reading, at, where, goal).split(sizes)
    found = []
    for (t, places, rows), value, some in zip(asked, values, g.split(sizes), strict=True):
        scale = None if reading.scale is None else reading.scale[places]
        found.append((value, transposed(reading.norms[t], rows, some, scale)))
    return found


def transposed(
    norm: Norm, x: Float[Tensor, "row d_model"], g: Float[Tensor, "row d_model"], scale: Float[Tensor, "row"] | None = None
) -> Float[Tensor, "row d_model"]:
    """g through the transposed Jacobian of a norm at x: C (gain g) / s - C C x <C x, gain g> / (d s^3), the first alone where s is given.

    Parameters: `norm`; `x`; `g`; `scale`, of every row.
    """
    inner, centred = norm.centre(norm.gain * g), norm.centre(x)
    s = (norm.scale(x) if scale is None else scale)[:, None]
    if scale is not None or not norm.scaled:
        return inner / s
    return inner / s - norm.centre(centred) * (centred * g * norm.gain).sum(-1, keepdim=True) / (x.shape[-1] * s**3)


def _reverse(reading: Reading, asked: Sequence[Asked], goal: Goal) -> list[Slope]:
    with torch.enable_grad():
        leaves = [(t, where, rows.detach().requires_grad_()) for t, where, rows in asked]
        values = reading.values(leaves, goal)
        found = torch.autograd.grad([value.sum() for value in values], [rows for _, _, rows in leaves])
    return [(value.detach(), g) for value, g in zip(values, found, strict=True)]
