"""The subvalues of a write as vectors at some places, factored so that a neuron's row is shared by all of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mainstem.algebra import Affine, Split, split
from mainstem.core import FACTOR, NotClosedError
from mainstem.find import Captured, Source, Write, Writer

from ._attention import factors, heads
from ._expand import alone_each, axes_of, sizes_of
from ._parts import opened, writer_map
from ._pass import Pass
from ._spots import Spots

_CHUNK = 2**26  # bytes of the vectors that are pushed through a writer at once


@dataclass(frozen=True, eq=False)
class Vectors:
    """Components of one write: at place p the i-th is scale[p, i] * rows[i], or scale[p, i] * rows[p, i].

    Parameters: `label` of what they are inside of; `kind`; `axes` and `sizes` inside it; `offset`, of the first one along
    these; `where`, [place], which of the places asked for; `scale`, [place, component]; `rows`, [component, d_model] or
    [place, component, d_model], as they are stored: all that is made of them is in float64. `split` says whether scales are
    coefficients of the run and rows what does not depend on them, such as weights.
    """

    label: str
    kind: str
    axes: tuple[str, ...]
    sizes: tuple[int, ...]
    offset: int
    where: Tensor
    scale: Float[Tensor, "place component"]
    rows: Tensor
    split: bool = False

    def dot(self, u: Float[Tensor, "place d_model"]) -> Float[Tensor, "place component"]:
        """<u, v> of a direction at every place with every component, summed in the precision of `u`. Parameters: `u`."""
        rows = self.rows.to(u.dtype)
        return self.scale * (u @ rows.T if rows.ndim == 2 else (rows @ u[..., None]).squeeze(-1)).double()

    @property
    def precision(self) -> torch.dtype:
        """That of sums over many rows: float64 where rows are, else float32."""
        return torch.float64 if self.rows.dtype == torch.float64 else torch.float32

    @cached_property
    def squares(self) -> Tensor:
        """|row|^2, [component] or [place, component], summed in `precision`."""
        return self.rows.to(self.precision).square().sum(-1).double()

    def lengths(self) -> Float[Tensor, "place component"]:
        """|v| of every component."""
        return self.scale.abs() * self.squares.sqrt()

    def pick(self, place: Tensor, component: Tensor) -> Float[Tensor, "some d_model"]:
        """The vectors of some components, each at a place. Parameters: `place`, along `where`; `component`."""
        rows = self.rows[component] if self.rows.ndim == 2 else self.rows[place, component]
        return self.scale[place, component][:, None] * rows.double()

    def total(self) -> Float[Tensor, "place d_model"]:
        """Their sum at every place, summed in `precision`."""
        return self._total

    @cached_property
    def _total(self) -> Tensor:
        rows = self.rows.to(self.precision)
        scale = self.scale.to(rows.dtype)
        return (scale @ rows if rows.ndim == 2 else (scale[:, None] @ rows).squeeze(1)).double()

    def each(self, length: Callable[[Tensor], Tensor]) -> Float[Tensor, "place component"]:
        """A length of every row, as often as there are places. Parameters: `length`, of rows [..., d_model]."""
        return length(self.rows).expand_as(self.scale)

    def at(self, place: int, component: Int[Tensor, "some"]) -> "Vectors":
        """Some of the components at one place, numbered anew. Parameters: `place`, along `where`; `component`."""
        rows = self.rows[component] if self.rows.ndim == 2 else self.rows[place, component][None]
        scale, where = self.scale[place, component][None], self.where[place : place + 1]
        return replace(self, axes=("component",), sizes=(len(component),), offset=0, where=where, scale=scale, rows=rows)

    def times(self, factor: float) -> "Vectors":
        """The same, longer. Parameters: `factor`."""
        return self if factor == 1 else replace(self, scale=factor * self.scale)


@dataclass(frozen=True, eq=False)
class _Maker:
    """One write about to be taken apart: its frozen map, the values of its sources, the places."""

    run: Pass
    write: Write
    level: str
    affine: Affine
    likes: tuple[Tensor, ...]
    seen: Captured
    spots: Spots

    @property
    def every(self) -> Tensor:
        """All places."""
        return torch.arange(len(self.spots), device=self.spots.at.device)

    @cached_property
    def t(self) -> int:
        """The point that the write is added at."""
        return next(t for t, p in enumerate(self.run.stream.points) if self.write in p.writes)

    def at(self, value: Tensor) -> Tensor:
        """What a value of the write's shape holds at the places."""
        return self.spots.of(self.run.shaped(value).expand_as(self.run.shaped(self.run.raw_point(self.t))))


