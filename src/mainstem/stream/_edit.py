"""Edits of a forward pass as values: printable, picklable, added with `+`. Each is a change of one operand of one addition."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.core import InputError, Label, parse_label
from mainstem.find import Patch, Source, Stream, StreamMap

from ._pass import find_point, find_write


@dataclass(frozen=True, slots=True)
class Zero:
    """Sets one component or point to zero."""

    label: str

    def __str__(self) -> str:
        return f"zero {self.label}"


@dataclass(frozen=True, slots=True)
class Edit:
    """Changes to make in one forward pass, in order. Made by `zero` and joined with `+`.

    Parameters: `changes`.
    """

    changes: tuple[Zero, ...] = ()

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


def patches(found: StreamMap, edit: Edit | None) -> tuple[Patch, ...]:
    """The edit as replacements of tensors in this module's forward pass.

    Parameters: `found`, the map; `edit`. Raises `InputError` where a label does not exist in this model.
    """
    return tuple(_patch(found, change.label) for change in (edit.changes if edit else ()))


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
    keep = torch.ones(h.shape[axis], dtype=h.dtype, device=h.device)
    keep[index] = 0
    return (h.movedim(axis, -1) * keep).movedim(-1, axis)
