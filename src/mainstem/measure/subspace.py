"""How much of one site lies in the directions that another uses."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.core import InputError

from ._comoments import comoments, joined_comoments, no_comoments, per_row
from ._measure import Device, Pair
from ._pieces import Piece
from ._state import State
from ._subspace import captured, leading, principal_angles

_PRODUCTS = ("xx", "yy")


@dataclass(frozen=True)
class Subspace(Pair):
    """Share of the second site that lies in the leading directions of the first, and the angles between the two.

    captured = tr(Q^T C_y Q) / tr C_y, Q the leading eigenvectors of C_x: with the first site a lower point and the second a higher one,
    what the lower layers already span; with two writers, how far they crowd each other.

    `remainder` = 1 - captured, "not captured by the lower layers"; `rank_x` and `rank_y`, directions taken of each; `random`,
    rank_x / width, what a random subspace captures in the mean; `angles`, principal angles between the leading subspaces in radians,
    rising. NaN where nothing varies.

    Parameters: `rank`, how many directions, None for the fewest that hold `share` of the site's own; `share`, 0 to 1; `centred`, whether
    C is the covariance or the second moment about 0, in which the mean token counts too.
    """

    rank: int | None = None
    share: float = 0.99
    centred: bool = True

    name = "subspace"
    about = "Share of one site captured by the leading directions of another, and the angles between them."
    sites = ("next", "last", "all", "into")
    square = True
    rounding = 1e-7  # of angles: near eigenvalues turn their vectors

    def __post_init__(self) -> None:
        if (self.rank is not None and self.rank < 1) or not 0 < self.share <= 1:
            raise InputError(f"rank is from 1, or None, and share above 0 to 1, not {self.choices!r}.")

    def empty(self, width_x: int, width_y: int, device: Device) -> State:
        self.of_one_width(width_x, width_y)
        return no_comoments({"x": width_x, "y": width_y}, _PRODUCTS, device)

    def of(self, one: Piece, other: Piece) -> State:
        return comoments({"x": one.x, "y": other.x}, one.weight, _PRODUCTS)

    def joined(self, one: State, other: State) -> State:
        return joined_comoments(one, other, _PRODUCTS)

    def numbers(self, state: State) -> dict[str, Tensor]:
        x, y = (self._second(state, site).nan_to_num() for site in "xy")
        bases = [leading(each, self.rank if bool(each.any()) else 0, self.share) for each in (x, y)]
        ranks = {f"rank_{site}": x.new_tensor(basis.shape[1]) for site, basis in zip("xy", bases, strict=True)}
        varies = bool(x.any()) and bool(y.any())
        share = captured(y, bases[0]) if varies else x.new_tensor(torch.nan)
        random = ranks["rank_x"] / len(x)
        return {"captured": share, "remainder": 1 - share, "random": random, **ranks, "angles": principal_angles(*bases)}

    def _second(self, state: State, site: str) -> Tensor:
        mean = state[f"mean_{site}"]
        return per_row(state, site * 2) + (0 if self.centred else torch.outer(mean, mean))


MEASURE = Subspace
