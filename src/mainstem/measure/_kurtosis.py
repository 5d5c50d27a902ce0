"""Kurtosis of tokens, in whatever basis they are given."""

import torch
from torch import Tensor

from ._moments import joined, mean_of, moments, no_moments, standard_error_of
from ._pieces import Piece
from ._state import State


def no_kurtosis(width: int, device: torch.device | str) -> State:
    """Of no token. Parameters: `width`; `device`."""
    whole = {"flat": 0, "width": width}
    return no_moments((), device) | {name: torch.tensor(value, device=device) for name, value in whole.items()}


def kurtosis_of_tokens(piece: Piece) -> State:
    """Moments over tokens of each token's kurtosis. Parameters: `piece`."""
    rounding = (64 * torch.finfo(torch.float64).eps * piece.mean).square()
    varies = piece.second > rounding
    kurtosis = torch.where(varies, piece.fourth / piece.second.square(), 0.0)
    flat = (piece.counted & ~varies).sum()
    return moments(kurtosis, piece.weight * varies) | {"flat": flat, "width": piece.width}


def joined_kurtosis(one: State, other: State) -> State:
    """Of the tokens of both. Parameters: `one`; `other`."""
    return joined(one, other) | {"flat": one["flat"] + other["flat"], "width": torch.maximum(one["width"], other["width"])}


def kurtosis_numbers(state: State) -> dict[str, Tensor]:
    """The mean beside what any vector has in a random basis. Parameters: `state`."""
    width = state["width"].double()
    return {
        "kurtosis": mean_of(state),
        "standard_error": standard_error_of(state),
        "flat": state["flat"].double(),
        "rotated": rotated_mean(width),
        "scatter": rotated_scatter(width),
    }


def rotated_mean(width: Tensor) -> Tensor:
    """3 (n - 1) / (n + 1): the mean kurtosis of any vector that is not flat over all rotations. Parameters: `width`, n.

    A rotated vector less its mean is uniform on a sphere of the n - 1 directions beside the all-ones one.
    """
    return 3 * (width - 1) / (width + 1)


def rotated_scatter(width: Tensor) -> Tensor:
    """The standard deviation of that over rotations, about sqrt(24 / n): the sample kurtosis of n Gaussians has it (Fisher 1930).

    sqrt(24 n (n - 2) (n - 3) / ((n + 1)^2 (n + 3) (n + 5))). Parameters: `width`, n.
    """
    n = width
    return (24 * n * (n - 2) * (n - 3) / ((n + 1).square() * (n + 3) * (n + 5))).clamp_min(0).sqrt()
