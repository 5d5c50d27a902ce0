"""Which places of a tensor are meant by positions: tokens of a prompt, counted from either end, whatever the padding and the step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mainstem.core import InputError, Site

Positions = tuple[int, ...] | None


@dataclass(eq=False)
class Tokens:
    """The real tokens of a run's prompts.

    Parameters: `mask`, True at real tokens, None where a prompt is no row of tokens; `start`, how many places the module has seen in
    forward passes before this one, as `generate` goes on with a cache; `beams`, rows of one prompt lie one behind the other; `seats`, which row of experts is which token's, by the tensor's site, where it is known.
    """

    mask: Bool[Tensor, "batch pos"] | None = None
    start: int = 0
    beams: bool = False
    seats: Mapping[Site, Any] = field(default_factory=dict)

    def at(self, positions: Positions, rows: int, length: int, device: torch.device) -> Bool[Tensor, "rows pos"]:
        """True where an edit is made, in the forward pass at hand.

        Parameters: `positions`, None for every place; `rows` and `length`, of the tensor; `device`. Raises `InputError` for a position
        that a prompt does not have.
        """
        if positions is None:
            return torch.ones(1, length, dtype=torch.bool, device=device)
        if self.mask is None:
            return _marked(torch.tensor([[0, length]]), positions, length).to(device)
        first, count = self.mask.int().argmax(1), self.mask.sum(1)
        found = _marked(torch.stack([first, first + count], 1).cpu(), positions, self.mask.shape[1])
        return self._here(found, rows, length).to(device)

    def keys(self, key: int, rows: int, label: str) -> Int[Tensor, " row"]:
        """Where a token of every prompt stands among the keys.

        Parameters: `key`, counted in the prompts; `rows`, of the tensor; `label`, what is edited. Raises `InputError` where a prompt is shorter.
        """
        if self.mask is None:
            return torch.full((rows,), key)
        first, count = self.mask.int().argmax(1), self.mask.sum(1)
        if key >= (least := int(count.min())):
            raise InputError(f"{label} does not exist: prompt {int(count.argmin())} has {least} tokens, counted from 0.")
        copies = max(1, rows // len(first))
        return ((first.repeat_interleave(copies) if self.beams else first.repeat(copies)) + key)[:rows]

    def real(self, rows: int, length: int, device: torch.device) -> Bool[Tensor, "rows pos"]:
        """True at the prompts' own tokens, in the forward pass at hand. Parameters: as of `at`."""
        if self.mask is None:
            return torch.ones(1, length, dtype=torch.bool, device=device)
        return self._here(self.mask.bool(), rows, length).to(device)

    def _here(self, mask: Tensor, rows: int, length: int) -> Tensor:
        """The places of this forward pass, one row for all where all are alike, for as many rows as the tensor has."""
        start = 0 if length == self.start + 1 else self.start  # a module that keeps no cache reads everything again
        more = max(0, start + length - mask.shape[1])
        found = torch.nn.functional.pad(mask, (0, more))[:, start : start + length]
        if rows == 1 and bool((found == found[:1]).all()):
            return found[:1]
        copies = max(1, rows // len(found))
        return found.repeat_interleave(copies, 0) if self.beams else found.repeat(copies, 1)

    def layout(self, shape: tuple[int, ...]) -> tuple[int, int, bool]:
        """Rows and places of a tensor with features on its last axis, and whether it has places before rows. Parameters: `shape`."""
        *places, _ = shape
        batch, length = self.mask.shape if self.mask is not None else (0, 0)
        if len(places) == 0:
            return 1, 1, False
        if len(places) == 1:
            known = (batch, length) if places[0] == batch * length else (1, length) if places[0] == length else (places[0], 1)
            return *known, False
        turned = len(places) == 2 and batch and places[0] % batch != 0 and places[1] % batch == 0
        return (places[1], places[0], True) if turned else (places[0], prod(places[1:]), False)


def _marked(spans: Tensor, positions: tuple[int, ...], length: int) -> Tensor:
    found = torch.zeros(len(spans), length, dtype=torch.bool)
    for row, (first, end) in enumerate(spans.tolist()):
        for position in positions:
            at = first + position if position >= 0 else end + position
            if not first <= at < end:
                raise InputError(
                    f"there is no position {position}: prompt {row} has {end - first} tokens, counted from 0 or back from -1."
                )
            found[row, at] = True
    return found
