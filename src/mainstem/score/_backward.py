"""Gradients along the stream: how a loss depends on every point, through the skips and the blocks, and through the blocks alone."""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError
from mainstem.find import Patch
from mainstem.find import run as run_module
from mainstem.stream import Pass, placed

from ._goal import Goal


@dataclass(frozen=True, eq=False)
class Gradient:
    """|dL/dx| of one point at every place, L = -log p(target) of each prompt.

    Parameters: `point`, its label; `skip`, through all that follows; `blocks`, with the gradient through the skips left out.
    """

    point: str
    skip: Float[Tensor, "*places"]
    blocks: Float[Tensor, "*places"]


def backward(run: Pass, goal: Goal) -> list[Gradient]:
    """The length of the gradient of the loss at every point, with skips and without.

    The run itself is the same both times: without skips the operand of every addition that is the stream passes no gradient back,
    and each block hands on only what came through it; of a linear model x + W x the factors are (1 + W)^T and W^T.

    Parameters: `run`; `goal`, its loss is summed over places. Raises `InputError` where a change in place keeps torch from it.
    """
    with torch.enable_grad():
        skip, blocks = _gradients(run, goal, True), _gradients(run, goal, False)
    return [Gradient(p.name, *each) for p, *each in zip(run.stream.points, skip, blocks, strict=True)]


def _gradients(run: Pass, goal: Goal, skips: bool) -> list[Tensor]:
    points, output, kept = run.stream.points, run.stream.output, dict[int, Tensor]()
    if output is None:
        raise InputError("nothing of the module's output can be followed back to this stream: it has no loss.")
    patches = [*run.patches, *(Patch(p.site, partial(_keep, kept, t)) for t, p in enumerate(points))]
    if not skips:
        patches += [Patch(p.stream, Tensor.detach) for p in points if p.stream is not None]
    if run.cut is not None:
        patches.append(run.cut.patch())
    try:
        seen = run_module(run.module, run.args, run.kwargs, {output.key}, patches, run.map.volatile, run.double)
        logits = goal.logits(run.shaped(run.lift(seen.at(output))))
        loss = -(goal.value(logits) * goal.weights.to(logits)).sum()
        found = torch.autograd.grad(loss, [kept[t] for t in range(len(points))], allow_unused=True)
    except RuntimeError as why:
        raise InputError(f"torch makes no gradient of this run{'' if skips else ' without its skips'}: {why}") from why
    return [_lengths(run, torch.zeros_like(kept[t]) if g is None else g) for t, g in enumerate(found)]


def _keep(kept: dict[int, Tensor], t: int, x: Tensor) -> Tensor:
    """A copy that the gradient is of, and another that the module may write into. The entry depends on nothing before it."""
    kept[t] = x.clone() if t else x.detach().clone().requires_grad_()
    return kept[t].clone()


def _lengths(run: Pass, g: Tensor) -> Tensor:
    return placed(run.shaped(g), run.spread).flatten(len(run.spread)).double().norm(dim=-1)
