"""Tokens a few at a time, in float64, with what several measures need of them worked out once.

A piece is small enough to stay near the processor: float64 throughout then costs hardly more than float32 once over all tokens.
"""

from collections.abc import Iterator
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_CACHED = 2**19  # float64 numbers of a piece on a processor: 4 MiB, where calls and numbers cost about the same
_LARGE = 2**24  # on an accelerator, where each call costs more than its numbers


class Piece:
    """Some tokens of one site. Those that do not count are rows of zeros with weight 0.

    Parameters: `x`, in float64; `counted`, which tokens count; `ids`, -1 where they have none; `dtype` that the values had.
    """

    def __init__(self, x: Float[Tensor, "token width"], counted: Bool[Tensor, " token"], ids: Tensor, dtype: torch.dtype) -> None:
        self.x, self.counted, self.ids, self.dtype = x, counted, ids, dtype
        self.weight = counted.double()

    @cached_property
    def width(self) -> Tensor:
        """A scalar: a state that needs the width holds it."""
        return torch.tensor(self.x.shape[1], device=self.x.device)

    @cached_property
    def mean(self) -> Tensor:
        """[token], over features."""
        return self.x.mean(1)

    @cached_property
    def second(self) -> Tensor:
        """[token], the second moment about the token's mean."""
        return self._squares.mean(1)

    @cached_property
    def fourth(self) -> Tensor:
        """[token], the fourth moment about the token's mean."""
        return torch.linalg.vector_norm(self._squares, dim=1).square() / self.x.shape[1]

    @cached_property
    def norm(self) -> Tensor:
        """[token], the length; a sum of two squares, so nothing cancels."""
        return ((self.second + self.mean.square()) * self.x.shape[1]).sqrt()

    @cached_property
    def magnitude(self) -> Tensor:
        """[token, width], absolute values."""
        return self.x.abs()

    @cached_property
    def _squares(self) -> Tensor:
        return (self.x - self.mean[:, None]).square_()


def pieces(
    mask: Bool[Tensor, " token"], ids: Int[Tensor, " token"] | None, *sites: Float[Tensor, "token _"], square: bool = False
) -> Iterator[tuple[tuple[Piece, ...], Tensor]]:
    """Pieces of sites, and how many tokens were counted, were left out for a NaN, and for an Inf with no NaN, as `COUNTS` has them.

    A token counts where the mask says so and it is finite at every site. Parameters: `mask`; `ids`; `sites`, values of each;
    `square`, pieces at least as tall as wide, since what is made of each is a matrix of width x width.
    """
    widest = max(1, *(site.shape[1] for site in sites))
    rows = max(widest if square else 1, (_CACHED if mask.device.type == "cpu" else _LARGE) // widest)
    for start in range(0, len(mask), rows):
        at = slice(start, start + rows)
        some = [site[at].detach() for site in sites]
        counted, counts = _counted(mask[at], some)
        known = counted.new_full(counted.shape, -1, dtype=torch.int64) if ids is None else ids[at].long().contiguous()
        yield tuple(Piece(_cleared(one, counted), counted, known, one.dtype) for one in some), counts


def _cleared(values: Tensor, counted: Tensor) -> Tensor:
    """In float64, with rows of zeros for tokens that do not count; two passes, where a choice between rows would take longer."""
    return torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).double().mul_(counted.double()[:, None])


def _counted(mask: Tensor, sites: list[Tensor]) -> tuple[Tensor, Tensor]:
    ends = torch.stack([end.double() for site in sites for end in (site.amax(1), site.amin(1))])  # a NaN is passed on by both
    largest = ends.abs().amax(0)
    kinds = torch.stack([largest.isfinite(), largest.isnan(), largest.isinf()]) & mask
    return kinds[0], kinds.sum(1)
