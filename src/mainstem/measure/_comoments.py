"""Means of several sites and the sums of products about them, in float64, merged by the pairwise formula.

C_xy = C_xy,a + C_xy,b + (mean_x,b - mean_x,a) (mean_y,b - mean_y,a)^T n_a n_b / n
"""

import torch
from torch import Tensor

from ._state import State


def no_comoments(widths: dict[str, int], products: tuple[str, ...], device: torch.device | str) -> State:
    """Of nothing yet. Parameters: `widths` of the sites by a letter each; `products`, such as "xx" and "xy"; `device`."""
    zeros = torch.zeros((), dtype=torch.float64, device=device)
    means = {f"mean_{site}": zeros.new_zeros(width) for site, width in widths.items()}
    return {"count": zeros, **means, **{p: zeros.new_zeros(widths[p[0]], widths[p[1]]) for p in products}}


def comoments(sites: dict[str, Tensor], weight: Tensor, products: tuple[str, ...]) -> State:
    """Of rows. Parameters: `sites`, [row, width] in float64 by letter; `weight`, [row], 1 or 0; `products`."""
    count = weight.sum()
    means = {site: weight @ x / count.clamp_min(1) for site, x in sites.items()}
    off = {site: (x - means[site]).mul_(weight[:, None]) for site, x in sites.items()}
    made = {p: off[p[0]].mT @ off[p[1]] for p in products}
    return {"count": count, **{f"mean_{site}": mean for site, mean in means.items()}, **made}


def joined_comoments(one: State, other: State, products: tuple[str, ...]) -> State:
    """Of the rows of both. Parameters: `one`; `other`; `products`."""
    count = one["count"] + other["count"]
    share = other["count"] / count.clamp_min(1)
    d = {name: other[name] - one[name] for name in one if name.startswith("mean_")}
    means = {name: one[name] + off * share for name, off in d.items()}
    apart = {p: torch.outer(d[f"mean_{p[0]}"] * (one["count"] * share), d[f"mean_{p[1]}"]) for p in products}
    return {"count": count, **means, **{p: apart[p].add_(one[p]).add_(other[p]) for p in products}}


def per_row(state: State, product: str) -> Tensor:
    """A product's sum over rows divided by their number, NaN of nothing. Parameters: `state`; `product`."""
    return state[product] / torch.where(state["count"] > 0, state["count"], torch.nan)
