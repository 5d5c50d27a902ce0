"""How a tuned lens is fitted: data to runs, runs to a start, to steps, and to what it is worth on data kept aside."""

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain, islice
from math import ceil
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from mainstem.core import InputError, LoadError, Provenance
from mainstem.models import Loaded, digest_of, provenance
from mainstem.score import Descent, Moments, Translators, divergences, gradients, no_translators, unembedding
from mainstem.stream import Pass

from ._progress import tracked
from ._rows import endless, grouped, joined, rows, size

_LOG = logging.getLogger("mainstem")
STARTS = ("regression", "zero")
_LEAST, _TIMES = 4096, 8  # tokens that a regression is made of: so many, and so many for each feature


@runtime_checkable
class Runs(Protocol):
    """What a lens asks of a model."""

    loaded: Loaded

    def trace(self, data: Any, **more: Any) -> Any: ...


@dataclass(frozen=True)
class Plan:
    """The choices of a fit, as of `TunedLens.fit`."""

    steps: int
    batch: int
    rate: float
    decay: float
    held: float
    start: str
    length: int
    seed: int
    stream: str | None
    progress: bool

    def __post_init__(self) -> None:
        for name, least in {"steps": 0, "batch": 1, "length": 1}.items():
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}: it is at least {least}.")
        if not self.rate > 0 or not self.decay >= 0:
            raise InputError(f"rate is {self.rate} and decay {self.decay}: give a rate above 0, and a decay not below.")
        if not 0 <= self.held < 1:
            raise InputError(f"held is {self.held}: give the share of the data that is kept aside, from 0 to below 1.")
        if self.start not in STARTS:
            raise InputError(f"no start {self.start!r}; there are {', '.join(STARTS)}.")


class Fitted(NamedTuple):
    """What a fit gives, in the order in which a tuned lens is made of it."""

    translators: Translators
    points: tuple[str, ...]
    unembedding: str
    curve: Tensor
    held: Tensor | None
    choices: dict[str, Any]
    provenance: Provenance


def fitted(model: Runs, data: Any, plan: Plan) -> Fitted:
    """The whole of a fit. Parameters: `model`; `data`; `plan`."""
    with torch.inference_mode(False):
        return Fit(model, data, plan).made()


