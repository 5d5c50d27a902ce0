"""Which tokens drive each feature furthest."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mainstem.core import InputError

from ._measure import Device, Measure
from ._pieces import Piece
from ._state import State, below, inside
from ._tops import filled, joined_tops, largest, no_tops, ranks

_ENTRIES = {"size": torch.float64, "value": torch.float64, "id": torch.int64}


@dataclass(frozen=True)
class TopTokens(Measure):
    """The k tokens with the most extreme value of each feature.

    `value` and `id` are [rank, width], the most extreme first, ties by id (-1 where tokens had none); with fewer tokens than k there
    are as many ranks as tokens.

    Parameters: `k`, from 1; `side`, "magnitude", "highest" or "lowest".
    """

    k: int = 5
    side: Literal["magnitude", "highest", "lowest"] = "magnitude"

    name = "top_tokens"
    about = "The tokens with the most extreme values of each feature."

    def __post_init__(self) -> None:
        if self.k < 1 or self.side not in ("magnitude", "highest", "lowest"):
            raise InputError(f'k is from 1 and side is "magnitude", "highest" or "lowest", not {self.choices!r}.')

    def empty(self, width: int, device: Device) -> State:
        return below("top", no_tops(self.k, (width,), _ENTRIES, device))

    def of(self, piece: Piece) -> State:
        size = {"magnitude": piece.magnitude, "highest": piece.x, "lowest": -piece.x}[self.side]
        size = torch.where(piece.counted[:, None], size, -torch.inf)
        at = largest(size, ranks(piece.ids)[:, None], self.k)
        found = {"size": size.gather(0, at), "value": piece.x.gather(0, at), "id": piece.ids[at]}
        return below("top", found)

    def joined(self, one: State, other: State) -> State:
        return below("top", joined_tops(inside(one, "top"), inside(other, "top"), ("id",)))

    def numbers(self, state: State) -> dict[str, Tensor]:
        top = filled(inside(state, "top"))
        return {"value": top["value"], "id": top["id"]}


MEASURE = TopTokens
