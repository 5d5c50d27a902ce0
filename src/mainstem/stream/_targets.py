"""What the label of an edit names in the forward pass: a tensor, and the part of it that is meant."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mainstem.algebra import rule
from mainstem.core import InputError, Label, Site, parse_label
from mainstem.find import Point, Source, Stream, StreamMap, Write

from ._pass import find_point, find_write, no_such
from ._tokens import Positions, Tokens

_APART = ("shape", "act")  # what keeps features apart
Kind = Literal["write", "point", "head", "neuron", "skip"]
Rows = Tensor  # [row, pos, feature]


@dataclass(frozen=True)
class Target:
    """A part of one tensor of the forward pass.

    Parameters: `label`; `kind`; `site`; `axis`, that of features, or of neurons; `index`, which head or neuron; `factor`, what the
    tensor is multiplied by in the sum; `width`, how many features, 0 where only a run says; `inside`, where what the
    part is made of stands.
    """

    label: str
    kind: Kind
    site: Site
    axis: int = -1
    index: int = 0
    factor: float = 1.0
    width: int = 0
    inside: tuple[Site, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it is all of the tensor."""
        return self.kind not in ("head", "neuron")

    def part(self, value: Tensor, tokens: Tokens) -> Rows:
        """The part of the tensor, [row, pos, feature]. Parameters: `value`; `tokens`. Raises `InputError` where there is none."""
        part = self._taken(value)
        rows, length, turned = tokens.layout(tuple(part.shape))
        return (part.transpose(0, 1) if turned else part).reshape(rows, length, part.shape[-1])

    def changed(self, value: Tensor, change: Callable[[Rows], Rows], positions: Positions, tokens: Tokens) -> Tensor:
        """The tensor with its part changed at positions.

        Parameters: `value`; `change`, of the part as it is to what it becomes; `positions`; `tokens`.
        """
        part = self.part(value, tokens)
        rows, length, _ = part.shape
        mask = tokens.at(positions, rows, length, value.device)[..., None]
        made = change(part).to(part.dtype)
        new = torch.where(mask, made, part)
        own = self._taken(value)
        if new.shape[0] != rows:  # one row for all prompts that is changed for some of them
            return new.movedim(-1, self.axis) if self.whole else new
        turned = tokens.layout(tuple(own.shape))[2]
        new = (new.transpose(0, 1) if turned else new).reshape(own.shape)
        return new.movedim(-1, self.axis) if self.whole else self._put(value, new)

    def _taken(self, value: Tensor) -> Tensor:
        if self.whole:
            return value.movedim(self.axis, -1)
        if self.kind == "head":
            if value.ndim != 4:
                raise InputError(
                    f"{self.label}: this attention folds heads into the batch; its heads can be read but not edited."
                )
            return value[:, self._known(value.shape[1])]
        return value.select(self.axis, self._known(value.shape[self.axis]))[..., None]

    def _put(self, value: Tensor, new: Tensor) -> Tensor:
        axis, new = (1, new) if self.kind == "head" else (self.axis, new[..., 0])
        axis = axis % value.ndim
        return torch.cat(
            [
                value.narrow(axis, 0, self.index),
                new.unsqueeze(axis),
                value.narrow(axis, self.index + 1, value.shape[axis] - self.index - 1),
            ],
            axis,
        )

    def _known(self, count: int) -> int:
        if self.index >= count:
            raise InputError(f"{self.label} does not exist: this write has {count}, counted from 0.")
        return self.index


def targets(found: StreamMap, label: str) -> tuple[tuple[Stream, Target], ...]:
    """What a label names: a write, a point, a head, a neuron, or all writes of a block ("L3") or of several ("L3-L5").

    Parameters: `found`, the map; `label`. Raises `InputError` with the nearest that there are where there is none.
    """
    stream = stream_of(found, label)
    at = find_point(stream, label)
    if at is not None:
        return ((stream, _point(stream.points[at], label)),)
    if (several := _block(stream, label)) is not None:
        return tuple((stream, _write(write, point)) for point, write in several)
    return ((stream, _inside(stream, label)),)


