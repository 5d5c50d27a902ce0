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
        axes = axes_of(source, level)
        sizes = sizes_of(source, level, h, seen, run)
        _affordable(prod(sizes) * max(h.numel(), run.write(write).numel()) * h.element_size(), write.label, level)
        alone = alone_each(source, level, h, seen, run, torch.arange(prod(sizes), device=h.device))
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


def axes_of(source: Source, level: str) -> tuple[str, ...]:
    """Names of the coordinates that a level counts. Parameters: `source`; `level`."""
    if source.attention is not None and level != "neuron":
        return {"edge": ("head", "key_pos"), "dim": ("head", "dim")}.get(level, ("head",))
    return ("expert", "neuron") if source.groups is not None else ("neuron",)


def sizes_of(source: Source, level: str, h: Tensor, seen: Captured, run: Pass) -> tuple[int, ...]:
    """How many there are along these. Parameters: `source`; `level`; `h`, its value; `seen`; `run`."""
    if source.attention is None or level == "neuron":
        neurons = h.shape[source.axis]
        return (seen.at(source.groups).shape[0], neurons) if source.groups is not None else (neurons,)
    z = heads(h, run.prompts)
    keys = heads(seen.at(source.attention.value), z.shape[0]).shape[2]
    return {"edge": (z.shape[1], keys), "dim": (z.shape[1], z.shape[3])}.get(level, (z.shape[1],))


def alone_each(source: Source, level: str, h: Tensor, seen: Captured, run: Pass, index: Tensor) -> Tensor:
    """A stack of h with all but one coordinate zero, [some, *shape of h].

    Parameters: `source`; `level`; `h`; `seen`; `run`; `index`, which coordinates, along all that the level counts.
    """
    if source.attention is not None and level != "neuron":
        return _alone_heads(source, level, heads(h, run.prompts), seen, index).reshape(-1, *h.shape)
    n = h.shape[source.axis]
    mask = torch.nn.functional.one_hot(index % n, n).to(h.dtype)
    shape = [1] * h.ndim
    shape[source.axis] = n
    found = h * mask.reshape(-1, *shape)
    if source.groups is None:
        return found
    ends = seen.at(source.groups).to(torch.long)
    expert = torch.searchsorted(ends, torch.arange(h.shape[0], device=h.device), right=True)
    return found * (expert == (index // n)[:, None])[:, :, None]


def _alone_heads(source: Source, level: str, z: Tensor, seen: Captured, index: Tensor) -> Tensor:
    assert source.attention is not None
    inner = 1 if level == "head" else z.shape[3]
    if level == "edge":
        pattern, value = factors(source.attention, seen, z, z.shape[0])
        inner = value.shape[2]
    head, other = index // inner, index % inner
    found = z.new_zeros(len(index), *z.shape)
    each = torch.arange(len(index), device=z.device)
    if level == "edge":
        weights = pattern[:, head, :, other]  # [some, batch, pos]: indices on both sides of a slice come first
        found[each, :, head] = weights[..., None] * value[:, head, other].transpose(0, 1)[:, :, None]
    elif level == "dim":
        found[each, :, head, :, other] = z[:, head, :, other]
    else:
        found[each, :, head] = z[:, head].transpose(0, 1)
    return found
