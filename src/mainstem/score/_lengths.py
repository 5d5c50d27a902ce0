"""How long the vectors of components are, with their coefficients or without."""

from torch import Tensor

from mainstem.core import Parts
from mainstem.find import Write
from mainstem.stream import Pass, Vectors, spots

from ._components import measured
from ._goal import Goal
from ._increase import loose


def lengths(run: Pass, goal: Goal, level: str, by: str, coefficient: bool) -> Parts:
    """|v| of every component at the places of a goal, which predicts nothing here. Of several places in a cell it is the sum.

    Parameters: `run`; `goal`; `level`; `by`, the score's name; `coefficient`, |m u|, or |u| where a vector is m u.
    """
    unfactored: dict[str, None] = {}

    def measure(write: Write, found: Vectors) -> Tensor:
        if not found.split and found.axes:
            unfactored[write.label] = None
        bare = found.squares.sqrt()
        return found.lengths() if coefficient or not found.split else bare.expand(found.scale.shape).clone()

    groups = measured(run, level, spots(run, goal.places), goal, measure)
    said = {} if coefficient else {"unfactored": list(unfactored)}
    return loose(groups, goal, {"by": by, "level": level, **said})
