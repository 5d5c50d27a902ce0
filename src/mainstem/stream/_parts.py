"""A write taken apart into its subvalues: heads, (head, key position), attention dims, neurons, (expert, neuron).

A subvalue is a coordinate of h times what the frozen map after it makes of that coordinate. What a direction g on the
write gives each of them is therefore (A^T g) * h, summed as the level asks: one transpose a write, no vector is built.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from mainstem.algebra import Affine, split
from mainstem.core import Group, InputError, Key, Label
from mainstem.find import Attention, Captured, Source, Write

from ._attention import factors, heads
from ._pass import Pass, graded
from ._places import Places, one_by_one, onto, reduce, weighed
from ._rank import Product, Ranks
from ._target import experts_of

LEVELS = ("write", "head", "edge", "dim", "neuron")
Pull = Callable[[Tensor], Tensor]


def applies(write: Write, level: str) -> bool:
    """Whether a level takes this write apart, or leaves it whole. Parameters: `write`; `level`, one of `LEVELS`."""
    if write.writer is None or level == "write":
        return False
    attends = any(s.attention for s in write.writer.sources)
    return attends if level in ("head", "edge", "dim") else not attends


def opened(run: Pass, write: Write, level: str) -> str | None:
    """The level to which a write of this run can be taken apart, None where it stays whole.

    A write that was edited is not what its parts made, and stays whole; inside an edited head there are no edges.

    Parameters: `run`; `write`; `level`, the level asked for.
    """
    if not applies(write, level) or run.edited(write.site) or write.writer is None:
        return None
    return "head" if level == "edge" and any(run.edited(s.site) for s in write.writer.sources) else level


def needed(write: Write) -> set[Key]:
    """The calls to capture for taking a write apart. Parameters: `write`."""
    if write.writer is None:
        return set()
    keys = set(write.writer.program.keys())
    for source in write.writer.sources:
        keys |= {source.site.key} | ({source.attention.key} if source.attention else set())
    return keys


def subscores(
    run: Pass, write: Write, level: str, g: Tensor, seen: Captured, places: Places, ranks: Ranks | None = None
) -> list[Group]:
    """The write's share of <g, stream>, split over its subvalues, with its constant as a row of its own.

    Parameters: `run`; `write`; `level`; `g`, the direction pulled back to the write's point; `seen`, a run with `needed`
    captured; `places`, (batch,), or (batch, pos) for scores at every position; `ranks`, finds rows of g that are multiples of
    others.
    """
    assert write.writer is not None
    affine, likes = writer_map(run, write, seen)
    g = g if write.factor == 1 else write.factor * g
    if len(likes) == 1 and (found := split(affine)) is not None:
        return _by_product(run, write, level, g, seen, places, Product(found, likes[0], _shape(run, write), ranks or Ranks()))
    made = affine.adjoint(*likes)

    def adjoint(g: Tensor) -> tuple[Tensor, ...]:
        return made(onto(g, _shape(run, write)))

    groups = []
    for i, (source, h) in enumerate(zip(write.writer.sources, likes, strict=True)):
        label = write.label if len(likes) == 1 else f"{write.label}.B{i}"
        groups.append(_group(label, write.kind, source, level, h, seen, places, partial(_nth, adjoint, i), g))
    constant = run.shaped(affine.constant(*likes))
    if bool((constant != 0).any()):
        groups.append(Group(f"{write.label}.bias", "constant", reduce(g * constant, places)))
    return groups


def _by_product(run: Pass, write: Write, level: str, g: Tensor, seen: Captured, places: Places, product: Product) -> list[Group]:
    """The same for a write that is one matrix times the rows of its one source."""
    assert write.writer is not None
    (source,), h = write.writer.sources, product.source
    in_order = g.shape[: len(places)] == places and product.ordered(g.shape[:-1].numel(), source.axis)
    if _numbered(source, level) and in_order:
        values = (h * product.pull(g)).reshape(*places, -1, h.shape[-1])
        values = values.sum(-2) if values.shape[-2] > 1 else values.squeeze(-2)
        groups = [Group(write.label, write.kind, values.movedim(-1, 0), ("neuron",))]
    else:
        groups = [_group(write.label, write.kind, source, level, h, seen, places, product.pull, g)]
    constant = product.constant()
    if constant is not None and bool((constant != 0).any()):
        groups.append(Group(f"{write.label}.bias", "constant", reduce(g * run.shaped(constant), places)))
    return groups


def _numbered(source: Source, level: str) -> bool:
    return source.groups is None and (source.attention is None or level == "neuron")


def _shape(run: Pass, write: Write) -> torch.Size:
    return run.seen.at(write.site).shape


def _nth(adjoint: Callable[[Tensor], tuple[Tensor, ...]], i: int, g: Tensor) -> Tensor:
    return adjoint(g)[i]


def writer_map(run: Pass, write: Write, seen: Captured) -> tuple[Affine, tuple[Tensor, ...]]:
    """The frozen map from a write's sources to the write, and the sources' values. Parameters: `run`; `write`; `seen`."""
    assert write.writer is not None
    return run.affine(write.writer.program, seen), tuple(run.lift(seen.at(s.site)) for s in write.writer.sources)


def _group(
    label: str, kind: str, source: Source, level: str, h: Tensor, seen: Captured, places: Places, pull: Pull, g: Tensor
) -> Group:
    if source.attention is not None and level != "neuron":
        return _heads(label, kind, source, level, h, seen, places, pull, g)
    if source.groups is not None:
        return _experts(label, kind, source, h, seen, places, pull, g)
    return Group(label, kind, _neurons(source, h, places, pull, g), ("neuron",))


def _heads(
    label: str, kind: str, source: Source, level: str, h: Tensor, seen: Captured, places: Places, pull: Pull, g: Tensor
) -> Group:
    """Attention that runs over windows has several rows a prompt, and a score takes what one prompt gives alone."""
    assert source.attention is not None
    z = heads(h, places[0])
    axes = {"edge": ("head", "key_pos"), "dim": ("head", "dim")}.get(level, ("head",))
    terms = _head_terms(source.attention, level, z, seen, places[0])
    if (z.shape[0], z.shape[2])[: len(places)] == places:
        scores = terms(heads(pull(g), places[0]))
        return Group(label, kind, scores if len(places) > 1 else scores.sum(-1), axes)
    each = [terms(heads(pull(alone), places[0])).flatten(len(axes)).sum(-1) for alone in one_by_one(g, places)]
    return Group(label, kind, torch.stack(each, -1).unflatten(-1, places), axes)


def _head_terms(attention: Attention, level: str, z: Tensor, seen: Captured, batch: int) -> Callable[[Tensor], Tensor]:
    """[head, ..., batch, pos] of a direction pulled back to the heads' results."""
    if level == "edge":
        pattern, value = factors(attention, seen, z, batch)
        return lambda pull: (pattern * (pull @ value.transpose(-1, -2))).permute(1, 3, 0, 2)
    return lambda pull: (z * pull).permute(1, 3, 0, 2) if level == "dim" else (z * pull).sum(-1).transpose(0, 1)


