"""Direct logit attribution: what every part of the stream gives a logit, through everything after it frozen at this input."""

import torch
from torch import Tensor

from mainstem.core import Group, InputError, Parts, bound, error
from mainstem.find import Captured, Write
from mainstem.stream import LEVELS, Entries, Pass, Places, Ranks, Sweep, graded, needed, opened, pull, reduce, rows, subscores

from ._choice import Choice, chosen
from ._estimate import announce, batches
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
    sweep = pull(run, direction)
    aim = sweep.aim
    expanded = _expanded(run, sweep, level, places)
    groups: list[Group] = []
    size = torch.zeros((), device=aim.weights.device)
    for row in rows(run, None, aim):
        g = _direction(sweep, row.label, row.start)
        product = g * row.vector
        size = size + reduce(product.abs(), places)
        found = expanded.get(row.label) or [Group(row.label, row.kind, reduce(product, places))]
        groups += found
    if choice is not None and bool((choice.constant != 0).any()):
        groups.append(Group("readout.choice", "constant", reduce(choice.constant, places)))
    if choice is not None:
        size = size + reduce(choice.size, places)
    whole = reduce(aim.weights * aim.output if choice is None else choice.value, places)
    parts = Parts(tuple(groups), whole, ("batch", "pos")[: len(places)], 0.0, 0.0)
    total = parts.sum()
    assert isinstance(total, Tensor)
    miss = error(total, whole)
    choices = {"by": "dla", "level": level, "norm": "frozen at this input", "edits": len(run.patches)}
    return Parts(parts.groups, whole, parts.rest, miss, bound(run.dtype, size), choices).checked()


def _places(run: Pass, keep_pos: bool) -> Places:
    """Prompts, and their positions; one for all where the output's rows are others than the stream's (a row a code book)."""
    shape = tuple(run.output().shape)
    sizes, points = shape[: 1 + keep_pos], [run.shaped(run.raw_point(t)).shape for t in range(len(run.stream.points))]
    known = any(p[0] == shape[0] or (len(p) > 2 and p[1] == shape[0] and p[0] in shape[1:2]) for p in points)
    if not known and keep_pos:
        raise InputError("the output's rows are not the stream's, so no position is one of the stream's; leave positions out.")
    return sizes if known else (1,)


def _direction(sweep: Sweep, label: str, start: int) -> Tensor:
    for name, _, g in sweep.constants:
        if name == label:
            return g
    return sweep.at[start] if start < len(sweep.at) else sweep.aim.weights


def _expanded(run: Pass, sweep: Sweep, level: str, places: Places) -> dict[str, list[Group]]:
    """The writes that the level takes apart, a few at a time, so that what is captured stays small."""
    found = {}
    entering = {w.label: t for t, p in enumerate(run.stream.points) for w in p.writes}
    for some in batches(run, [w for w in run.stream.writes if opened(run, w, level)]):
        seen = run.again({key for w in some for key in needed(w)})
        for write in some:
            depth = opened(run, write, level)
            assert depth is not None
            found[write.label] = _closed(run, write, depth, sweep.at[entering[write.label]], seen, places, sweep.ranks)
    return found


def _closed(run: Pass, write: Write, level: str, g: Tensor, seen: Captured, places: Places, ranks: Ranks) -> list[Group]:
    groups = subscores(run, write, level, g, seen, places, ranks)
    if run.rough(write, seen):
        total = sum(group.flat().sum(0) for group in groups)
        groups.append(Group(f"{write.label}.rounding", "rounding", reduce(g * run.write(write), places) - total))
    return groups
