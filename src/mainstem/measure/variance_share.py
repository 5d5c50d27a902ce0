"""How much of a point's variance a write makes up."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ._measure import Device, Pair
from ._moments import joined, moments, no_moments
from ._pieces import Piece
from ._state import State, below, inside


@dataclass(frozen=True)
class VarianceShare(Pair):
    """Share of the variance over tokens of a point (the second site) that a write (the first) makes up.

    share = sum_i cov(w_i, x_i) / sum_i var(x_i): shares of all writes that sum to a point, the entry among them, sum to 1; below 0 where
    a write takes away what others wrote. size = sum_i var(w_i) / sum_i var(x_i): equal to the share for writes that are independent
    of the rest. NaN where the point does not vary.
    """

    name = "variance_share"
    about = "Share of a point's variance that a write makes up; shares of all writes sum to 1."
    sites = ("into",)

    def empty(self, width_x: int, width_y: int, device: Device) -> State:
        self.of_one_width(width_x, width_y)
        zeros = torch.zeros(width_x, dtype=torch.float64, device=device)
        each = {**below("x", no_moments((width_x,), device)), **below("y", no_moments((width_x,), device))}
        return {**each, "product": zeros}

    def of(self, one: Piece, other: Piece) -> State:
        x, y = moments(one.x, one.weight), moments(other.x, one.weight)
        product = one.weight @ ((one.x - x["mean"]) * (other.x - y["mean"]))
        return {**below("x", x), **below("y", y), "product": product}

    def joined(self, one: State, other: State) -> State:
        parts = {site: (inside(one, site), inside(other, site)) for site in "xy"}
        apart = {site: b["mean"] - a["mean"] for site, (a, b) in parts.items()}
        n, m = one["x.count"], other["x.count"]
        product = one["product"] + other["product"] + apart["x"] * apart["y"] * (n * m / (n + m).clamp_min(1))
        return {**{k: v for site, both in parts.items() for k, v in below(site, joined(*both)).items()}, "product": product}

    def numbers(self, state: State) -> dict[str, Tensor]:
        total = state["y.m2"].sum()
        total = torch.where(total > 0, total, torch.nan)
        return {"share": state["product"].sum() / total, "size": state["x.m2"].sum() / total}


MEASURE = VarianceShare
