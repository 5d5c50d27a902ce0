"""Where in a tensor of the stream the prompts and their positions are, whatever its layout."""

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from mainstem.core import InputError

Places = tuple[int, ...]


def placed(values: Tensor, places: Places) -> Tensor:
    """A tensor with the places on axes in front: as it is, with positions before prompts, or with several rows a prompt.

    A layout told wrongly cannot go unnoticed, since sums are checked prompt by prompt. Parameters: `values`; `places`,
    (batch,) or (batch, pos). Raises `InputError` where the places cannot be told apart.
    """
    n, shape = len(places), tuple(values.shape)
    if shape[:n] == places:
        return values
    if len(shape) > 2 and (shape[1] == places[0] if n == 1 else shape[:2] == places[::-1]):
        return values.transpose(0, 1)
    if values.numel() % torch.Size(places).numel():
        raise InputError(f"a tensor of the stream of shape {shape} cannot be told apart by {places} prompts and positions.")
    return values.reshape(*places, -1)


def reduce(values: Tensor, places: Places) -> Tensor:
    """Sums over all but the places: to [batch, pos], or to [batch]. Parameters: `values`; `places`, their sizes."""
    return placed(values, places).flatten(len(places)).sum(-1) if values.ndim > len(places) else placed(values, places)


def one_by_one(g: Tensor, places: Places) -> Iterator[Tensor]:
    """A direction on the stream with all but one place zero, place by place. Parameters: `g`; `places`."""
    for place in product(*map(range, places)):
        mask = torch.zeros_like(g, memory_format=torch.contiguous_format)
        placed(mask, places)[place] = 1
        yield g * mask


def weighed(g: Tensor, weights: Tensor, places: Places) -> Tensor:
    """A direction with a factor for every place. Parameters: `g`; `weights`, one a place, flat; `places`."""
    mask = torch.ones_like(g, memory_format=torch.contiguous_format)
    view = placed(mask, places)
    view.mul_(weights.reshape(*places, *[1] * (view.ndim - len(places))))
    return g * mask


def onto(g: Tensor, shape: torch.Size) -> Tensor:
    """A direction on the stream as one on what was added: summed where that is spread over places.

    Parameters: `g`; `shape`, of what was added.
    """
    return g.reshape(shape) if g.numel() == shape.numel() else g.sum_to_size(shape)
