"""Direct logit attribution: what every part of the stream gives a logit, through everything after it frozen at this input."""

from torch import Tensor

from mainstem.core import Group, InputError, Parts
from mainstem.stream import LEVELS, Entries, Pass, Places, aimed, graded, reduce

from ._apart import Apart, taken_apart
from ._choice import Choice, chosen
from ._estimate import announce
from ._goal import Goal


@graded
def direct(run: Pass, direction: Tensor | Entries | Goal, level: str = "write", keep_pos: bool = False) -> Parts:
    """<direction, output> as the sum of what every part contributes, constants included.

    score(v) = <A^T direction, v>, A the product of all frozen maps between the part and the output. Of a goal it is the logit
    that is taken apart, not the log-probability: log sum_A exp l_w over its alternatives A, less that of what it is held
    against, summed over the places of a sequence. That is sum_A q_w l_w + H(q), q the softmax over the alternatives, held at
    this output: the direction is q, and the entropy H is the constant row `readout.choice`.

    Parameters: `run`; `direction`, a goal, a tensor of the output's shape, or entries of it, such as one at a token's logit;
    `level`, how far writes are taken apart; `keep_pos`, a score for every position instead of their sum (a goal says so itself).

    Returns the parts with [batch] or [batch, pos] behind the component axis. Raises `NotClosedError` where they do not sum.
    """
    if level not in LEVELS:
        raise InputError(f"no level {level!r}; there are {', '.join(LEVELS)}.")
    keep_pos = len(direction.shape) == 2 if isinstance(direction, Goal) else keep_pos
    if keep_pos and run.output().ndim != 3:
        raise InputError("scores of every position need an output of [batch, pos, vocab]; leave positions out.")
    announce(run, level, keep_pos)
    if isinstance(direction, Goal):
        choice = chosen(direction, run.output())
        return _taken_apart(run, choice.entries, choice, level, _places(run, keep_pos))
    return _taken_apart(run, direction, None, level, _places(run, keep_pos))


def _taken_apart(run: Pass, direction: Tensor | Entries, choice: Choice | None, level: str, places: Places) -> Parts:
    (found,) = taken_apart(run, [aimed(run, direction)], level, places)
    if choice is not None:
        constant = reduce(choice.constant, places)
        groups = [Group("readout.choice", "constant", constant)] if bool((constant != 0).any()) else []
        found = Apart([*found.groups, *groups], reduce(choice.value, places), found.size + reduce(choice.size, places))
    return found.parts(run, {"by": "dla", "level": level})


def _places(run: Pass, keep_pos: bool) -> Places:
    """Prompts, and their positions; one for all where the output's rows are others than the stream's (a row a code book)."""
    shape = tuple(run.output().shape)
    sizes, points = shape[: 1 + keep_pos], [run.shaped(run.raw_point(t)).shape for t in range(len(run.stream.points))]
    known = any(p[0] == shape[0] or (len(p) > 2 and p[1] == shape[0] and p[0] in shape[1:2]) for p in points)
    if not known and keep_pos:
        raise InputError("the output's rows are not the stream's, so no position is one of the stream's; leave positions out.")
    return sizes if known else (1,)
