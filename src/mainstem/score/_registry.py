"""The scores there are: every module of this room whose name begins without an underscore holds one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from math import inf
from pathlib import Path
from typing import Any

from mainstem.core import InputError, Parts, Tops
from mainstem.stream import LEVELS, Pass

from ._goal import Goal

_NO_PARTS = ("constant", "transport", "rounding", "edit", "interaction")


@dataclass(frozen=True)
class Choices:
    """What a score can be asked to do otherwise; None is the score's own way.

    Parameters: `level`, how far writes are taken apart; `base`, what a part is added to, "before" or "last"; `norm`, "own",
    "final" or "none"; `norm_bias`; `within`, what a score may be off by, in nats; `zeroed`, where a part is taken out,
    "everywhere" or "here".
    """

    level: str = "write"
    base: str | None = None
    norm: str | None = None
    norm_bias: bool | None = None
    within: float | None = None
    zeroed: str | None = None

    def given(self) -> dict[str, Any]:
        """Those that were said, the level apart."""
        return {name: value for name, value in vars(self).items() if value is not None and name != "level"}


@dataclass(frozen=True)
class Score:
    """A way to turn parts of the stream into numbers about a prediction. A module's `SCORE` is one.

    Parameters: `name`; `about`, one sentence; `unit`; `rows`, all parts of a level scored; `takes`, which choices it knows;
    `top`, the k best, where there is a quicker way than through all rows; `aimed`, whether it is about the target, not only
    about the places that the target is predicted at.
    """

    name: str
    about: str
    unit: str
    rows: Callable[[Pass, Goal, Choices], Parts]
    takes: tuple[str, ...] = ()
    top: Callable[[Pass, Goal, Choices, int], Tops] | None = None
    aimed: bool = True

    def checked(self, choices: Choices) -> Choices:
        """The choices, or `InputError` where one is not of this score, or the level is none. Parameters: `choices`."""
        if choices.level not in LEVELS:
            raise InputError(f"no level {choices.level!r}; there are {', '.join(LEVELS)}.")
        if strange := set(choices.given()) - set(self.takes):
            known = ", ".join(self.takes) or "none of base, norm, norm_bias, within and zeroed"
            raise InputError(f"by={self.name!r} has no choice of {min(strange)}; it takes {known}.")
        within: Any = choices.within
        bias: Any = choices.norm_bias
        if within is not None and (isinstance(within, bool) or not isinstance(within, (int, float)) or not 0 <= within < inf):
            raise InputError(f"within is what a score may be off by, in nats: a number from 0, not {within!r}.")
        if bias is not None and not isinstance(bias, bool):
            raise InputError(f"norm_bias is whether the final norm's bias is added: True or False, not {bias!r}.")
        return choices


@cache
def scores() -> dict[str, Score]:
    """Every score by its name."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
    found = [import_module(f"{__package__}.{name}").SCORE for name in names]
    return {score.name: score for score in found}


def score_named(name: str) -> Score:
    """One score. Parameters: `name`. Raises `InputError` with those that there are."""
    if name not in scores():
        raise InputError(f"no score {name!r}; there are {', '.join(scores())}.")
    return scores()[name]


def top(run: Pass, goal: Goal, by: str, choices: Choices, k: int) -> Tops:
    """The k best parts of a level, cell by cell. Parameters: `run`; `goal`; `by`, the score; `choices`; `k`."""
    found = score_named(by)
    choices = found.checked(choices)
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise InputError(f"top is how many to take, a whole number from 1, not {k!r}.")
    made = _sorted(found.rows(run, goal, choices), choices.level, k) if found.top is None else found.top(run, goal, choices, k)
    return replace(made, choices={"by": by, "level": choices.level, **made.choices})


def _sorted(parts: Parts, level: str, k: int) -> Tops:
    """The best of rows that are all there."""
    groups = tuple(g for g in parts.groups if g.axes or (level == "write" and g.kind not in _NO_PARTS))
    if not groups:
        raise InputError(f"nothing in this model is taken apart at level {level!r}.")
    held = Parts(groups, parts.whole, parts.rest, 0.0, 0.0)
    cells = held.tensor.flatten(1).T
    shape, k = tuple(parts.whole.shape), min(k, cells.shape[1])
    best = cells.topk(min(k + 1, cells.shape[1]))
    after = best.values[:, k] if cells.shape[1] > k else best.values[:, 0] - float("inf")
    labels = tuple(tuple(held.label(i) for i in row) for row in best.indices[:, :k].tolist())
    return Tops(labels, best.values[:, :k], after, parts.rest, shape, cells.numel(), cells.shape[1], dict(parts.choices))
