"""The k largest, kept with where they were, the same ones whatever the order they came in.

Entries are columns of a few rows each: `size`, what they are ranked by, and whole numbers (an id, a dimension) that settle ties,
smaller first. An empty place has size -inf and -1 for the rest.
"""

import torch
from torch import Tensor

from ._state import State


def no_tops(k: int, columns: tuple[int, ...], entries: dict[str, torch.dtype], device: torch.device | str) -> State:
    """Empty places. Parameters: `k`; `columns`, the shape beside it; `entries`, of which precision each is; `device`."""
    fill = {name: -torch.inf if name == "size" else -1 for name in entries}
    return {name: torch.full((k, *columns), fill[name], dtype=dtype, device=device) for name, dtype in entries.items()}


def largest(size: Tensor, order: Tensor, k: int) -> Tensor:
    """Which rows of each column are the k largest, ties by the lower order. Parameters: `size`, [row, column]; `order`, from 0; `k`.

    Two selections instead of a sort: all above the k-th largest, then of those that equal it the first.
    """
    k = min(k, len(size))
    cut = size.topk(k, 0).values[-1]
    behind = -1 - order
    return torch.where(size > cut, 0, torch.where(size == cut, behind, torch.iinfo(torch.int64).min)).topk(k, 0).indices


def joined_tops(one: State, other: State, ties: tuple[str, ...]) -> State:
    """The best of both, in order. Parameters: `one`; `other`; `ties`, the entries that settle ties, the first before the next."""
    k = len(one["size"])
    both = {name: torch.cat([one[name], other[name]]) for name in one}
    index = both["size"].argsort(dim=0)
    for name in reversed(ties):
        index = _then(index, both[name])
    index = _then(index, -both["size"])[:k]
    return {name: value.gather(0, index) for name, value in both.items()}


def _then(index: Tensor, key: Tensor) -> Tensor:
    return index.gather(0, key.gather(0, index).argsort(stable=True, dim=0))


def ranks(ids: Tensor) -> Tensor:
    """How many ids are smaller, [token]. Parameters: `ids`."""
    return torch.searchsorted(ids.sort().values, ids)


def filled(state: State) -> dict[str, Tensor]:
    """Without the places that are empty in every column. Parameters: `state`."""
    held = state["size"].isfinite()
    count = int((held.flatten(1).any(1) if held.ndim > 1 else held).sum())
    return {name: value[:count] for name, value in state.items()}
