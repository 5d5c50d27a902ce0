"""Every subvalue of a write as a vector of its own: for pictures and checks of small models, refused where it would be gigabytes."""

from math import prod

import torch
from torch import Tensor

from mainstem.core import Group, InputError
from mainstem.find import Captured, Source, Write

from ._attention import factors, heads
from ._parts import writer_map
from ._pass import Pass

_MOST = 2 * 2**30


def subvectors(run: Pass, write: Write, level: str, seen: Captured) -> list[Group]:
    """The write as the sum of its subvalues and its constant, each of the stream's shape.

    Parameters: `run`; `write`; `level`; `seen`, a run with the write's sources captured. Raises `InputError` where the
    vectors would take more than two gigabytes.
    """
    assert write.writer is not None
    affine, likes = writer_map(run, write, seen)
    groups = []
    for i, (source, h) in enumerate(zip(write.writer.sources, likes, strict=True)):
        label = write.label if len(likes) == 1 else f"{write.label}.B{i}"
        axes = _axes(source, level)
        sizes = _sizes(source, level, h, seen, run)
        _affordable(prod(sizes) * max(h.numel(), run.write(write).numel()) * h.element_size(), write.label, level)
        alone = _each(source, level, h, seen, run).reshape(-1, *h.shape)
        vectors = torch.stack([run.shaped(v) for v in affine.linear(alone, likes, i)])
        groups.append(Group(label, write.kind, write.factor * vectors.reshape(*sizes, *vectors.shape[1:]), axes))
    constant = write.factor * run.shaped(affine.constant(*likes))
    return [*groups, Group(f"{write.label}.bias", "constant", constant)] if bool((constant != 0).any()) else groups


def _affordable(taken: int, label: str, level: str) -> None:
    if taken > _MOST:
        raise InputError(
            f"the {level} vectors of {label} would take {taken / 2**30:.0f} GB: score them first, with scores(level={level!r}), "
            "and read the top ones by their labels."
        )


def _axes(source: Source, level: str) -> tuple[str, ...]:
    if source.attention is not None and level != "neuron":
        return {"edge": ("head", "key_pos"), "dim": ("head", "dim")}.get(level, ("head",))
    return ("expert", "neuron") if source.groups is not None else ("neuron",)


def _sizes(source: Source, level: str, h: Tensor, seen: Captured, run: Pass) -> tuple[int, ...]:
    if source.attention is None or level == "neuron":
        neurons = h.shape[source.axis]
        return (seen.at(source.groups).shape[0], neurons) if source.groups is not None else (neurons,)
    z = heads(h, run.prompts)
    keys = heads(seen.at(source.attention.value), z.shape[0]).shape[2]
    return {"edge": (z.shape[1], keys), "dim": (z.shape[1], z.shape[3])}.get(level, (z.shape[1],))


def _each(source: Source, level: str, h: Tensor, seen: Captured, run: Pass) -> Tensor:
    """A stack of h with all but one coordinate zero, [*axes, *shape of h]."""
    if source.attention is not None and level != "neuron":
        return _each_head(source, level, heads(h, run.prompts), seen)
    last = h.movedim(source.axis, -1)
    every = torch.diag_embed(last).movedim(-2, 0).movedim(-1, source.axis if source.axis < 0 else source.axis + 1)
    if source.groups is None:
        return every
    ends = seen.at(source.groups).to(torch.long)
    expert = torch.searchsorted(ends, torch.arange(h.shape[0], device=h.device), right=True)
    mine = expert == torch.arange(ends.shape[0], device=h.device)[:, None]
    return every * mine[:, None, :, None]


def _each_head(source: Source, level: str, z: Tensor, seen: Captured) -> Tensor:
    assert source.attention is not None
    own = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    if level == "edge":
        pattern, value = factors(source.attention, seen, z, z.shape[0])
        edges = pattern.permute(1, 3, 0, 2)[..., None] * value.permute(1, 2, 0, 3)[:, :, :, None]
        return edges[:, :, :, None] * own[:, None, None, :, None, None]
    alone = z * own[:, None, :, None, None]
    return torch.diag_embed(alone).movedim(-2, 1) if level == "dim" else alone