def vectors(run: Pass, write: Write, level: str, seen: Captured, spots: Spots) -> Iterator[Vectors]:
    """What a level takes a write apart into, at some places: its subvalues and its constant, else the whole write.

    Parameters: `run`; `write`; `level`; `seen`, a run with what the level needs captured; `spots`, the places. Raises
    `NotClosedError` where they do not sum to the write.
    """
    depth = opened(run, write, level)
    if depth is None:
        yield whole(run, write, spots)
        return
    make = _Maker(run, write, depth, *writer_map(run, write, seen), seen, spots)
    product = split(make.affine) if len(make.likes) == 1 else None
    left = make.at(run.lift(run.seen.at(write.site))).detach()
    constant, size = _constant(make, product, left.shape[1]), left.norm(dim=-1)
    if constant is not None:
        left, size = left - constant.detach(), size + constant.detach().norm(dim=-1)
    for some in _made(make, product, left):
        left[some.where] -= some.total().detach()
        size[some.where] += some.lengths().sum(-1).detach()
        yield some.times(write.factor)
    if not run.rough(write, seen) and bool((left.abs().amax(-1) > FACTOR * torch.finfo(run.dtype).eps * size).any()):
        raise NotClosedError(f"{write.label}: its parts at level {level!r} miss it by {float(left.abs().max()):.3g}.")
    if constant is not None and bool((constant != 0).any()):
        yield _single(f"{write.label}.bias", "constant", write.factor * constant)


def _constant(make: _Maker, product: Split | None, width: int) -> Tensor | None:
    """What the write has whatever its sources are, at the places, of a width; None for nothing."""
    if product is not None and product.moves and product.plain:
        if product.bias is None:
            return None
        if product.bias.numel() == width:
            return product.bias.double().to(make.every.device).expand(len(make.spots), -1)
    return make.at(make.affine.constant(*make.likes))


def whole(run: Pass, write: Write, spots: Spots) -> Vectors:
    """A write as the one component that it is. Parameters: `run`; `write`; `spots`."""
    t = next(t for t, p in enumerate(run.stream.points) if write in p.writes)
    return _single(write.label, write.kind, spots.of(run.write(write).expand_as(run.point(t))))


def _single(label: str, kind: str, values: Tensor) -> Vectors:
    n = values.shape[0]
    return Vectors(label, kind, (), (), 0, torch.arange(n, device=values.device), values.new_ones(n, 1), values[:, None])


def _made(make: _Maker, found: Split | None, want: Tensor) -> Iterator[Vectors]:
    """Columns of one matrix where the write is that, else every coordinate pushed through its frozen map."""
    columns = None if found is None or len(make.spots.sizes) != 2 else _columns(make, found)
    if found is None or columns is None:
        return _pushed(make)
    if not found.plain:
        return _behind(make, found, columns) if make.level in ("neuron", "dim") else _pushed(make)
    return _factored(make, found, columns, want) or _pushed(make)


def _columns(make: _Maker, found: Split) -> Tensor | None:
    """Which column of the matrix each coordinate enters by, found by sending their numbers through the layout."""
    (source,), h = _writer(make).sources, make.likes[0]
    if source.groups is not None or not found.moves:
        return None
    if source.attention is None or make.level == "neuron":
        last = source.axis in (-1, h.ndim - 1) and not found.before.program.steps
        return torch.arange(h.shape[-1], device=h.device) if last else None
    z = heads(h, make.run.prompts)
    n = z.shape[1] * z.shape[3]
    numbers = torch.arange(n, device=h.device, dtype=torch.float64).reshape(1, z.shape[1], 1, z.shape[3])
    sent = found.before(numbers.expand(z.shape).reshape(h.shape))
    row = sent.reshape(-1, sent.shape[-1])[0].long()
    ordered = torch.equal(row.sort()[0], torch.arange(n, device=h.device)) and bool((sent.long() == row).all())
    return row.argsort() if ordered else None


def _writer(make: _Maker) -> Writer:
    assert make.write.writer is not None
    return make.write.writer


