"""The readout as every lens uses it: one way for all rows up to the unembedding, tiles of rows behind it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.algebra import Split, cut, last_product, rows_at, rule, tensors
from mainstem.core import InputError
from mainstem.stream import Pass, readout, transport

Span = tuple[int, int]  # the first position of a stretch, and the one behind its last
TILE = 2**22  # numbers of one tile of logits: 16 MB in float32


@dataclass(frozen=True, eq=False)
class Reader:
    """The readout in two: `before` for all rows of a point, `after` for a tile of rows, where every row is by itself there.

    Parameters: `before`; `after`.
    """

    before: Callable[[Tensor], Tensor]
    after: Callable[[Tensor], Tensor]

    def rows(self, run: Pass, value: Tensor, places: Tensor | None = None, span: Span | None = None) -> Tensor:
        """[row, any] of a point, the rows that are looked at. Parameters: `run`; `value`, its face; `places`; `span`, as of `spanned`."""
        value = run.shaped(self.before(value))
        value = value if places is None else rows_at(value, places, value.shape[1])
        return spanned(value, span).flatten(0, -2)

    def logits(self, rows: Tensor) -> Tensor:
        """[point, row, vocab]. Parameters: `rows`, [point, row, any]."""
        return self.after(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])


def spanned(value: Tensor, span: Span | None) -> Tensor:
    """A stretch of positions of [batch, pos, any]. Parameters: `value`; `span`, None for all of them."""
    return value if span is None else value[:, span[0] : span[1]]


def reader(run: Pass, norm: str = "own") -> Reader:
    """The readout for rows of any points. Parameters: `run`; `norm`, "own", or "final" for that frozen at the last point."""
    frozen = norm == "final"
    whole = run.affine(run.stream.points[-1].onward) if frozen else readout(run)
    at = last_product(whole.program)
    found = None if at is None else cut(whole, at)
    if found is None or not _by_rows(found, frozen):
        return Reader(whole if frozen else whole.live, lambda logits: logits)
    before = found.before if frozen else found.before.live

    def after(rows: Tensor) -> Tensor:
        return found.after.live(torch.nn.functional.linear(rows, found.matrix, found.bias))

    return Reader(before, after)


def _by_rows(found: Split, frozen: bool) -> bool:
    """Whether what follows the product says the same for any rows: no factor of theirs, and nothing frozen at them."""
    steps = zip(found.after.program.steps, found.after.calls, strict=True)
    others = [t for step, call in steps for path, t in tensors(call.args) if path != step.wires[0].operand]
    acts = [call for call in found.after.calls if (known := rule(call.name)) is not None and known.sort == "act"]
    return all(t.numel() == 1 or t.ndim == 1 for t in others) and not (frozen and acts)


def face(run: Pass, t: int) -> Tensor:
    """Point t as the readout reads the last point. Parameters: `run`; `t`."""
    last = len(run.stream.points) - 1
    if run.point(t).shape == run.point(last).shape:
        return run.face(t)
    value = run.point(t)
    for step in (step for u in range(t, last) for step in transport(run, u)):
        value = step.live(value)
    return run.affine(run.stream.points[last].face).live(value)


def unembedding(run: Pass) -> tuple[Tensor, Tensor | None]:
    """The matrix of the readout's last product and its bias, as the module holds them.

    Parameters: `run`. Raises `InputError` where the readout does not end in a product.
    """
    found = None
    if run.trail is not None and (at := last_product(run.trail.program)) is not None:
        found = cut(run.trail, at)
    if found is None:
        raise InputError(
            "this model's readout does not end in a product with an unembedding, by which a tuned lens knows its model."
        )
    return found.matrix, found.bias


def expected(p: Tensor, values: Tensor) -> Tensor:
    """The mean of values under a distribution; those of probability zero add nothing even where they are infinite.

    Parameters: `p`, [..., vocab], the probabilities; `values`, of that shape.
    """
    plain = (p * values).sum(-1)
    return torch.where(p == 0, 0.0, p * values).sum(-1) if bool(plain.isnan().any()) else plain