def skips(found: StreamMap, label: str) -> tuple[tuple[Stream, Target], ...]:
    """The stream's operand of additions: of that which a write enters, or of every one of a block, or of several.

    Parameters: `found`, the map; `label`. Raises `InputError` for the entry, to which nothing is added, and for a part of a write.
    """
    stream = stream_of(found, label)
    several = _block(stream, label)
    if several is None:
        write = find_write(stream, label)
        if write.label != label:
            raise InputError(f"{label} is added by {write.label}: name that, or a block, to take the skip away beside it.")
        several = [(p, write) for p in stream.points if write in p.writes]
    points = {p.name: p for p, _ in several}
    if not all(p.stream for p in points.values()):
        raise InputError(f"{label} is where the stream begins: there is no skip beside it. Name a write or a block.")
    return tuple((stream, Target(f"{p.name} skip", "skip", p.stream, p.axis, width=p.width)) for p in points.values() if p.stream)


def features(found: StreamMap, label: str, dims: tuple[int, ...]) -> Iterator[Point]:
    """Points of which features can be changed alone. Parameters: `found`; `label`, "" for every point of the main stream; `dims`.

    Raises `InputError` for points and features that there are not, and where a norm mixes features before anything reads them.
    """
    stream = stream_of(found, label)
    for point in [stream.points[_known_point(stream, label)]] if label else found.main.points:
        if max(dims) >= point.width:
            raise InputError(f"{point.name} has {point.width} features, counted from 0: it has no {max(dims)}.")
        if any((known := rule(step.key[2])) is None or known.sort not in _APART for step in point.face.steps):
            raise InputError(f"no feature of {point.name} can be taken out alone: it is read behind a norm, which mixes them.")
        yield point


def stream_of(found: StreamMap, label: str) -> Stream:
    """The stream that a label is of. Parameters: `found`; `label`, with the stream's name in front where there are several."""
    name = label.partition(".")[0]
    return next((s for s in found.streams if s.name and s.name == name), found.main)


def _known_point(stream: Stream, label: str) -> int:
    at = find_point(stream, label)
    if at is None:
        raise InputError(f"no point {label!r} in this model{no_such(label, [p.name for p in stream.points])}")
    return at


def _point(point: Point, label: str) -> Target:
    return Target(label, "point", point.site, point.axis, width=point.width)


def _write(write: Write, point: Point) -> Target:
    sources = tuple(source.site for source in write.writer.sources) if write.writer else ()
    return Target(write.label, "write", write.site, point.axis, factor=write.factor, width=point.width, inside=sources)


def _block(stream: Stream, label: str) -> list[tuple[Point, Write]] | None:
    """Additions of a block or of several, None where the label is not of blocks."""
    first, last = block_range(label)
    if first is None or last is None:
        return None
    some = [(p, w) for p in stream.points[1:] for w in p.writes if first <= p.block <= last]
    known = sorted({p.block for p in stream.points[1:]})
    if not some or first not in known or last not in known:
        raise InputError(f"no block {label!r} in this model; there are L{known[0]} to L{known[-1]}.")
    return some


def block_range(label: str) -> tuple[int | None, int | None]:
    """First and last block that a label of blocks means, such as "L3", "L3-L5", "dec.L0-L2"; None twice for another label.

    Parameters: `label`.
    """
    parts = label.rpartition(".")[2].split("-")
    numbers = [int(part[1:]) for part in parts if part[:1] == "L" and part[1:].isdigit()]
    return (numbers[0], numbers[-1]) if len(numbers) == len(parts) <= 2 else (None, None)


def _inside(stream: Stream, label: str) -> Target:
    parsed, write = parse_label(label), find_write(stream, label)
    point = next(p for p in stream.points if write in p.writes)
    if label == write.label:
        return _write(write, point)
    if not parsed.at:
        raise InputError(
            f"{label} cannot be edited: no tensor of the forward pass is it alone. The whole write is {write.label}."
        )
    if write.writer is None or len(write.writer.sources) != 1:
        raise InputError(f"{write.label} has no single set of coordinates to edit; take the whole write instead.")
    return _coordinate(write.writer.sources[0], parsed)


def _coordinate(source: Source, label: Label) -> Target:
    at = dict(label.at)
    if "key_pos" in at or "expert" in at or "dim" in at:
        raise InputError(
            f"{label}: heads, neurons and writes can be edited; a single key position, dim or expert's neuron can't."
        )
    if source.attention is not None and "head" in at:
        return Target(str(label), "head", source.site, index=at["head"])
    if source.attention is None and "neuron" in at:
        return Target(str(label), "neuron", source.site, source.axis, at["neuron"], width=1)
    inner = "heads, such as H0" if source.attention else "neurons, such as N0"
    raise InputError(f"{label} does not exist: {label.write} has {inner}.")
