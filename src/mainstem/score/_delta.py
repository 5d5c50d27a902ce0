"""Sums over the whole vocabulary for what bounds leave open: from p at x and from how what is read changes, mostly in float32.

p is worked out in float64 and rounded then. delta = U (n(x + v) - n(x)) is a product with a short vector where v is small, so that
float32 puts it off by little, where x + v itself would be put off by much. By how much at most is said with each number.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ._survey import Survey
from ._tiles import ROWS, Unembedding

_BLOCK = 128  # numbers of the width that a product sums in one go: what it is off by grows with them
_FAR = 20.0  # |delta| below which no p in float32 is lost that exp(delta) could make heavy
_U = torch.finfo(torch.float32).eps / 2  # a rounding in float32, as a share


def shares(
    unembedding: Unembedding, normed: Float[Tensor, "row d_model"], logsumexp: Float[Tensor, "row"]
) -> Iterator[tuple[int, Float[Tensor, "token d_model"], Float[Tensor, "row token"]]]:
    """Tiles of the unembedding in float32, its factor in them, with where they begin and p of their tokens at every row.

    Parameters: `unembedding`; `normed`, n(x); `logsumexp`, over the vocabulary.
    """
    plain = unembedding.matrix.dtype == torch.float32 and unembedding.factor == 1
    for first, matrix, bias in unembedding.tiles():
        logits = normed @ matrix.T if bias is None else torch.addmm(bias, normed, matrix.T)
        rows = unembedding.matrix[first : first + len(matrix)] if plain else matrix.float()
        yield first, rows, logits.sub_(logsumexp[:, None]).exp_().float()


def log_mean(
    unembedding: Unembedding,
    normed: Float[Tensor, "row d_model"],
    logsumexp: Float[Tensor, "row"],
    at: Int[Tensor, "some"],
    moved: Float[Tensor, "some d_model"],
) -> Float[Tensor, "some"]:
    """log E_p[exp U d] of some changes d of what is read, as nearly as `roughly` says.

    Parameters: `unembedding`; `normed` and `logsumexp`, as of `shares`; `at`, the row that each change is made at; `moved`, the
    changes.
    """
    total = torch.zeros(len(moved), dtype=torch.float64, device=moved.device)
    for _, matrix, p in shares(unembedding, normed, logsumexp):
        tiles = matrix.split(_BLOCK, 1)
        for some, here, part in zip(total.split(ROWS), at.split(ROWS), moved.split(ROWS), strict=True):
            blocks = part.split(_BLOCK, 1)
            deltas = blocks[0] @ tiles[0].T
            for block, tile in zip(blocks[1:], tiles[1:], strict=True):
                deltas.addmm_(block, tile.T)
            some += deltas.exp_().mul_(p[here]).sum(-1, dtype=torch.float64)
    return total.log()


def roughly(unembedding: Unembedding, length: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """What float32 may put `log_mean` off by; without end where the change is long. Parameters: `unembedding`; `length`, of the changes."""
    reach = unembedding.factor * unembedding.longest * length
    blocks = -(-unembedding.matrix.shape[1] // _BLOCK)
    return torch.where(reach < _FAR, _U * ((_BLOCK + blocks + 8) * reach + 16), torch.inf)


def likelier(unembedding: Unembedding, at: Survey, k: int) -> Survey:
    """The survey with more tokens named: the likeliest by float32, for any will do. Parameters: `unembedding`; `at`; `k`, how many."""
    rows = at.normed.float()
    tiles = [rows @ matrix.T if bias is None else rows @ matrix.T + bias for _, matrix, bias in unembedding.tiles(torch.float32)]
    tokens = torch.cat(tiles, 1).topk(k).indices
    return replace(at, tokens=tokens, logprobs=unembedding.at(at.normed, tokens) - at.logsumexp[:, None])


def second_moment(unembedding: Unembedding, at: Survey, spread: float) -> tuple[Float[Tensor, "d_model d_model"], float]:
    """sum p_j U_j U_j^T over the tokens that are not named, and what float32 may have put d^T of it d off by, as a share of |d|^2.

    Parameters: `unembedding`; `at`, the survey of one place; `spread`, at least sum p_j |U_j|^2 over these tokens.
    """
    width, step = at.normed.shape[1], unembedding.step()
    total = at.normed.new_zeros(width, width)
    for first, matrix, p in shares(unembedding, at.normed, at.logsumexp):
        inside = at.tokens[0][(at.tokens[0] >= first) & (at.tokens[0] < first + len(matrix))]
        p[0, inside - first] = 0
        total += (matrix.T * p) @ matrix
    return total, _U * (step + 16) * spread