def _neurons(source: Source, h: Tensor, places: Places, pull: Pull, g: Tensor) -> Tensor:
    """[neuron, batch] or [neuron, batch, pos]."""
    if not h.numel():  # a branch that no row of this input takes
        return h.new_zeros(h.shape[source.axis], *places)
    a = pull(g)
    if _aligned(source, a, places, pull, g):
        return (h * a).movedim(source.axis, 0).reshape(h.shape[source.axis], *places, -1).sum(-1)
    each = [(h * pull(alone)).movedim(source.axis, 0).flatten(1).sum(1) for alone in one_by_one(g, places)]
    return torch.stack(each, 1).reshape(-1, *places)


def _aligned(source: Source, a: Tensor, places: Places, pull: Pull, g: Tensor) -> bool:
    """Whether the rows of h are the stream's, in its order: weights on those come back as weights on these.

    An expert's rows are some of the stream's; their number alone could tell the wrong thing.
    """
    n = torch.Size(places).numel()
    if n == 1 or a.numel() % (n * a.shape[source.axis]):
        return n == 1
    weights = 1 + torch.arange(n, dtype=g.dtype, device=g.device) * 0.6180339887 % 1
    back = pull(weighed(g, weights, places))
    there = a.movedim(source.axis, 0).reshape(a.shape[source.axis], n, -1) * weights[:, None]
    return bool(
        torch.allclose(
            back.movedim(source.axis, 0).reshape_as(there), there, rtol=1e-3, atol=1e-3 * float(a.detach().abs().max())
        )
    )


def _experts(label: str, kind: str, source: Source, h: Tensor, seen: Captured, places: Places, pull: Pull, g: Tensor) -> Group:
    """Rows of h belong to experts: row r to the first expert whose end is beyond r."""
    assert source.groups is not None
    ends = seen.at(source.groups)
    expert, none = experts_of(ends, h), h.new_zeros(ends.shape[0], h.shape[-1])
    each = [none.index_add(0, expert, h * pull(alone)) for alone in one_by_one(g, places)]
    return Group(label, kind, torch.stack(each, -1).reshape(*none.shape, *places), ("expert", "neuron"))


