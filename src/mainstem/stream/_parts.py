"""A write taken apart into its subvalues: heads, (head, key position), attention dims, neurons, (expert, neuron).

A subvalue is a coordinate of h times what the frozen map after it makes of that coordinate. What a direction g on the
write gives each of them is therefore (A^T g) * h, summed as the level asks: one transpose a write, no vector is built.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from mainstem.algebra import Affine
from mainstem.core import Group, InputError, Key, Label
from mainstem.find import Captured, Source, Write

from ._attention import factors, heads
from ._pass import Pass, graded

LEVELS = ("write", "head", "edge", "dim", "neuron")


def applies(write: Write, level: str) -> bool:
    """Whether a level takes this write apart, or leaves it whole. Parameters: `write`; `level`, one of `LEVELS`."""
    if write.writer is None or level == "write":
        return False
    attends = any(s.attention for s in write.writer.sources)
    return attends if level in ("head", "edge", "dim") else not attends


def needed(write: Write) -> set[Key]:
    """The calls to capture for taking a write apart. Parameters: `write`."""
    if write.writer is None:
        return set()
    keys = set(write.writer.program.keys())
    for source in write.writer.sources:
        keys |= {source.site.key} | ({source.attention.key} if source.attention else set())
    return keys


def subscores(run: Pass, write: Write, level: str, g: Tensor, seen: Captured, keep_pos: bool) -> list[Group]:
    """The write's share of <g, stream>, split over its subvalues, with its constant as a row of its own.

    Parameters: `run`; `write`; `level`; `g`, the direction pulled back to the write's point; `seen`, a run with `needed`
    captured; `keep_pos`, leave the position axis instead of summing it.
    """
    assert write.writer is not None
    affine, likes = writer_map(run, write, seen)
    g = write.factor * g
    pulled = affine.adjoint(*likes)(g)
    groups = []
    for i, (source, h, a) in enumerate(zip(write.writer.sources, likes, pulled, strict=True)):
        label = write.label if len(likes) == 1 else f"{write.label}.B{i}"
        groups.append(_group(run, label, write.kind, source, level, h, a, seen, keep_pos, affine, likes, i, g))
    constant = affine.constant(*likes)
    if bool((constant != 0).any()):
        groups.append(Group(f"{write.label}.bias", "constant", reduce(g * constant, keep_pos)))
    return groups


def writer_map(run: Pass, write: Write, seen: Captured) -> tuple[Affine, tuple[Tensor, ...]]:
    """The frozen map from a write's sources to the write, and the sources' values. Parameters: `run`; `write`; `seen`."""
    assert write.writer is not None
    return run.affine(write.writer.program, seen), tuple(run.lift(seen.at(s.site)) for s in write.writer.sources)


def reduce(product: Tensor, keep_pos: bool) -> Tensor:
    """Sums an elementwise product over features: to [batch, pos], or to [batch]. Parameters: `product`; `keep_pos`."""
    return product.sum(-1) if keep_pos else product.flatten(1).sum(1)


def _group(
    run: Pass, label: str, kind: str, source: Source, level: str, h: Tensor, a: Tensor, seen: Captured, keep_pos: bool,
    affine: Affine, likes: tuple[Tensor, ...], at: int, g: Tensor,
) -> Group:  # fmt: skip
    if source.attention is not None and level != "neuron":
        return _heads(label, kind, source, level, h, a, seen, g.shape[0], keep_pos)
    if source.groups is not None:
        return _experts(label, kind, source, affine, likes, at, g, seen, keep_pos)
    return Group(label, kind, _neurons(source, h, a, affine, likes, at, g, keep_pos), ("neuron",))


def _heads(label: str, kind: str, source: Source, level: str, h: Tensor, a: Tensor, seen: Captured, batch: int, keep_pos: bool) -> Group:
    assert source.attention is not None
    z, pull = heads(h, batch), heads(a, batch)
    if level == "edge":
        pattern, value = factors(source.attention, seen, z, batch)
        scores = (pattern * (pull @ value.transpose(-1, -2))).permute(1, 3, 0, 2)
        axes: tuple[str, ...] = ("head", "key_pos")
    elif level == "dim":
        scores, axes = (z * pull).permute(1, 3, 0, 2), ("head", "dim")
    else:
        scores, axes = (z * pull).sum(-1).transpose(0, 1), ("head",)
    return Group(label, kind, scores if keep_pos else scores.sum(-1), axes)


def _neurons(source: Source, h: Tensor, a: Tensor, affine: Affine, likes: tuple[Tensor, ...], at: int, g: Tensor, keep_pos: bool) -> Tensor:
    """[neuron, batch] or [neuron, batch, pos]."""
    product = (h * a).movedim(source.axis, 0)
    rest, batch = product.shape[1:], g.shape[0]
    if keep_pos and rest.numel() == g.shape[:-1].numel():
        return product.reshape(-1, *g.shape[:-1])
    if not keep_pos and (rest[0] == batch or rest.numel() % batch == 0 and rest.numel() == g.shape[:-1].numel()):
        return product.reshape(product.shape[0], batch, -1).sum(-1)
    return torch.stack([(h * pulled).movedim(source.axis, 0).flatten(1).sum(1) for pulled in _one_by_one(affine, likes, at, g, keep_pos)], 1).reshape(
        product.shape[0], *(g.shape[:-1] if keep_pos else g.shape[:1])
    )


def _one_by_one(affine: Affine, likes: tuple[Tensor, ...], at: int, g: Tensor, keep_pos: bool) -> Iterable[Tensor]:
    """The pulled-back direction of one prompt (or one position) at a time, where rows of h are not rows of the stream."""
    pull = affine.adjoint(*likes)
    places = [(b, t) for b in range(g.shape[0]) for t in range(g.shape[1])] if keep_pos else [(b,) for b in range(g.shape[0])]
    for place in places:
        alone = torch.zeros_like(g)
        alone[place] = g[place]
        yield pull(alone)[at]


def _experts(label: str, kind: str, source: Source, affine: Affine, likes: tuple[Tensor, ...], at: int, g: Tensor, seen: Captured, keep_pos: bool) -> Group:
    """Rows of h belong to experts: row r to the first expert whose end is beyond r."""
    assert source.groups is not None
    ends, h = seen.at(source.groups), likes[at]
    expert = torch.searchsorted(ends.to(torch.long), torch.arange(h.shape[0], device=h.device), right=True)
    found = []
    for pulled in _one_by_one(affine, likes, at, g, keep_pos):
        scores = h.new_zeros(ends.shape[0], h.shape[-1])
        found.append(scores.index_add(0, expert, h * pulled))
    values = torch.stack(found, -1).reshape(ends.shape[0], h.shape[-1], *(g.shape[:-1] if keep_pos else g.shape[:1]))
    return Group(label, kind, values, ("expert", "neuron"))


@graded
def subvector(run: Pass, write: Write, label: Label, seen: Captured) -> Tensor:
    """What one subvalue adds to the stream, at every position.

    Parameters: `run`; `write`; `label`, with the coordinates of the subvalue; `seen`, a run with `needed` captured.
    """
    affine, likes = writer_map(run, write, seen)
    if label.write.endswith(".bias"):
        return write.factor * affine.constant(*likes)
    at = int(label.write.rpartition(".B")[2]) if len(likes) > 1 and ".B" in label.write else 0
    alone = _alone(run, write.writer.sources[at], dict(label.at), likes[at], seen, run.raw_point(-1).shape[0])  # type: ignore[union-attr]
    return write.factor * affine.linear(alone[None], likes, at)[0]


def _alone(run: Pass, source: Source, at: dict[str, int], h: Tensor, seen: Captured, batch: int) -> Tensor:
    """h with all but one coordinate zero (for an edge: the one key position's share of the head)."""
    _check(source, at)
    if source.attention is None:
        mask = torch.zeros_like(h)
        mask.select(source.axis, _inside(at["neuron"], h.shape[source.axis], "neuron")).fill_(1)
        if source.groups is not None and "expert" in at:
            ends = seen.at(source.groups).to(torch.long)
            rows = torch.searchsorted(ends, torch.arange(h.shape[0], device=h.device), right=True) == at["expert"]
            mask = mask * rows[:, None]
        return h * mask
    z = heads(h, batch)
    head = _inside(at["head"], z.shape[1], "head")
    alone = torch.zeros_like(z)
    if "key_pos" in at:
        pattern, value = factors(source.attention, seen, z, batch)
        j = _inside(at["key_pos"], value.shape[2], "key position")
        alone[:, head] = pattern[:, head, :, j, None] * value[:, head, j, None]
    elif "dim" in at:
        alone[:, head, :, at["dim"]] = z[:, head, :, at["dim"]]
    else:
        alone[:, head] = z[:, head]
    return alone.reshape(h.shape)


def _check(source: Source, at: dict[str, int]) -> None:
    if source.attention is not None and "head" not in at:
        raise InputError("this write is attention: its parts are heads, such as L3.attn.H7 or L3.attn.H7<-5.")
    if source.attention is None and "neuron" not in at:
        raise InputError("this write has neurons, such as L3.mlp.N120, and no heads.")


def _inside(index: int, size: int, what: str) -> int:
    if not 0 <= index < size:
        raise InputError(f"there is no {what} {index}: this write has {size}, counted from 0.")
    return index
