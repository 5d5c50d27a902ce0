"""What curves are of: how well outputs say what they should, one function for each metric, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import log
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mainstem.core import InputError


@dataclass(frozen=True)
class Metric:
    """A number for each place at which an output says something of which the truth is known.

    Parameters: `name`; `about`; `unit`; `value`, of logits [..., place, class] and labels [place]; `chance`, what guessing among so
    many classes comes to; `floor`, what always saying the same comes to, of how often each class is true.
    """

    name: str
    about: str
    unit: str
    value: Callable[[Float[Tensor, "... place class"], Int[Tensor, " place"]], Float[Tensor, "... place"]]
    chance: Callable[[int], float]
    floor: Callable[[Tensor], float]


def loss(logits: Float[Tensor, "... place class"], labels: Int[Tensor, " place"]) -> Float[Tensor, "... place"]:
    """-log p(label), in nats. Parameters: `logits`; `labels`."""
    return logits.logsumexp(-1) - _own(logits, labels)


def within(k: int, logits: Float[Tensor, "... place class"], labels: Int[Tensor, " place"]) -> Float[Tensor, "... place"]:
    """Whether the label is among the k largest; of equal ones as many as there is room for, each as likely as the others.

    So constant logits come to chance, whatever the label is. Parameters: `k`; `logits`; `labels`.
    """
    own = _own(logits, labels)
    if k == 1:
        held = own >= logits.amax(-1)  # few tokens of many are: ties are looked for among these alone
        found = torch.zeros_like(own)
        found[held] = 1 / (logits[held] == own[held][:, None]).sum(-1).to(own.dtype)
        return found
    above, beside = (logits > own[..., None]).sum(-1), (logits == own[..., None]).sum(-1)
    return ((k - above).to(own.dtype) / beside).clamp(0, 1)


def entropy(counts: Int[Tensor, " class"]) -> float:
    """The loss of always saying how often each class is true: -sum_c f_c log f_c, in nats. Parameters: `counts`."""
    share = counts[counts > 0].double() / counts.sum()
    return 0.0 - float((share * share.log()).sum())  # not -0 where one class is always true


def most_frequent(k: int, counts: Int[Tensor, " class"]) -> float:
    """How often one of the k most frequent classes is true. Parameters: `k`; `counts`."""
    return float(counts.double().topk(min(k, len(counts))).values.sum() / counts.sum())


def _own(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.gather(-1, labels.expand(logits.shape[:-1])[..., None])[..., 0]


def _share(k: int, name: str, about: str) -> Metric:
    return Metric(name, about, "share", partial(within, k), lambda n: min(1.0, k / n), partial(most_frequent, k))


_METRICS = (
    Metric("loss", "-log p of what is true", "nats", loss, log, entropy),
    _share(1, "accuracy", "how often what is true is the likeliest"),
    _share(1, "top1", "how often what is true is the likeliest"),
    _share(5, "top5", "how often what is true is among the five likeliest"),
)
METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _METRICS})


def metric_named(name: str) -> Metric:
    """A metric by its name. Parameters: `name`. Raises `InputError` with those that there are."""
    if name not in METRICS:
        raise InputError(f"no metric {name!r}; there are {', '.join(METRICS)}.")
    return METRICS[name]
