"""The highest and the lowest value that each feature ever took: any threshold can be asked afterwards."""

import torch
from torch import Tensor

from ._pieces import Piece
from ._state import State, tokens_of


def no_extremes(width: int, device: torch.device | str) -> State:
    """Of no token. Parameters: `width`; `device`."""
    return {name: torch.zeros(width, dtype=torch.float64, device=device) for name in ("highest", "lowest")}


def extremes(piece: Piece) -> State:
    """Of a few, at least 0 and at most 0: rows that do not count are zeros. Parameters: `piece`."""
    return {"highest": piece.x.amax(0).clamp_min(0), "lowest": piece.x.amin(0).clamp_max(0)}


def joined_extremes(one: State, other: State) -> State:
    """Of both. Parameters: `one`; `other`."""
    return {
        "highest": torch.maximum(one["highest"], other["highest"]),
        "lowest": torch.minimum(one["lowest"], other["lowest"]),
    }


def seen_only(state: State, numbers: Tensor) -> Tensor:
    """The numbers, NaN where no token was seen. Parameters: `state`; `numbers`."""
    return torch.where(tokens_of(state) > 0, numbers, torch.nan)
