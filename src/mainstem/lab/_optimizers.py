"""Optimisers: torch's own, and an Adam whose moments are kept in another basis of the stream."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mainstem.measure import directions

from ._setup import Training


class RotatedAdam(torch.optim.Optimizer):
    """AdamW with its moments in a turned basis: the gradient is turned, Adam's update made of it, and turned back.

    With axes [Q, ...] on parameters it is exactly Adam on the parameters Q theta: Adam prefers a basis, and this is where it is chosen.

    Parameters: `groups`, of torch, each with an `axis` (None for parameters that are not turned); `turn`, orthogonal by width;
    `lr`; `betas`; `eps`; `weight_decay`, apart from the gradient.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        turn: Callable[[Tensor], Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "axis": None})
        self.turn = turn

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update. Parameters: `closure`, which computes the loss again."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: Tensor, group: dict[str, Any]) -> None:
        state, (first, second), axis = self.state[weight], group["betas"], group["axis"]
        if not state:
            state |= {"step": 0, "exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}
        state["step"] += 1
        gradient = self._turned(weight.grad, axis)  # type: ignore[arg-type]
        state["exp_avg"].lerp_(gradient, 1 - first)
        state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        size = (state["exp_avg_sq"] / (1 - second ** state["step"])).sqrt() + group["eps"]
        update = state["exp_avg"] / (1 - first ** state["step"]) / size
        weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(self._turned(update, axis, back=True), alpha=group["lr"])

    def _turned(self, x: Tensor, axis: int | None, back: bool = False) -> Tensor:
        if axis is None:
            return x
        q = self.turn(x.movedim(axis, 0))
        return torch.tensordot(q.T if back else q, x, ([1], [axis])).movedim(0, axis)


def rotation(x: Tensor, seed: int = 0) -> Tensor:
    """A random rotation as wide as the first axis, the same for the same seed. Parameters: `x`; `seed`."""
    return directions(len(x), len(x), seed, x.device, x.dtype)


def optimizer(model: nn.Module, training: Training, axes: Mapping[str, int], seed: int = 0) -> torch.optim.Optimizer:
    """The optimiser that a setup asks for; decay is of matrices only.

    Parameters: `model`; `training`; `axes`, the stream's axis of parameters by name, for "rotated_adam"; `seed`, of its rotation.
    """
    groups: dict[tuple[Any, ...], list[nn.Parameter]] = {}
    turned = training.optimizer == "rotated_adam"
    for name, weight in model.named_parameters():
        decay = training.weight_decay if weight.ndim > 1 else 0.0
        groups.setdefault((decay, axes.get(name) if turned else None), []).append(weight)
    given: list[dict[str, Any]] = [{"params": some, "weight_decay": decay} for (decay, _), some in groups.items()]
    first = 0.9 if training.momentum is None else training.momentum
    match training.optimizer:
        case "sgd":
            return torch.optim.SGD(given, lr=training.lr, momentum=training.momentum or 0.0)
        case "adam":
            return torch.optim.Adam(given, lr=training.lr, betas=(first, training.beta2))
        case "adamw":
            return torch.optim.AdamW(given, lr=training.lr, betas=(first, training.beta2))
    for group, (_, axis) in zip(given, groups, strict=True):
        group["axis"] = axis
    return RotatedAdam(given, lambda x: rotation(x, seed), lr=training.lr, betas=(first, training.beta2))


def schedule(optimizer: torch.optim.Optimizer, training: Training) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rate over steps: up from 0 in the warm-up, then down to 0 or level. Parameters: `optimizer`; `training`."""

    def factor(step: int) -> float:
        if step < training.warmup:
            return (step + 1) / training.warmup
        rest = max(1, training.steps - training.warmup)
        return 1.0 if training.schedule == "constant" else max(0.0, (training.steps - step) / rest)

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def clipped(model: nn.Module, most: float) -> float:
    """Makes the gradient at most so long, and returns how long it was. Parameters: `model`; `most`, 0 for no limit."""
    return float(torch.nn.utils.clip_grad_norm_(model.parameters(), most or math.inf))
