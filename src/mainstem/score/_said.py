"""What the readout says of single points: logits, and the likeliest tokens."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mainstem.stream import Pass, graded

from ._reader import TILE, face, reader


def said(run: Pass, t: int, norm: str = "own", places: Tensor | None = None) -> Iterator[Tensor]:
    """Logits of the readout applied to one point, [row, vocab], some rows at a time.

    Parameters: `run`; `t`, the point; `norm` and `places`, as of `lens`.
    """
    read, vocab = reader(run, norm), run.output().shape[-1]
    for some in read.rows(run, face(run, t), places).split(max(1, TILE // vocab)):
        yield read.logits(some[None])[0]


@graded
def likeliest(run: Pass, t: int, k: int) -> Tensor:
    """The tokens that the readout says at one point, by the point's own norm: ids [..., k] for every place, the likeliest first.

    Parameters: `run`, with the output at every place; `t`, the point; `k`, how many.
    """
    shape = run.output().shape
    found = [logits.topk(min(k, shape[-1])).indices for logits in said(run, t)]
    return torch.cat(found).unflatten(0, shape[:-1])


@graded
def read_out(run: Pass, t: int, k: int, norm: str = "own", places: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The likeliest tokens of one point and their log-probabilities, both [row, k], the likeliest first.

    Parameters: `run`; `t`, the point; `k`, how many; `norm` and `places`, as of `lens`.
    """
    rows = [logits.log_softmax(-1).topk(min(k, logits.shape[-1])) for logits in said(run, t, norm, places)]
    return torch.cat([row.indices for row in rows]), torch.cat([row.values for row in rows])
