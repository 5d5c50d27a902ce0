"""Counts, means and sums of powers about the mean, in float64, merged by the pairwise formulas.

n = n_a + n_b,  d = mean_b - mean_a,  mean = mean_a + d n_b / n
M2 = M2_a + M2_b + d^2 n_a n_b / n
M3 = M3_a + M3_b + d^3 n_a n_b (n_a - n_b) / n^2 + 3 d (n_a M2_b - n_b M2_a) / n
M4 = M4_a + M4_b + d^4 n_a n_b (n_a^2 - n_a n_b + n_b^2) / n^3 + 6 d^2 (n_a^2 M2_b + n_b^2 M2_a) / n^2 + 4 d (n_a M3_b - n_b M3_a) / n

Nothing is ever summed about zero, so a mean of 10^4 with a deviation of 1 costs no digits.
Source: Chan, Golub, LeVeque 1979; Pébay 2008 (SAND2008-6212) for the third and fourth.
"""

import torch
from torch import Tensor

from ._state import State


def no_moments(shape: tuple[int, ...], device: torch.device | str, order: int = 2) -> State:
    """Of nothing yet. Parameters: `shape` of the mean; `device`; `order`, the highest power, 2 or 4."""
    zeros = torch.zeros(shape, dtype=torch.float64, device=device)
    return {"count": zeros.new_zeros(()), "mean": zeros, **{f"m{p}": zeros.clone() for p in range(2, order + 1)}}


def moments(values: Tensor, weight: Tensor, order: int = 2) -> State:
    """Of rows. Parameters: `values`, [row, ...] in float64 and finite; `weight`, [row], 1 or 0; `order`, 2 or 4."""
    count = weight.sum()
    mean = weight @ values / count.clamp_min(1)
    off = values - mean
    if order == 2:
        return {"count": count, "mean": mean, "m2": weight @ off.square_()}
    square = off.square()
    m2, m3 = weight @ square, weight @ off.mul_(square)
    return {"count": count, "mean": mean, "m2": m2, "m3": m3, "m4": weight @ square.square_()}


def joined(one: State, other: State) -> State:
    """Of the rows of both. Parameters: `one`; `other`, of the same order."""
    a, b = one["count"], other["count"]
    n = a + b
    share_a, share_b = a / n.clamp_min(1), b / n.clamp_min(1)
    d = other["mean"] - one["mean"]
    found = {"count": n, "mean": one["mean"] + d * share_b, "m2": one["m2"] + other["m2"] + d.square() * (a * share_b)}
    if "m4" in one:
        lean = share_a * other["m2"] - share_b * one["m2"]
        found["m3"] = one["m3"] + other["m3"] + d**3 * (a * share_b * (share_a - share_b)) + 3 * d * lean
        wide = share_a.square() * other["m2"] + share_b.square() * one["m2"]
        lean = share_a * other["m3"] - share_b * one["m3"]
        spread = a * share_b * (share_a.square() - share_a * share_b + share_b.square())
        found["m4"] = one["m4"] + other["m4"] + d**4 * spread + 6 * d.square() * wide + 4 * d * lean
    return found


def mean_of(state: State) -> Tensor:
    """The mean, NaN of nothing. Parameters: `state`."""
    return torch.where(state["count"] > 0, state["mean"], torch.nan)


def variance_of(state: State) -> Tensor:
    """M2 / n, the population's, NaN of nothing. Parameters: `state`."""
    return state["m2"] / torch.where(state["count"] > 0, state["count"], torch.nan)


def standard_error_of(state: State) -> Tensor:
    """sqrt(M2 / (n (n - 1))), as if tokens were independent; NaN below two. Parameters: `state`."""
    n = torch.where(state["count"] > 1, state["count"], torch.nan)
    return (state["m2"] / (n * (n - 1))).sqrt()


def kurtosis_of(state: State) -> Tensor:
    """Pearson's n M4 / M2^2, NaN where nothing varies beyond rounding. Parameters: `state`, of order 4."""
    n, m2 = state["count"], state["m2"]
    rounding = n * (64 * torch.finfo(m2.dtype).eps * state["mean"]).square()
    return n * state["m4"] / torch.where(m2 > rounding, m2, torch.nan).square()
