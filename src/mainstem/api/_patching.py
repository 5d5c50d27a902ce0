"""Activation patching and attribution patching: what of one run, put into another, brings its prediction with it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mainstem.core import InputError, MapError, whole
from mainstem.score import METRICS, Goal, Patched, attributed, exact, patched, scored
from mainstem.stream import MODES, Exchange, Pass, Source, Swap, Tokens, exchanges, siblings

from ._means import Means
from ._model import Model
from ._patched import PatchingResult
from ._places import tokens_of
from ._readable import readable
from ._target import Target, TokenSequence
from ._trace import Trace

SIDES = ("denoise", "noise")


@dataclass(frozen=True)
class _Asked:
    """What is patched where. Parameters: as of `activation_patching`."""

    level: str
    positions: Any
    components: Sequence[str]
    side: str
    mode: str
    means: Means | None
    seed: int
    metric: str
    scored: int | None

    def __post_init__(self) -> None:
        whole("seed", self.seed)
        if self.side not in SIDES:
            raise InputError(f"side is 'denoise', clean into corrupt, or 'noise', corrupt into clean, not {self.side!r}.")
        if self.mode not in MODES:
            raise InputError(f"no mode {self.mode!r}; there are {', '.join(MODES)}.")
        if (self.mode == "mean") != isinstance(self.means, Means):
            raise InputError("mode 'mean' puts in means over data, and needs them: means=model.means(data, labels).")
        if self.metric not in METRICS:
            raise InputError(
                f"no metric {self.metric!r}; there are {', '.join(METRICS)}, and contrast() for a difference of logits."
            )

    @property
    def choices(self) -> dict[str, Any]:
        given = self.positions if isinstance(self.positions, str | int) else list(self.positions)
        return {
            "level": self.level, "positions": given, "side": self.side, "mode": self.mode,
            "seed": self.seed if self.mode == "resample" else None,
            "means": str(self.means) if self.means else None, "metric": self.metric,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Pair:
    """Both runs, ready. Parameters: `run`, that is patched into, and `other`; `goal` and `tokens`, of the first; `changes`; `values`, scores of the clean and the corrupted run."""

    trace: Trace
    goal: Goal
    tokens: Tokens
    changes: list[Exchange]
    values: tuple[Tensor, Tensor]

    @property
    def how(self) -> tuple[Pass, Tokens, Goal]:
        return self.trace.run, self.tokens, self.goal


def activation_patching(
    model: Model,
    clean: Any,
    corrupt: Any,
    target: Target = None,
    level: str = "write",
    positions: str | int | Sequence[int] = "each",
    components: str | Sequence[str] = (),
    side: str = "denoise",
    mode: str = "patch",
    means: Means | None = None,
    seed: int = 0,
    metric: str = "logprob",
    scored: int | None = None,
) -> PatchingResult:
    """What every component of one run does in another: each is put in by itself, and all that follows it is run anew.

    effect = score(patched) - score(unpatched), recovery = (score(patched) - score(corrupt)) / (score(clean) - score(corrupt)): 1 where one
    component brings back all that the two prompts differ by, 0 where it brings back nothing. Source: Vig et al. (2020), Meng et al.
    (2022). Many patches are made in one forward pass, the prompts repeated as often; what is the same in both runs is not run.

    Parameters: `model`; `clean` and `corrupt`, a prompt each, or as many pairs of them, as of `Model.trace`; `target`, a token, one for
    each pair, `any_of`, a `contrast`, or None for what the clean prompt is followed by; `level`, "write", "point", "head" or "neuron";
    `positions`, "each" for one token at a time, "all" for all of them at once, or tokens counted from 0 or back from -1, one at a
    time, which prompts of different lengths need; `components`, labels of some of the level, of their writes or of blocks, none
    for all; `side`, "denoise" puts clean into corrupt, "noise" corrupt into clean; `mode`, what is put in: "patch", the other
    run's, "zero", "mean", or "resample", the other run's at places drawn by chance; `means`, what `model.means` gave, for "mean";
    `seed`, of the drawing; `metric`, "logprob" or "logit"; `scored`, at which token the target is looked at, the last by default.

    Returns the effects. What is no row of tokens, such as an image, is patched everywhere at once. Neurons of experts are patched where the run
    patched into routes a token to their expert, elsewhere their effect is 0; where the other run does not, what is put in is zero. They are
    run one by one, the routing stays that of the run patched into. Raises `InputError` for prompts that are the same, or whose tokens do not
    stand for each other, and for what there is not.
    """
    asked = _Asked(level, positions, _listed(components), side, mode, means, seed, metric, scored)
    return _fitted(model, clean, corrupt, target, asked, None)


def attribution_patching(
    model: Model,
    clean: Any,
    corrupt: Any,
    target: Target = None,
    level: str = "write",
    positions: str | int | Sequence[int] = "each",
    components: str | Sequence[str] = (),
    side: str = "denoise",
    mode: str = "patch",
    means: Means | None = None,
    seed: int = 0,
    metric: str = "logprob",
    scored: int | None = None,
    recheck: int = 0,
) -> PatchingResult:
    """What activation patching would find, to first order, for all components by one backward pass.

    effect ~ sum_i (x'_i - x_i) d score / d x_i, x what stands there and x' what would be put in; exact where all that follows is
    linear. Source: Nanda (2023); Syed et al. (2023), arXiv 2310.10348. How far it is off, only patching says.

    Parameters: `recheck`, how many of the strongest are patched as well; `model`, `clean`, `corrupt`, `target`, `level`, `positions`,
    `components`, `side`, `mode`, `means`, `seed`, `metric`, `scored`, as of `activation_patching`.

    Returns the estimates, with the exact effects of those that were patched beside them, and how well the two agree in rank. Raises
    `InputError` as `activation_patching` does, and where torch makes no gradient.
    """
    if isinstance(recheck, bool) or not isinstance(recheck, int) or recheck < 0:
        raise InputError(f"recheck is how many of the strongest are patched, from 0, not {recheck!r}.")
    asked = _Asked(level, positions, _listed(components), side, mode, means, seed, metric, scored)
    return _fitted(model, clean, corrupt, target, asked, recheck)


def _listed(components: str | Sequence[str]) -> Sequence[str]:
    return (components,) if isinstance(components, str) else tuple(components)


def _fitted(model: Model, clean: Any, corrupt: Any, target: Target, asked: _Asked, recheck: int | None) -> PatchingResult:
    """The result; a prompt that goes another way through the module is mapped itself."""
    if not isinstance(model, Model):
        raise InputError(f"patching is of a model, mainstem.load(...), not {type(model).__name__}.")
    try:
        return _result(model, clean, corrupt, target, asked, recheck)
    except MapError:
        with_map = model.trace(clean)._inputs
        model.map_with(*with_map.args, **with_map.kwargs)
    return _result(model, clean, corrupt, target, asked, recheck)


def _result(model: Model, clean: Any, corrupt: Any, target: Target, asked: _Asked, recheck: int | None) -> PatchingResult:
    pair = _pair(model, clean, corrupt, target, asked)
    with readable(model.loaded, pair.trace._inputs):
        if recheck is None:
            parts, checked = patched(*pair.how, asked.metric, pair.changes), []
        else:
            parts = attributed(*pair.how, asked.metric, pair.changes)
            checked = _rechecked(pair, parts, asked.metric, recheck)
    choices = asked.choices | {"by": "patching" if recheck is None else "attribution", "recheck": recheck}
    columns = {(x.turn, int(p)): int(t) for x in pair.changes if x.tokens for p, t in x.at.tolist()}
    if asked.positions == "all":
        columns = {}
    text = pair.goal.text
    said = (text,) * len(pair.values[0]) if isinstance(text, str) else text
    prompts = tuple(_said(one) for one in (clean, corrupt))
    clean_score, corrupt_score = (value.cpu() for value in pair.values)
    about = model.name, said, prompts, pair.trace.tokens, columns, choices, pair.trace._weights
    return PatchingResult(tuple(parts), clean_score, corrupt_score, tuple(checked), *about)


def _said(data: Any) -> tuple[str, ...]:
    return (
        (data,)
        if isinstance(data, str)
        else tuple(data)
        if isinstance(data, list | tuple) and all(isinstance(x, str) for x in data)
        else ()
    )


def _pair(model: Model, clean: Any, corrupt: Any, target: Target, asked: _Asked) -> _Pair:
    if isinstance(target, TokenSequence):
        raise InputError("patching scores one place: name one token, any_of() several or a contrast(), not a sequence.")
    traces = [_traced(model, data, asked.scored) for data in (clean, corrupt)]
    _check_prompts(*traces)
    first, goal = traces[0]._aimed(target, asked.scored)
    second, like = traces[1]._aimed(0, asked.scored)
    goals = goal, replace(goal, places=like.places)
    values = tuple(scored(g, t.logits, asked.metric) for g, t in zip(goals, (first, second), strict=True))
    mine, theirs = (1, 0) if asked.side == "denoise" else (0, 1)
    both = (first, second)[mine], (first, second)[theirs]
    tokens = [tokens_of(t.run.map, t._inputs).get(t.stream.name, Tokens()) for t in both]
    source = Source(asked.mode, asked.seed, asked.means.values if asked.means else None)
    some = siblings(both[0].run, asked.level, asked.components)
    changes = list(exchanges(both[0].run, both[1].run, some, (tokens[0], tokens[1]), asked.positions, source))
    return _Pair(both[0], goals[mine], tokens[0], changes, (values[0], values[1]))


def _traced(model: Model, data: Any, place: int | None) -> Trace:
    """A trace whose output is computed at the scored place alone, where it can be."""
    trace = model.trace(data, positions=place)
    if place is None and trace.run.cut is None and (found := trace._aimed(0, None)[1].positions) and len(found) == 1:
        return model.trace(data, positions=found[0])
    return trace


def _check_prompts(clean: Trace, corrupt: Trace) -> None:
    if clean.run.prompts != corrupt.run.prompts:
        raise InputError(f"{clean.run.prompts} clean and {corrupt.run.prompts} corrupted prompts: give pairs, as many of each.")
    same = all(
        torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a is b
        for one, two in (
            (clean.run.args, corrupt.run.args),
            (tuple(clean.run.kwargs.values()), tuple(corrupt.run.kwargs.values())),
        )
        for a, b in zip(one, two, strict=False)
    )
    if same:
        raise InputError(
            "both prompts are the same: patching one into the other changes nothing. Change what the prediction hangs on."
        )


def _rechecked(pair: _Pair, parts: Sequence[Patched], metric: str, count: int) -> list[tuple[int, int, int, Tensor]]:
    """The strongest estimates, over all prompts, patched: which siblings, component and turn, and the effect of every prompt."""
    order = {one: i for i, one in enumerate(dict.fromkeys(x.siblings for x in pair.changes))}
    sized = [
        (float(parts[order[x.siblings]].effects[i, x.turn].nanmean().abs()), x, i)
        for x in pair.changes
        for i in range(len(x.siblings.names))
    ]
    best = sorted(sized, key=lambda row: -row[0])[:count]
    found = exact(*pair.how, metric, [Swap(x, i) for _, x, i in best])
    return [(order[x.siblings], i, x.turn, value.cpu()) for (_, x, i), value in zip(best, found, strict=True)]
