"""Some places of a run, and what the stream holds there: rows of a token each, or all of a prompt where the output has no positions."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mainstem.core import InputError

from ._pass import Pass
from ._places import Places, placed


@dataclass(frozen=True, eq=False)
class Spots:
    """Places of a run: `at` [place, 2], prompt and position, or [place, 1], prompts with all that the stream holds of them.

    Parameters: `at`; `sizes`, how many prompts (and positions) the stream has.
    """

    at: Int[Tensor, "place axis"]
    sizes: Places

    @cached_property
    def _index(self) -> tuple[Tensor, ...]:
        return self.at.unbind(1)

    def __len__(self) -> int:
        return self.at.shape[0]

    def of(self, value: Tensor) -> Float[Tensor, "place d_model"]:
        """What a tensor of the stream's shape holds at every place, in float64. Parameters: `value`."""
        index = tuple(column.to(value.device) for column in self._index)
        return placed(value, self.sizes)[index].flatten(1).double().to(self.at.device)

    def onto(self, rows: Float[Tensor, "place d_model"], like: Tensor) -> Tensor:
        """A tensor of the stream's shape with these rows at the places, and as it was elsewhere. Parameters: `rows`; `like`."""
        found = like.clone(memory_format=torch.contiguous_format)
        view = placed(found, self.sizes)
        index = tuple(column.to(found.device) for column in self._index)
        view[index] = rows.to(found).reshape(len(self), *view.shape[len(self.sizes) :])
        return found


def spots(run: Pass, at: Int[Tensor, "place axis"]) -> Spots:
    """Places of a run. Parameters: `run`; `at`, as of `Spots`. Raises `InputError` where the output's rows are not the stream's."""
    width = at.shape[1]
    shapes = [tuple(run.shaped(run.raw_point(t)).shape) for t in range(len(run.stream.points))]
    known = [
        s[:width] if s[0] == run.prompts else s[:width][::-1] for s in shapes if len(s) >= width + 1 and run.prompts in s[:2]
    ]
    if not known or len(set(known)) > 1 or bool((at.amax(0).cpu() >= torch.tensor(known[0])).any()):
        raise InputError(
            "the output's rows are not the stream's, so that no part can be scored there by itself; by='dla' sums over all."
        )
    return Spots(at, known[0])
