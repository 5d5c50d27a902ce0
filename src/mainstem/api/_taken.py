"""Edits that put in what a data set or another run had: in the mean, place by place, or drawn by chance."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mainstem.core import InputError, whole
from mainstem.stream import Edit, Held, Mean, Tokens, named, places, taken

from ._means import Means
from ._places import tokens_of
from ._trace import Trace


def mean(*labels: str, over: Means, positions: int | Sequence[int] | None = None) -> Edit:
    """An edit that sets components to what they are in the mean over a data set: they say nothing of this input any more.

    Parameters: `labels`, writes, points, heads, neurons and blocks, as of `zero`, none for all that there are means of; `over`, what
    `model.means(data, *labels)` gave; `positions`, as of `zero`.

    The mean of an expert's neuron is that over the tokens that are routed to its expert, and is set at such alone.

    Returns the edit, which keeps the means and of which weights they are: with another model it raises `InputError` when it is used.
    """
    if not isinstance(over, Means):
        raise InputError(f"means are what model.means(data, labels) gives, not {type(over).__name__}.")
    about = f"{over.data['examples']:,} examples"
    wanted = named(labels, "set to its mean") if labels else list(over.values)
    return Edit(tuple(Mean(label, over.values, about, over.provenance.weights, places(positions)) for label in wanted))


def patch(*labels: str, source: Trace, positions: int | Sequence[int] | None = None) -> Edit:
    """An edit that sets components to what they were in another run: activation patching.

    Parameters: `labels`, writes, points, heads, neurons, blocks, as of `zero`; `source`, the trace of the other input, whose edits count;
    `positions`, tokens counted from 0 or back from -1, in this run and in the other; None for all, of prompts of as many tokens.

    The neuron of an expert is zero where a token is not routed to the expert, since nothing of it is written there. So zero is what is put in
    where the other run does not route the token there, and nothing can be put in where this run does not: the routing stays its own. As in
    `activation_patching`.

    Returns the edit, which keeps what it puts in. Raises `InputError` for labels that the other run does not have, and for neurons of experts in a
    model's own `generate`: which row of an expert is which token's, only a run that is made beforehand tells.
    """
    wanted = named(labels, "patch")
    values, rows = _held(source, wanted)
    return Edit(tuple(Held(label, values, places(positions), rows=rows) for label in wanted))


def resample(*labels: str, source: Trace, seed: int = 0, positions: int | Sequence[int] | None = None) -> Edit:
    """An edit that sets components to what they were at places of another run that are drawn by chance, one for every place.

    Parameters: `labels` and `positions`, as of `zero`; `source`, a trace of other prompts; `seed`, of the drawing: the components of one
    edit are taken from the same places.

    Returns the edit. Neurons of experts are as of `patch`: zero is drawn at places that are not routed to the expert. Raises `InputError` as
    `patch` does.
    """
    wanted = named(labels, "resample")
    whole("seed", seed)
    values, rows = _held(source, wanted)
    mask = rows.mask
    first = next(iter(values.values()))
    where = torch.ones(first.shape[:2], dtype=torch.bool) if mask is None or mask.shape != first.shape[:2] else mask.bool()
    return Edit(tuple(Held(label, values, places(positions), where.nonzero().cpu(), seed) for label in wanted))


def _held(source: Trace, labels: Sequence[str]) -> tuple[dict[str, Tensor], Tokens]:
    if not isinstance(source, Trace):
        raise InputError(f"source is the trace of another input, model.trace(...), not {type(source).__name__}.")
    own = tokens_of(source.run.map, source._inputs)
    return taken(source.run, labels, own), own[source.stream.name]
