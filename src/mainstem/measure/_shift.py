"""How far a site's vectors are from those of another run of the same tokens: as Gaussians, in mean, length, direction and kurtosis.

It relates two runs at one site, not two sites of one run, so it stands in no list of measures.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError

from ._comoments import comoments, joined_comoments, no_comoments
from ._cosines import cosines
from ._kurtosis import joined_kurtosis, kurtosis_of_tokens, no_kurtosis
from ._measure import Device, Pair
from ._moments import joined, mean_of, moments, no_moments
from ._pieces import Piece
from ._state import State, below, inside

_PRODUCTS = ("xx", "yy")
_SCALARS = ("norm_x", "norm_y", "cosine")
Matrix = Float[Tensor, "width width"]


@dataclass(frozen=True)
class Shift(Pair):
    """From x, a site's vectors, to y, those of the other run.

    `mean_shift` = |mean y - mean x|; `spread` = sqrt(trace of x's covariance); `frechet`, the distance between the Gaussians with these means and
    covariances, frechet^2 = mean_shift^2 + tr(C_x + C_y - 2 (C_x^1/2 C_y C_x^1/2)^1/2), here with covariances taken as diagonal: mean_shift^2
    + sum (s_x - s_y)^2; `shift` = frechet / spread; `norm_ratio` = mean |y| / mean |x|; `cosine`, the mean over tokens;
    `kurtosis` and `kurtosis_y`, means over tokens as `Kurtosis` has them.
    Source: Dowson & Landau 1982 for the distance; Heusel et al. 2017, arXiv 1706.08500, who compare networks' features by it.
    """

    name = "shift"
    about = "Distance of a site's vectors from those of another run of the same tokens."
    sites = ()

    def empty(self, width_x: int, width_y: int, device: Device) -> State:
        self.of_one_width(width_x, width_y)
        scalars = [below(name, no_moments((), device)) for name in _SCALARS]
        sharp = [below(f"kurtosis_{side}", no_kurtosis(width_x, device)) for side in "xy"]
        return _all(below("fit", self.no_fit(width_x, device)), *scalars, *sharp)

    def of(self, one: Piece, other: Piece) -> State:
        cosine, weight = cosines(one, other)
        known = {"norm_x": (one.norm, one.weight), "norm_y": (other.norm, one.weight), "cosine": (cosine, weight)}
        scalars = [below(name, moments(*both)) for name, both in known.items()]
        sharp = [below(f"kurtosis_{side}", kurtosis_of_tokens(piece)) for side, piece in (("x", one), ("y", other))]
        return _all(below("fit", self.fit(one, other)), *scalars, *sharp)

    def joined(self, one: State, other: State) -> State:
        ways = {**dict.fromkeys(_SCALARS, joined), "kurtosis_x": joined_kurtosis, "kurtosis_y": joined_kurtosis}
        parts = [below(name, way(inside(one, name), inside(other, name))) for name, way in ways.items()]
        return _all(below("fit", self.both(inside(one, "fit"), inside(other, "fit"))), *parts)

    def numbers(self, state: State) -> dict[str, Tensor]:
        fit, at = inside(state, "fit"), {name: mean_of(inside(state, name)) for name in _SCALARS}
        apart, spread, between = self.gaussians(fit)
        frechet = (apart.square() + between).sqrt()
        found = {"mean_shift": apart, "spread": spread, "frechet": frechet, "shift": frechet / spread}
        sharp = {"kurtosis": mean_of(inside(state, "kurtosis_x")), "kurtosis_y": mean_of(inside(state, "kurtosis_y"))}
        return {**found, "norm_ratio": at["norm_y"] / at["norm_x"], "cosine": at["cosine"], **sharp}

    def no_fit(self, width: int, device: Device) -> State:
        """The Gaussians' part of `empty`. Parameters: `width`; `device`."""
        return _all(*(below(side, no_moments((width,), device)) for side in "xy"))

    def fit(self, one: Piece, other: Piece) -> State:
        """The Gaussians' part of `of`. Parameters: `one`; `other`."""
        return _all(*(below(side, moments(piece.x, one.weight)) for side, piece in (("x", one), ("y", other))))

    def both(self, one: State, other: State) -> State:
        """The Gaussians' part of `joined`. Parameters: `one`; `other`."""
        return _all(*(below(side, joined(inside(one, side), inside(other, side))) for side in "xy"))

    def gaussians(self, fit: State) -> tuple[Tensor, Tensor, Tensor]:
        """Distance of means, spread of x, and what covariances add to frechet^2. Parameters: `fit`."""
        x, y = inside(fit, "x"), inside(fit, "y")
        count = torch.where(x["count"] > 0, x["count"], torch.nan)
        s_x, s_y = ((side["m2"] / count).sqrt() for side in (x, y))
        return (mean_of(y) - mean_of(x)).norm(), s_x.norm(), (s_x - s_y).square().sum()


@dataclass(frozen=True)
class FullShift(Shift):
    """The same with whole covariances. Fewer tokens than features leave them singular, which the distance allows."""

    square: ClassVar[bool] = True

    def no_fit(self, width: int, device: Device) -> State:
        return no_comoments({"x": width, "y": width}, _PRODUCTS, device)

    def fit(self, one: Piece, other: Piece) -> State:
        return comoments({"x": one.x, "y": other.x}, one.weight, _PRODUCTS)

    def both(self, one: State, other: State) -> State:
        return joined_comoments(one, other, _PRODUCTS)

    def gaussians(self, fit: State) -> tuple[Tensor, Tensor, Tensor]:
        count = torch.where(fit["count"] > 0, fit["count"], torch.nan)
        covariance = {product: fit[product] / count for product in _PRODUCTS}
        spread = covariance["xx"].trace().sqrt()
        return (fit["mean_y"] - fit["mean_x"]).norm(), spread, bures(covariance["xx"], covariance["yy"])


def bures(a: Matrix, b: Matrix) -> Float[Tensor, ""]:
    """tr(a + b - 2 (a^1/2 b a^1/2)^1/2) of two covariances, as the least |a^1/2 - b^1/2 U|^2 over orthogonal U, which loses no digits to subtraction.

    Equal matrices are 0 apart. Rounding of eigenvalues near zero is felt below 1e-8 of the spread. Source: Bhatia, Jain, Lim 2019, arXiv 1712.01504.

    Parameters: `a`; `b`, symmetric.
    """
    if not bool(torch.isfinite(a).all() & torch.isfinite(b).all()):
        return torch.full((), torch.nan, dtype=a.dtype, device=a.device)
    one, other = _root(a), _root(b)
    u, _, v = torch.linalg.svd(other.mT @ one)
    return torch.minimum((one - other @ (u @ v)).square().sum(), (one - other).square().sum())


def shift_by(covariance: str) -> Shift:
    """The measure with one way to take covariances. Parameters: `covariance`, "diagonal" or "full". Raises `InputError` for another."""
    known: dict[str, Shift] = {"diagonal": Shift(), "full": FullShift()}
    if covariance not in known:
        raise InputError(f"covariances are taken as {' or '.join(known)}, not {covariance!r}.")
    return known[covariance]


def _root(matrix: Matrix) -> Matrix:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.mT


def _all(*states: State) -> State:
    return {name: value for state in states for name, value in state.items()}
