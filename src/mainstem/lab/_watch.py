"""Looks at a model while it trains: the same measures as of any model, on the same rows each time."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mainstem.measure import measure_named

LOOKED = ("kurtosis", "rms")


class Row(NamedTuple):
    """One number of a run: at which step, what, where, how much."""

    step: int
    name: str
    site: str
    value: float


class Writer(NamedTuple):
    """A weight [stream, inside] that is added to the stream, and the fixed map from its own basis to the stream's, if any."""

    weight: Tensor
    turn: Tensor | None


def looked(step: int, points: Mapping[str, Tensor]) -> Iterator[Row]:
    """Kurtosis and size of tokens at points. Parameters: `step`; `points`, [..., feature], by name."""
    for site, x in points.items():
        rows = x.detach().flatten(0, -2)
        seen = torch.isfinite(rows).all(-1)
        for name in LOOKED:
            one = measure_named(name)
            found = one.result(one.update(one.init(rows.shape[-1], rows.device), rows, seen))  # type: ignore[arg-type, call-arg]
            yield Row(step, name, site, float(found[name]))


def alphas(step: int, model: nn.Module) -> Iterator[Row]:
    """The scalar of each norm that has one. Parameters: `step`; `model`."""
    for name, weight in model.named_parameters():
        if weight.numel() == 1 and name.endswith("weight"):
            yield Row(step, "alpha", name.removesuffix(".weight"), float(weight))


class Steps:
    """What one step of the optimiser does to the stream's dimensions.

    `spread` of a size over dimensions is their standard deviation over their mean: 0 where all are treated alike. Of updates and first
    moments in the basis of the computation, in which Adam works, and of the stream; second moments have only the first.

    Parameters: `writers`; `optimizer`.
    """

    def __init__(self, writers: Iterable[Writer], optimizer: torch.optim.Optimizer) -> None:
        self.writers, self.optimizer = list(writers), optimizer
        self.before: list[Tensor] = []

    def begin(self) -> None:
        """Before the step."""
        self.before = [writer.weight.detach().clone() for writer in self.writers]

    def end(self, step: int) -> Iterator[Row]:
        """After the step. Parameters: `step`."""
        changes = [writer.weight.detach() - old for writer, old in zip(self.writers, self.before, strict=True)]
        yield from self._both(step, "update_spread", changes)
        states: list[dict[str, Any]] = [self.optimizer.state.get(writer.weight, {}) for writer in self.writers]
        for key, name in (("exp_avg", "moment_spread"), ("momentum_buffer", "moment_spread")):
            if states and all(state.get(key) is not None for state in states):
                yield from self._both(step, name, [state[key] for state in states])
        if states and all("exp_avg_sq" in state for state in states):
            sizes = torch.stack([state["exp_avg_sq"].double().sum(1) for state in states]).sum(0).sqrt()
            yield Row(step, "second_moment_spread", "computation", _spread(sizes))

    def _both(self, step: int, name: str, changes: list[Tensor]) -> Iterator[Row]:
        turned = [w.turn @ x if w.turn is not None else x for w, x in zip(self.writers, changes, strict=True)]
        for site, found in (("computation", changes), ("stream", turned)):
            if found:
                sizes = torch.stack([x.double().square().sum(1) for x in found]).sum(0).sqrt()
                yield Row(step, name, site, _spread(sizes))


def _spread(sizes: Tensor) -> float:
    return float(sizes.std(correction=0) / sizes.mean()) if bool(sizes.any()) else 0.0
