"""What a tuned lens does to a point before the readout: an affine map of its own for each, the identity where it is zero."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError
from mainstem.stream import Pass


@dataclass(frozen=True, eq=False)
class Translators:
    """x -> x + A_t x + b_t, a map for every point but the last, which says what the model says.

    Parameters: `matrices`, the A_t; `shifts`, the b_t.
    """

    matrices: Float[Tensor, "point d_model d_model"]
    shifts: Float[Tensor, "point d_model"]

    def __call__(self, t: int, x: Tensor, axis: int = -1) -> Tensor:
        """A point translated. Parameters: `t`, which; `x`, its face; `axis`, that of the features."""
        if t == len(self.shifts):
            return x
        moved = torch.nn.functional.linear(x.movedim(axis, -1), self.matrices[t].to(x), self.shifts[t].to(x))
        return x + moved.movedim(-1, axis)

    def check(self, run: Pass) -> None:
        """Raises `InputError` where a run has other points or another width. Parameters: `run`."""
        mine, there = (len(self.shifts) + 1, self.shifts.shape[1]), (len(run.stream.points), run.stream.width)
        if mine != there:
            raise InputError(
                f"this lens is of {mine[0]} points of width {mine[1]}, this stream has {there[0]} of width {there[1]}: "
                "fit one for this model."
            )


def no_translators(run: Pass) -> Translators:
    """All zero: the logit lens itself. Parameters: `run`, of the stream that they are for."""
    like = run.point(len(run.stream.points) - 1)
    d, n = run.stream.width, len(run.stream.points) - 1
    return Translators(like.new_zeros(n, d, d), like.new_zeros(n, d))
