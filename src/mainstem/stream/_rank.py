"""Writes as rows times one matrix, and directions whose rows are multiples of a few: A^T g then takes a few rows, not all.

Where one token is scored, the directions of all positions are multiples of one another in most models: frozen norms scale
them, and nothing more. It is looked for in the numbers, so that it holds whatever the reason.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from mainstem.algebra import Split

from ._places import onto

_ROUNDINGS = 32


@dataclass(frozen=True, eq=False)
class Ranked:
    """Rows r -> scale[r] * base[kinds[r]]."""

    scale: Tensor
    base: Tensor
    kinds: Tensor

    def times(self, matrix: Tensor) -> Tensor:
        """The rows times a matrix. Parameters: `matrix`, [features, any]."""
        few = self.base @ matrix
        return self.scale[:, None] * (few if few.shape[0] == 1 else few[self.kinds])


@dataclass(eq=False)
class Ranks:
    """Looks for rows that are multiples of each other within each kind, once for every tensor.

    Parameters: `kinds`, which kind each row is of, None where all may be of one; `count`, how many kinds.
    """

    kinds: Tensor | None = None
    count: int = 1
    found: dict[tuple[int, tuple[int, ...]], tuple[Tensor, Ranked | None]] = field(default_factory=dict)

    def of(self, rows: Tensor) -> Ranked | None:
        """The structure of rows, None where they have none, or where gradients could depend on it. Parameters: `rows`, 2-D."""
        if rows.requires_grad or self.count * 4 > rows.shape[0]:
            return None
        key = rows.data_ptr(), tuple(rows.shape)
        if key not in self.found:
            self.found[key] = rows, self._ranked(rows)  # kept, so that its place in memory stays its own
        return self.found[key][1]

    def _ranked(self, rows: Tensor) -> Ranked | None:
        n, kinds = rows.shape[0], self.kinds
        if kinds is None or self.count == 1:
            kinds = torch.zeros(n, dtype=torch.long, device=rows.device)
        if kinds.numel() != n:
            return None
        size = rows.abs().amax(-1)
        largest = size.new_zeros(self.count).scatter_reduce(0, kinds, size, "amax")
        mine = size == largest[kinds]
        first = kinds.new_full((self.count,), n).scatter_reduce(0, kinds[mine], mine.nonzero()[:, 0], "amin")
        base = rows[first.clamp_max(n - 1)]
        square = base.square().sum(-1)
        scale = (rows * base[kinds]).sum(-1) / torch.where(square == 0, 1.0, square)[kinds]
        miss = torch.addcmul(rows, scale[:, None], base[kinds], value=-1).abs().amax(-1)
        limit = _ROUNDINGS * torch.finfo(rows.dtype).eps * size
        return Ranked(scale, base, kinds) if bool((miss <= limit).all()) else None


@dataclass(frozen=True, eq=False)
class Product:
    """A write's frozen map from its one source, taken apart at its product.

    Parameters: `split`, the map; `source`, the source's value; `shape`, of the write where it was made; `ranks`.
    """

    split: Split
    source: Tensor
    shape: torch.Size
    ranks: Ranks

    def pull(self, g: Tensor) -> Tensor:
        """A^T g, of the source's shape. Parameters: `g`, a direction on the write."""
        before, after = self.split.before, self.split.after
        g = onto(g, self.shape)
        out = self.split.call.out
        g = after.adjoint(out)(g)[0] if after.program.steps else g.reshape(out.shape)
        rows = g.reshape(-1, g.shape[-1])
        ranked = self.ranks.of(rows)
        back = rows @ self.split.matrix if ranked is None else ranked.times(self.split.matrix)
        back = back.reshape(*g.shape[:-1], -1)
        return before.adjoint(self.source)(back)[0] if before.program.steps else back.reshape(self.source.shape)

    def constant(self) -> Tensor | None:
        """What the map makes of nothing; None where that is nothing."""
        split = self.split
        start = None if split.moves else split.before(torch.zeros_like(self.source))
        if start is not None and bool((start != 0).any()):
            made = start @ split.matrix.mT
            return split.after(made if split.bias is None else made + split.bias)
        if split.bias is None and not split.after.program.steps:
            return None
        out = split.call.out
        return split.after(torch.zeros_like(out) if split.bias is None else split.bias.expand(out.shape))

    def ordered(self, rows: int, axis: int) -> bool:
        """Whether rows of the source are rows of the stream, in its order. Parameters: `rows`, of the stream; `axis`, not of rows."""
        plain = self.split.ordered and not self.split.before.program.steps and axis in (-1, self.source.ndim - 1)
        return plain and self.source.shape[:-1].numel() == rows
