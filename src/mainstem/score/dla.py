"""Direct logit attribution: what a part gives the target's logit through all that follows it, frozen at this input.

score(v) = <A^T u, v>, u the target's direction on the output and A all that follows v. Source: Elhage et al., "A mathematical
framework for transformer circuits" (2021), there without the constants, which are rows here.
"""

from mainstem.core import Parts
from mainstem.stream import Pass

from ._dla import direct
from ._goal import Goal
from ._registry import Choices, Score


def _rows(run: Pass, goal: Goal, choices: Choices) -> Parts:
    return direct(run, goal, choices.level)


SCORE = Score("dla", "What the part gives the target's logit through all that follows it, frozen at this input.", "logit", _rows)
