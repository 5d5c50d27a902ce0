"""Data through a model without its blocks: parts that it is run on at once, and what each example came to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from mainstem.core import InputError, MapError
from mainstem.models import Inputs, prepare
from mainstem.scan import METRICS, Batch, Metric, Tally, check_classes, counted, metric_named, token_at
from mainstem.stream import Ablated, Unshared

from ._looked import chosen
from ._model import Model
from ._readable import readable

_TOKENS, _IMAGES = 8192, 64  # of all copies that run together
_FEW = 16  # tokens that tell whether a model looks ahead


@dataclass(frozen=True)
class Part:
    """What is run at once. Parameters: `prompts`, lists of ids, images or a tensor; `numbers`, of their examples."""

    prompts: Any
    numbers: Sequence[int]

    @property
    def ids(self) -> list[list[int]] | None:
        """Token ids, None where the model reads something else."""
        one = self.prompts[0]
        return self.prompts if isinstance(one, list) else None

    def rows(self, at: Sequence[int]) -> "Part":
        """Some of the prompts. Parameters: `at`, which."""
        prompts = self.prompts[list(at)] if isinstance(self.prompts, Tensor) else [self.prompts[i] for i in at]
        return Part(prompts, [self.numbers[i] for i in at])


def part_of(batch: Batch, first: bool) -> Part:
    """A batch as it is run. Parameters: `batch`; `first`, only what begins an example, which may be cut into several windows."""
    places = [token_at(int(i)) for i in batch.index[:, 0]]
    if batch.ids is None:
        return Part(list(batch.images), [number for number, _ in places])
    rows = [ids[real].tolist() for ids, real in zip(batch.ids, batch.mask, strict=True)]
    kept = [i for i, (_, place) in enumerate(places) if place == 0 or not first]
    return Part([rows[i] for i in kept], [places[i][0] for i in kept])


@dataclass
class Ablating:
    """Adds up what a model says of data without its blocks.

    Parameters: `model`; `side`; `norm`; `metrics`; `labels`, the class of each example, None for the next token of texts; `stream`, by
    name; `last`, of the next tokens the last alone; `together`, whether ablations share passes where they can.
    """

    model: Model
    side: str
    norm: str
    metrics: Sequence[Metric]
    labels: Mapping[int, int] | None = None
    stream: str | None = None
    last: bool = False
    together: bool = True
    tally: Tally = field(default_factory=Tally)
    why: str = ""  # ablations were made one by one
    engine: Ablated | None = None
    counts: Tensor | None = None
    _causal: bool | None = None
    _alone: bool = False  # a prompt at a time

    def add(self, part: Part) -> None:
        """Takes in what is run at once. Raises `InputError` where there is no such metric of this output. Parameters: `part`."""
        if self.labels is None and part.ids is not None:
            part = part.rows([i for i, row in enumerate(part.ids) if len(row) > 1])
        if not len(part.numbers):
            return
        if self.labels is None:
            self._check_causal(part)
        for some in self._apart(part):
            self._add(some)

    def _apart(self, part: Part) -> Iterator[Part]:
        """Prompts that run together: copies are made only of such as have one length, and only so many as there is room for."""
        if self.side == "tail" or not self.together or self.why:
            yield part
            return
        lengths = [1] * len(part.numbers) if part.ids is None else list(map(len, part.ids))
        budget = _IMAGES if part.ids is None else _TOKENS
        copies = len(self._engine(self._ready(part.rows([0]))).sets)
        order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        for length, group in groupby(order, key=lambda i: lengths[i]):
            rows = list(group)
            step = 1 if self._alone else max(1, budget // (length * copies))
            yield from (part.rows(rows[i : i + step]) for i in range(0, len(rows), step))

    def _add(self, part: Part, again: bool = True) -> None:
        ready = self._ready(part)
        try:
            self._sum(part, ready, self._outputs(ready))
        except MapError as wrong:
            if again:
                self.engine = self._made(self.model.map_with(*ready.args, **ready.kwargs))
            elif self.why or not self.together:
                raise
            else:
                self.why = str(wrong)
            self._add(part, False)
        except Unshared as wrong:
            self._one_by_one(part, str(wrong))

    def _one_by_one(self, part: Part, why: str) -> None:
        """Copies of one prompt where those of several cannot be made, else every ablation by itself."""
        if len(part.numbers) > 1 and self.side != "tail":
            self._alone = True
            for i in range(len(part.numbers)):
                self._add(part.rows([i]))
        else:
            self.why = why
            self._add(part)

    def _ready(self, part: Part) -> Inputs:
        cut = part.ids is not None and self.labels is None and self.last
        return prepare(self.model.loaded, [row[:-1] for row in part.ids or ()] if cut else part.prompts)

    def _engine(self, ready: Inputs) -> Ablated:
        if self.engine is None:
            self.engine = self._made(self.model._map_for(ready))
        return self.engine

    def _made(self, found: Any) -> Ablated:
        return Ablated(self.model.module, found, chosen(found, self.stream), self.side, self.norm)

    def _outputs(self, ready: Inputs) -> Iterator[tuple[int, Tensor]]:
        engine, only = self._engine(ready), ready.last if self.labels is None and self.last else None
        with readable(self.model.loaded, ready):
            if self.together and not self.why:
                return engine.shared(ready.args, ready.kwargs, only)
            return engine.alone(ready.args, ready.kwargs, only)

    def _sum(self, part: Part, ready: Inputs, outputs: Iterator[tuple[int, Tensor]]) -> None:
        """The metrics of every ablation, summed over the places of each prompt."""
        found, targets, classes = [], self._targets(part), 0
        with readable(self.model.loaded, ready):
            for k, some in outputs:
                found.append(self._values(part, targets, some if some.dtype == torch.float64 else some.float(), k))
                classes = some.shape[-1]
        sums = torch.cat(found, 1)  # metric, step, prompt
        for i, number in enumerate(part.numbers):
            self.tally.add(number, sums[:, :, i], len(targets[i]))
        more = counted((one for true in targets for one in true), classes)
        self.counts = more if self.counts is None else self.counts + more

    def _targets(self, part: Part) -> list[list[int]]:
        """What is true of every prompt."""
        if self.labels is not None:
            return [[self.labels[number]] for number in part.numbers]
        return [row[-1:] if self.last else row[1:] for row in part.ids or ()]

    def _values(self, part: Part, targets: list[list[int]], outputs: Tensor, k: int) -> Tensor:
        """[metric, step, prompt]. Parameters: `part`; `targets`, of each prompt; `outputs`, [step, prompt, ...]; `k`, the first of these steps."""
        self._check_shape(part, outputs)
        if k == 0:
            check_classes((one for true in targets for one in true), outputs.shape[-1])
        rows = []
        for i, true in enumerate(targets):
            logits = outputs[:, i, None] if outputs.ndim == 3 else _spoken(outputs[:, i], part, i, len(true))
            labels = torch.tensor(true, device=outputs.device)
            each = torch.stack([m.value(logits, labels).double().sum(-1) for m in self.metrics]).cpu()
            if not bool(each.isfinite().all()):
                raise InputError(f"what the model says of example {part.numbers[i]} is not finite{self._without(each, k)}.")
            rows.append(each)
        return torch.stack(rows, -1)

    def _without(self, each: Tensor, k: int) -> str:
        assert self.engine is not None
        step = k + int((~each.isfinite()).any(0).nonzero()[0])
        gone = self.engine.sets[step]
        return f" without {', '.join(self.engine.labels[b] for b in gone)}" if gone else ""

    def _check_shape(self, part: Part, outputs: Tensor) -> None:
        fits = outputs.ndim == 3 if self.labels is not None else outputs.ndim == 4
        if not fits or outputs.shape[1] != len(part.numbers):
            told = tuple(outputs.shape[1:])
            if self.labels is not None:
                raise InputError(
                    f"labels are of a model that says a class of each example, [batch, class]; this one gives {told}."
                )
            raise InputError(f"the next token is predicted by [batch, pos, vocab]; this model gives {told}: give labels.")

    def _check_causal(self, part: Part) -> None:
        """What is said at the first place must stay when the last token is another. Of texts only, once."""
        if self._causal or part.ids is None:
            if part.ids is None:
                raise InputError("labels are needed: a list with one for each example, or the name of a column.")
            return
        ids = max(part.ids, key=len)[:_FEW]
        other = [*ids[:-1], ids[0] if ids[0] != ids[-1] else ids[-1] - 1 if ids[-1] else 1]
        one, two = (self._plain(x) for x in (ids, other))
        if one.ndim != 3 or one.shape[1] != len(ids):
            raise InputError(
                f"the next token is predicted by [batch, pos, vocab]; this model gives {tuple(one.shape)}: give labels."
            )
        self._causal = bool((one[0, 0] - two[0, 0]).abs().max() <= 1e-3 * one[0, 0].abs().max())
        if not self._causal:
            raise InputError("this model looks at later tokens, so it predicts no next one: give labels of what it classifies.")

    def _plain(self, ids: list[int]) -> Tensor:
        ready = prepare(self.model.loaded, [ids])
        with readable(self.model.loaded, ready):
            return next(self._engine(ready).alone(ready.args, ready.kwargs))[1][0]


def _spoken(outputs: Tensor, part: Part, i: int, count: int) -> Tensor:
    """The places of a prompt that say its next tokens, the last `count` of those that have one; it may be the one place that there is."""
    if outputs.shape[1] == 1:
        return outputs
    assert part.ids is not None
    end = len(part.ids[i]) - 1
    return outputs[:, end - count : end]


def usual(labels: bool, images: bool) -> tuple[str, ...]:
    """The metrics where none was asked for. Parameters: `labels`, whether there are some; `images`."""
    return ("top1", "top5", "loss") if images else ("accuracy", "loss") if labels else ("loss", "accuracy")


def known(names: str | Sequence[str] | None, labels: bool, images: bool) -> tuple[Metric, ...]:
    """The metrics that were asked for. Parameters: `names`; `labels` and `images`, as of `usual`."""
    asked = usual(labels, images) if names is None else (names,) if isinstance(names, str) else tuple(names)
    if not asked:
        raise InputError(f"there is no metric to draw a curve of: name some of {', '.join(METRICS)}.")
    return tuple(metric_named(name) for name in dict.fromkeys(asked))
