"""Edits of a forward pass as values: printable, picklable, added with `+`. Each is a change of one operand of one addition."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mainstem.algebra import rule
from mainstem.core import InputError, Label, parse_label
from mainstem.find import Patch, Point, Source, Stream, StreamMap

from ._pass import find_point, find_write

_APART = ("shape", "act")  # what keeps features apart


@dataclass(frozen=True, slots=True)
class Zero:
    """Sets one component or point to zero."""

    label: str

    def __str__(self) -> str:
        return f"zero {self.label}"


@dataclass(frozen=True, slots=True)
class ZeroDims:
    """Sets features of the stream to zero at points, at every one where none is named."""

    dims: tuple[int, ...]
    at: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"zero dims {', '.join(map(str, self.dims))} at {', '.join(self.at) or 'every point'}"


@dataclass(frozen=True, slots=True)
class Edit:
    """Changes to make in one forward pass, in order. Made by `zero` and `zero_dims` and joined with `+`.

    Parameters: `changes`.
    """

    changes: tuple[Zero | ZeroDims, ...] = ()

    def __add__(self, other: "Edit") -> "Edit":
        return Edit(self.changes + other.changes)

    def __str__(self) -> str:
        return " + ".join(map(str, self.changes)) or "no edit"


def zero(*labels: str) -> Edit:
    """An edit that takes components out of the stream: writes, heads, neurons, parts of the entry, or whole points.

    Parameters: `labels`, such as "L3.mlp", "L3.attn.H7", "L3.mlp.N120", "entry.pos", "L3.resid_post".

    Returns the edit; it is checked against a model when it is used. Raises `InputError` for text that is no label.
    """
    if not labels:
        raise InputError('name what to zero, such as mainstem.zero("L3.mlp").')
    return Edit(tuple(Zero(str(parse_label(label))) for label in labels))


def zero_dims(*dims: int, at: str | Sequence[str] = ()) -> Edit:
    """An edit that takes features out of the stream itself: x_i = 0 at points, for features i, or channels of an image.

    At every point, nothing that a write adds to these features is read by anything, the readout included.

    Parameters: `dims`, counted from 0; `at`, a point's label or several, such as "L3.resid_post", none for every point of the main
    stream.

    Returns the edit; it is checked against a model when it is used: it raises `InputError` there for a feature or a point that there is
    not, and at a point behind which a norm stands before anything reads, since no feature of that is one of the sum. Raises
    `InputError` for no dims and for such as are no whole numbers from 0.
    """
    if not dims or any(not isinstance(i, int) or isinstance(i, bool) or i < 0 for i in dims):
        raise InputError(f"name features, whole numbers from 0, such as mainstem.zero_dims(3, 17), not {dims!r}.")
    points = (at,) if isinstance(at, str) else tuple(at)
    return Edit((ZeroDims(tuple(dict.fromkeys(dims)), tuple(str(parse_label(label)) for label in points)),))


def patches(found: StreamMap, edit: Edit | None) -> tuple[Patch, ...]:
    """The edit as replacements of tensors in this module's forward pass.

    Parameters: `found`, the map; `edit`. Raises `InputError` where a label does not exist in this model.
    """
    changes = edit.changes if edit else ()
    return tuple(patch for c in changes for patch in ([_patch(found, c.label)] if isinstance(c, Zero) else _thinned(found, c)))


def _thinned(found: StreamMap, change: ZeroDims) -> Iterator[Patch]:
    """Features taken out of points."""
    points = [_point(_stream_of(found, label), label) for label in change.at] or found.main.points
    for point in points:
        if max(change.dims) >= point.width:
            raise InputError(f"{point.name} has {point.width} features, counted from 0: it has no {max(change.dims)}.")
        if any((known := rule(step.key[2])) is None or known.sort not in _APART for step in point.face.steps):
            raise InputError(f"no feature of {point.name} can be taken out alone: it is read behind a norm, which mixes them.")
        yield Patch(point.site, partial(_zeroed, axis=point.axis, at=change.dims))


def _point(stream: Stream, label: str) -> Point:
    at = find_point(stream, label)
    if at is None:
        raise InputError(f"no point {label!r} in this model; there are {', '.join(p.name for p in stream.points[:12])} ...")
    return stream.points[at]


def _patch(found: StreamMap, label: str) -> Patch:
    stream = _stream_of(found, label)
    at = find_point(stream, label)
    if at is not None:
        return Patch(stream.points[at].site, torch.zeros_like)
    parsed = parse_label(label)
    write = find_write(stream, label)
    if label == write.label:
        return Patch(write.site, torch.zeros_like)
    if not parsed.at:
        raise InputError(
            f"{label} cannot be edited: no tensor of the forward pass is it alone. The whole write is {write.label}."
        )
    if write.writer is None or len(write.writer.sources) != 1:
        raise InputError(f"{write.label} has no single set of coordinates to edit; zero the whole write instead.")
    source = write.writer.sources[0]
    return Patch(source.site, _masker(source, parsed))


def _stream_of(found: StreamMap, label: str) -> Stream:
    name = label.partition(".")[0]
    return next((s for s in found.streams if s.name and s.name == name), found.main)


def _masker(source: Source, label: Label) -> Callable[[Tensor], Tensor]:
    at = dict(label.at)
    if "key_pos" in at or "expert" in at or "dim" in at:
        raise InputError(
            f"{label}: heads, neurons and writes can be zeroed; a single key position, dim or expert's neuron can't."
        )
    if source.attention is not None and "head" in at:
        return lambda h: _without_head(h, at["head"], str(label))
    if source.attention is None and "neuron" in at:
        return lambda h: _without(h, source.axis, at["neuron"], str(label))
    inner = "heads, such as H0" if source.attention else "neurons, such as N0"
    raise InputError(f"{label} does not exist: {label.write} has {inner}.")


def _without_head(h: Tensor, head: int, label: str) -> Tensor:
    if h.ndim == 4:
        return _without(h, 1, head, label)
    raise InputError(f"{label}: this attention folds heads into the batch; its heads can be read but not edited.")


def _without(h: Tensor, axis: int, index: int, label: str) -> Tensor:
    if index >= h.shape[axis]:
        raise InputError(f"{label} does not exist: this write has {h.shape[axis]}, counted from 0.")
    return _zeroed(h, axis, (index,))


def _zeroed(h: Tensor, axis: int, at: tuple[int, ...]) -> Tensor:
    keep = torch.ones(h.shape[axis], dtype=h.dtype, device=h.device)
    keep[list(at)] = 0
    return (h.movedim(axis, -1) * keep).movedim(-1, axis)