class Fit:
    """One fit: its data, split, and the model that is run on it.

    Parameters: `model`; `data`; `plan`.
    """

    def __init__(self, model: Runs, data: Any, plan: Plan) -> None:
        self.model, self.plan = model, plan
        self.generator = torch.Generator().manual_seed(plan.seed)
        found = rows(model.loaded, data, plan.length, self.generator)
        first = next(found, None)
        if first is None:
            raise InputError("there is nothing to learn from: give texts, token ids or images.")
        self.run = self._trace([first]).run
        self.unembedding = fingerprint(self.run)
        wanted = plan.steps * plan.batch + self._regressed
        taken = _taken(chain([first], found), ceil(wanted / (1 - plan.held)))
        aside = min(round(plan.held * len(taken)), len(taken) - 1)
        self.aside, self.rows = taken[:aside], taken[aside:]

    @property
    def _regressed(self) -> int:
        return max(_LEAST, _TIMES * self.run.stream.width) if self.plan.start == "regression" else 0

    def made(self) -> Fitted:
        """The fitted lens with its curve."""
        names = tuple(p.name for p in self.run.stream.points)
        start, scales = self._start()
        descent = Descent(start, scales, self.plan.rate, self.plan.decay)
        curve = [self._step(descent, k, some) for k, some in enumerate(self._steps())]
        nothing = scales.new_zeros(0, len(names) - 1)
        held = self._worth(descent.lens)
        choices = asdict(self.plan) | {"tokens": sum(map(size, self.rows)), "edits": len(self.run.patches)}
        del choices["progress"]
        curves = torch.stack(curve) if curve else nothing
        self._doubt(choices["tokens"], held)
        return Fitted(descent.lens, names, self.unembedding, _ended(curves), held, choices, self._provenance())

    def _doubt(self, tokens: int, held: Tensor | None) -> None:
        """Says so where a lens has learnt too little to be trusted, or the wrong thing."""
        if tokens < (width := self.run.stream.width):
            _LOG.warning(
                "%d tokens to learn from for a stream of width %d: the lens knows little else; give more.", tokens, width
            )
        if held is not None and (worse := int((held[1] > held[0]).sum())) > held.shape[1] / 2:
            of = held.shape[1] - 1  # the last point is the model's own
            _LOG.warning("on what was kept aside it is worse than the logit lens at %d of %d points: lower the rate.", worse, of)

    def _trace(self, some: list[Any], **more: Any) -> Any:
        return self.model.trace(joined(some), stream=self.plan.stream, **more)

    def _start(self) -> tuple[Translators, Tensor]:
        """The translators before the first step, and the sizes of features that steps are measured in."""
        moments = Moments(self.run)
        some = _taken(self.rows, self._regressed or self.plan.batch)
        groups = list(grouped(some, 4 * self.plan.batch))
        for group in tracked(groups, len(groups), "regression", self.plan.progress):
            trace = self._trace(group, positions=-1)  # of the output nothing is needed here
            moments.add(trace.run, _real(trace))
        return (moments.solve() if self.plan.start == "regression" else no_translators(self.run)), moments.scales()

    def _steps(self) -> Iterable[list[Any]]:
        groups = islice(grouped(endless(self.rows, self.generator), self.plan.batch), self.plan.steps)
        return tracked(groups, self.plan.steps, "tuned lens", self.plan.progress)

    def _step(self, descent: Descent, k: int, some: list[Any]) -> Tensor:
        trace = self._trace(some)
        places = _places(trace)
        if len(places) > self.plan.batch:
            places = places[torch.randperm(len(places), generator=self.generator)[: self.plan.batch].to(places.device)]
        kl, slopes = gradients(trace.run, descent.lens, places)
        if not bool(kl.isfinite().all()):
            raise InputError(f"the divergence at step {k} is no number: take a lower rate than {self.plan.rate}.")
        descent.step(slopes, 1 - k / self.plan.steps)
        return kl

    def _worth(self, lens: Translators) -> Tensor | None:
        """[lens, point] of KL on what was kept aside, of the logit lens and of this one."""
        sums, count = torch.zeros(()), 0
        groups = list(grouped(self.aside, self.plan.batch))
        for group in tracked(groups, len(groups), "kept aside", self.plan.progress):
            trace = self._trace(group)
            places = _places(trace)
            sums = sums + len(places) * divergences(trace.run, (no_translators(trace.run), lens), places)
            count += len(places)
        return _ended(sums / count) if count else None

    def _provenance(self) -> Provenance:
        with suppress(LoadError):  # weights that cannot be hashed shall not cost the fit
            return provenance(self.model.loaded)
        return provenance(self.model.loaded, hashed=False)


def fingerprint(run: Pass) -> str:
    """The sha256 of the matrix of a readout's last product, and of its bias where it has one. Parameters: `run`."""
    matrix, bias = unembedding(run)
    return digest_of({"matrix": matrix} | ({} if bias is None else {"bias": bias}))


def _taken(found: Iterable[Any], tokens: int) -> list[Any]:
    """Rows until they hold so many tokens."""
    taken: list[Any] = []
    held = 0
    for row in found:
        taken.append(row)
        held += size(row)
        if held >= tokens:
            break
    return taken


def _ended(values: Tensor) -> Tensor:
    """With the last point behind the others, which says what the model says."""
    return torch.cat([values, values.new_zeros(len(values), 1)], 1).cpu()


def _real(trace: Any) -> Tensor | None:
    """Which positions are tokens, [batch, pos]; None where all are."""
    mask: Tensor | None = trace._inputs.mask
    return None if mask is None else mask.bool()


def _places(trace: Any) -> Tensor:
    """The rows of the output that are of tokens, prompts and positions on one axis."""
    shape, real = trace.run.output().shape[:-1], _real(trace)
    if real is None or real.shape != shape:
        return torch.arange(shape.numel(), device=trace.run.output().device)
    return real.flatten().nonzero()[:, 0]
