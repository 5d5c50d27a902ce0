"""Experts' neurons place by place: which of their rows is which token's, found by runs that are made beforehand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from mainstem.core import Site, parse_label
from mainstem.find import Stream, StreamMap, Write

from ._changes import Change
from ._edit import Edit, patches
from ._parts import branch, needed
from ._pass import Pass, find_write
from ._routed import Seats, seats
from ._take import take
from ._target import Target
from ._targets import targets
from ._tokens import Tokens


def seated(
    module: nn.Module,
    found: StreamMap,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    edit: Edit,
    tokens: Mapping[str, Tokens],
    labels: Sequence[str] = (),
) -> dict[str, Tokens]:
    """Tokens that know the rows of experts which an edit speaks of place by place.

    What comes before an expert says which tokens go to it, so the writes are seen to in their order, each in a run with what is changed
    before it. Parameters: `module`; `found`, its map; `args` and `kwargs`, the input; `edit`; `tokens`, of every stream by its name;
    `labels`, of neurons beside those of the edit.
    """
    wanted = {
        (s.name, t.site): (s, t) for s, t in (*_placed(found, edit), *(x for label in labels for x in targets(found, label)))
    }
    some = [(stream, *_source(stream, target), target) for stream, target in wanted.values() if target.routed]
    made = dict(tokens)
    for stream, write, at, target in sorted(some, key=lambda one: one[0].writes.index(one[1])):
        before = Edit(tuple(change for change in edit.changes if _known(found, change, target.site, made)))
        with torch.no_grad():
            run = take(module, found, args, kwargs, patches(found, before, made), stream.name or None)
            own = made.get(stream.name, Tokens())
            made[stream.name] = replace(own, seats={**own.seats, target.site: seats(run, write, at, run.again(needed(write)))})
    return made


def seats_of(run: Pass, stream: Stream, target: Target) -> Seats:
    """The rows of one neuron's expert in a run. Parameters: `run`, of the stream; `stream`; `target`."""
    write, at = _source(stream, target)
    return seats(run, write, at, run.again(needed(write)))


def _source(stream: Stream, target: Target) -> tuple[Write, int]:
    """Which write a neuron is of, and which of its sources."""
    write = find_write(stream, target.label)
    return write, branch(write, parse_label(target.label))


def _placed(found: StreamMap, edit: Edit) -> Iterator[tuple[Stream, Target]]:
    """Neurons of experts that changes speak of place by place."""
    for change in edit.changes:
        if change.placed:
            yield from ((s, t) for s, t in targets(found, change.label) if t.routed)


def _known(found: StreamMap, change: Change, site: Site, made: Mapping[str, Tokens]) -> bool:
    """Whether a change can be made by now, and is of another tensor."""
    if not change.placed:
        return True
    some = [(s, t) for s, t in targets(found, change.label) if t.routed]
    return all(t.site != site and t.site in made.get(s.name, Tokens()).seats for s, t in some)