def _factored(make: _Maker, product: Split, columns: Tensor, want: Tensor) -> Iterator[Vectors] | None:
    """None where rows do not stand in the stream's order: the sum tells."""
    (source,), h, spots = _writer(make).sources, make.likes[0], make.spots
    here, rows = spots.at.device, product.matrix.detach().T
    columns = columns.to(rows.device)
    rows = (rows if torch.equal(columns, torch.arange(len(rows), device=rows.device)) else rows[columns]).to(here)
    entering = product.before(h)
    if entering.numel() != torch.Size(spots.sizes).numel() * len(columns):
        return None
    scale = spots.of(entering.reshape(*spots.sizes, -1))[:, columns.to(here)]
    axes, sizes = axes_of(source, make.level), sizes_of(source, make.level, h, make.seen, make.run)
    found = Vectors(make.write.label, make.write.kind, axes, sizes, 0, make.every, scale, rows, True)
    if bool(((found.total() - want).abs().amax(-1) > 1e-3 * found.lengths().sum(-1) + 1e-30).any()):
        return None
    if make.level in ("neuron", "dim"):
        return iter([found])
    count, width = heads(h, make.run.prompts).shape[1::2]
    matrix = rows.double().unflatten(0, (count, width))
    if make.level == "head":
        made = torch.einsum("phk,hkd->phd", scale.unflatten(1, (count, width)), matrix)
        return iter([Vectors(make.write.label, make.write.kind, axes, sizes, 0, make.every, made.new_ones(made.shape[:2]), made)])
    return _edges(make, source, matrix, axes, sizes)


def _edges(make: _Maker, source: Source, matrix: Tensor, axes: tuple[str, ...], sizes: tuple[int, ...]) -> Iterator[Vectors]:
    """For every prompt, the values of its key positions through each head, scaled by the pattern. `matrix`: [head, d_head, d_model]."""
    assert source.attention is not None
    z = heads(make.likes[0], make.run.prompts)
    pattern, value = factors(source.attention, make.seen, z, z.shape[0])
    prompt, place = make.spots.at.T
    for b in prompt.unique().tolist():
        where = make.every[prompt == b]
        rows = torch.einsum("hjk,hkd->hjd", value[b].to(matrix), matrix).flatten(0, 1)
        scale = pattern[b].to(matrix.device)[:, place[where]].transpose(0, 1).flatten(1).double()
        yield Vectors(make.write.label, make.write.kind, axes, sizes, 0, where, scale, rows, True)


def _behind(make: _Maker, found: Split, columns: Tensor) -> Iterator[Vectors]:
    """Columns that something follows which differs from place to place, such as a norm: each is put there and sent through."""
    entering = found.before(make.likes[0])
    entering = entering.reshape(*found.call.out.shape[:-1], -1)
    (source,) = _writer(make).sources
    axes, sizes = axes_of(source, make.level), sizes_of(source, make.level, make.likes[0], make.seen, make.run)
    for some in columns.split(max(1, _CHUNK // (8 * found.call.out.numel()))):
        alone = entering[..., some].movedim(-1, 0)[..., None] * found.matrix.T[some].reshape(
            len(some), *[1] * (entering.ndim - 1), -1
        )
        yield _stacked(make, make.write.label, axes, sizes, int((columns == some[0]).nonzero()), found.after.linear(alone))


def _pushed(make: _Maker) -> Iterator[Vectors]:
    """Any other writer: every coordinate alone through the whole frozen map, some at a time."""
    for i, (source, h) in enumerate(zip(_writer(make).sources, make.likes, strict=True)):
        label = make.write.label if len(make.likes) == 1 else f"{make.write.label}.B{i}"
        axes, sizes = axes_of(source, make.level), sizes_of(source, make.level, h, make.seen, make.run)
        size = max(h.numel(), make.run.seen.at(make.write.site).numel())
        for some in torch.arange(prod(sizes), device=h.device).split(max(1, _CHUNK // (8 * size))):
            alone = alone_each(source, make.level, h, make.seen, make.run, some)
            yield _stacked(make, label, axes, sizes, int(some[0]), make.affine.linear(alone, make.likes, i))


def _stacked(make: _Maker, label: str, axes: tuple[str, ...], sizes: tuple[int, ...], offset: int, made: Tensor) -> Vectors:
    rows = torch.stack([make.at(v) for v in made], 1)
    return Vectors(label, make.write.kind, axes, sizes, offset, make.every, rows.new_ones(rows.shape[:2]), rows)