@graded
def subvector(run: Pass, write: Write, label: Label, seen: Captured, unit: bool = False) -> Tensor:
    """What one subvalue, or the constant, adds to the stream, at every position.

    Parameters: `run`; `write`; `label`, with the coordinates of the subvalue; `seen`, a run with `needed` captured; `unit`,
    what it would add if its coordinate were one everywhere: the row of weights that it is multiplied with.
    """
    if write.writer is None:
        raise InputError(f"{label} does not exist: {write.label} has no parts.")
    affine, likes = writer_map(run, write, seen)
    if label.write == f"{write.label}.bias" and not label.at:
        return write.factor * run.shaped(affine.constant(*likes))
    at = branch(write, label)
    source = write.writer.sources[at]
    alone = (_one if unit else _alone)(run, source, label, likes[at], seen)
    return write.factor * run.shaped(affine.linear(alone[None], likes, at)[0])


def branch(write: Write, label: Label) -> int:
    """Which of a write's sources a label is inside of: `L3.mlp.B1.N7` where there are several."""
    assert write.writer is not None
    names = [write.label] if len(write.writer.sources) == 1 else [f"{write.label}.B{i}" for i in range(len(write.writer.sources))]
    if label.write not in names:
        raise InputError(f"{label} does not exist: the parts of {write.label} are in {', '.join(names)}.")
    return names.index(label.write)


def _alone(run: Pass, source: Source, label: Label, h: Tensor, seen: Captured) -> Tensor:
    """h with all but one coordinate zero (for an edge: the one key position's share of the head)."""
    axes = [axis for axis, _ in label.at]
    if source.attention is None:
        fits(label, axes in (["neuron"], ["expert", "neuron"][source.groups is None :]), "neurons, such as N0")
        return h * _chosen(source, dict(label.at), h, seen)
    fits(label, axes in (["head"], ["head", "key_pos"], ["head", "dim"]), "heads, such as H0, with H0<-1 and H0.D2 inside")
    if "key_pos" in axes and run.edited(source.site):
        raise InputError(f"{label}: a head of this write was edited, so that its heads are no longer sums over key positions.")
    return _of_head(source.attention, dict(label.at), heads(h, run.prompts), seen).reshape(h.shape)


def _one(run: Pass, source: Source, label: Label, h: Tensor, seen: Captured) -> Tensor:
    """One at a single coordinate of h, zero elsewhere."""
    axes = [axis for axis, _ in label.at]
    if source.attention is None:
        plain = source.groups is None
        rows = "rows of neurons, such as N0" if plain else "rows of neurons of an expert, such as E0.N0"
        fits(label, axes == (["neuron"] if plain else ["expert", "neuron"]), rows)
        return _chosen(source, dict(label.at), h, seen)
    fits(label, axes == ["head", "dim"], "rows of attention dims, such as H0.D2")
    z, at = heads(h, run.prompts), dict(label.at)
    one = torch.zeros_like(z)
    one[:, inside(at["head"], z.shape[1], "head"), :, inside(at["dim"], z.shape[-1], "dim")] = 1
    return one.reshape(h.shape)


def _chosen(source: Source, at: dict[str, int], h: Tensor, seen: Captured) -> Tensor:
    """One where h belongs to the neuron, and to the expert if one is named."""
    mask = torch.zeros_like(h)
    mask.select(source.axis, inside(at["neuron"], h.shape[source.axis], "neuron")).fill_(1)
    if source.groups is None or "expert" not in at:
        return mask
    ends = seen.at(source.groups)
    return mask * (experts_of(ends, h) == inside(at["expert"], ends.shape[0], "expert"))[:, None]


def _of_head(attention: Attention, at: dict[str, int], z: Tensor, seen: Captured) -> Tensor:
    head, alone = inside(at["head"], z.shape[1], "head"), torch.zeros_like(z)
    if "key_pos" in at:
        pattern, value = factors(attention, seen, z, z.shape[0])
        j = inside(at["key_pos"], value.shape[2], "key position")
        alone[:, head] = pattern[:, head, :, j, None] * value[:, head, j, None]
    elif "dim" in at:
        dim = inside(at["dim"], z.shape[-1], "dim")
        alone[:, head, :, dim] = z[:, head, :, dim]
    else:
        alone[:, head] = z[:, head]
    return alone


def fits(label: Label, ok: bool, inner: str) -> None:
    if not ok:
        raise InputError(f"{label} does not exist: {label.write} has {inner}.")


def inside(index: int, size: int, what: str) -> int:
    if not 0 <= index < size:
        raise InputError(f"there is no {what} {index}: this write has {size}, counted from 0.")
    return index
