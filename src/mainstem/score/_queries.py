"""Which earlier writes switched a neuron or an attention value on, and what they are worth to a prediction by that."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mainstem.core import Group, InputError, Label, Parts, bound, error, parse_label
from mainstem.stream import LEVELS, Coordinate, Pass, Places, activations, applies, by_key_position, find_write, graded, keys_of

from ._apart import taken_apart
from ._goal import Goal
from ._registry import Choices, top

_BUDGET = 2**29  # bytes of directions that are held at once


@graded
def switched_on(run: Pass, asked: Sequence[Coordinate], level: str = "write") -> list[Parts]:
    """The pre-activations of neurons and attention values, each as the sum of what every part of the stream before it contributes.

    <K_k, x> / sigma + B_k = sum over parts u of <Kc_k, u> / sigma + B_k, each part carried to x through what lies between, frozen at
    this input. K_k is the row of weights with the norm's gain folded in, Kc_k the same centred where the norm centres (a layer
    norm), sigma its scale at this input (none where nothing is normed in between, as in post-norm models), B_k the row's bias with
    the norm's shift through the row; it is the part `key.bias` (`gate.bias`, `up.bias`, `value.bias`).

    Parameters: `run`; `asked`, what is looked at; `level`, how far writes are taken apart.

    Returns the parts of each, [batch], zero but for the prompt asked for. Raises `NotClosedError` where they do not sum to the
    pre-activation that the run itself had, `InputError` as of `activations`.
    """
    if level not in LEVELS:
        raise InputError(f"no level {level!r}; there are {', '.join(LEVELS)}.")
    found: list[Parts] = []
    step = max(1, _BUDGET // _held(run))
    for some in (asked[i : i + step] for i in range(0, len(asked), step)):
        aims = activations(run, some)
        for one, aim, apart in zip(some, aims, taken_apart(run, aims, level, (run.prompts,)), strict=True):
            found.append(apart.parts(run, {"by": "activation", "of": one.label, "key": aim.name, "level": level}))
    return found


def _held(run: Pass) -> int:
    """Bytes that one direction takes while it is held at every point, one tensor for all that only the identity lies between."""
    moved = [t for t, p in enumerate(run.stream.points) if t == 0 or p.face.steps or p.onward.steps]
    return sum(run.raw_point(t).numel() for t in moved) * run.dtype.itemsize


@dataclass(frozen=True)
class Value:
    """A neuron or attention value that counts for a prediction.

    Parameters: `label`; `kind`, of its write; `score`; `place`, prompt and position at which the stream is read that switches it on.
    """

    label: str
    kind: str
    score: float
    place: Places


@dataclass(frozen=True, eq=False)
class Switch:
    """One key of a value, and what of the stream its pre-activation is made of.

    Parameters: `value`; `key`, its name; `parts`, that sum to the pre-activation; `worth`, what a share of 1 is worth in units of
    the score: the value's score over the number of its keys and the pre-activation.
    """

    value: Value
    key: str
    parts: Parts
    worth: float

    @property
    def activation(self) -> float:
        """The pre-activation."""
        return float(self.parts.whole[self.value.place[0]])


@dataclass(frozen=True, eq=False)
class Queries:
    """What switched the values of a prediction on.

    Parameters: `values`, best first, neurons before attention values; `switches`, their keys; `credit`, what every part of the
    stream is worth by them, which sums to the values' scores; `unread`, values of which nothing is known to switch them on, with
    the reason; `place`, that the prediction is made at.
    """

    values: tuple[Value, ...]
    switches: tuple[Switch, ...]
    credit: Parts
    unread: dict[str, str]
    place: Places


@graded
def queries(run: Pass, goal: Goal, by: str, choices: Choices, k: int, prompt: int = 0) -> Queries:
    """The neurons and attention values that count most for a prediction, and which earlier writes switched them on.

    Values are the k neurons and the k attention values of the highest scores s_v. An attention value is a dim of a head at a key
    position j: of the best dims, score s_d at z_d = sum_j alpha_j v_j, each position has s_d alpha_j v_j / z_d. The credit of a part
    of the stream is the sum over values v and their n_v keys (gate and up, or one)

        credit(u) = sum_v s_v / n_v sum_key share_key(u) / a_key,    a_key = sum_u share_key(u) the pre-activation,

    so that every value hands its score on to what its pre-activations are made of, and all credits, biases included, sum to the
    values' scores (a value at a pre-activation of 0 hands nothing on). Source: Yu and Ananiadou, arXiv 2312.12141, who add up the products of queries with keys instead, neither
    weighed nor divided by the pre-activation; their released code leaves the norm's centring out, and for gated models takes the
    rows of the last matrix for keys.

    Parameters: `run`; `goal`, at one place of a prompt; `by`, the score; `choices`, its own and the level of the queries; `k`;
    `prompt`. Raises `InputError` where the goal is at several places of the prompt, or nothing of the model has keys.
    """
    place = _place(run, goal, prompt)
    values, unread = _values(run, goal, by, choices, k, place)
    asked = [(v, key, Coordinate(v.label, key, v.place)) for v in values for key in keys_of(run, v.label)]
    if not asked:
        said = next(iter(unread.values()), "no part of it has a positive score.")
        raise InputError(f"nothing that counts here has a key to ask for: {said}")
    found = switched_on(run, [one for *_, one in asked], choices.level)
    switches = tuple(
        Switch(v, key, parts, _worth(v.score / len(keys_of(run, v.label)), float(parts.whole[place[0]])))
        for (v, key, _), parts in zip(asked, found, strict=True)
    )
    return Queries(values, switches, _credit(run, switches, choices.level, by), unread, place)


def _worth(score: float, activation: float) -> float:
    return score / activation if activation else 0.0


def _place(run: Pass, goal: Goal, prompt: int) -> Places:
    mine = goal.places[(goal.places[:, 0] == prompt) & (goal.weights != 0)]
    if len(mine) != 1:
        raise InputError(f"queries are of one place of a prompt; here are {len(mine)}: name a token and a position.")
    if mine.shape[1] != len(run.spread):
        raise InputError(
            "this model's output has no positions, so no place is known at which its neurons are read: ask activation()."
        )
    return tuple(mine[0].tolist())


def _values(run: Pass, goal: Goal, by: str, choices: Choices, k: int, place: Places) -> tuple[tuple[Value, ...], dict[str, str]]:
    found: list[Value] = []
    unread: dict[str, str] = {}
    for level in ("neuron", "dim"):
        if not any(applies(w, level) for w in run.stream.writes):
            continue
        best = top(run, goal, by, replace(choices, level=level), k)
        cell = int(goal.owner[(goal.places[:, 0] == place[0]) & (goal.weights != 0)][0])
        scores = {
            label: score
            for label, score in zip(best.labels[cell], best.values[cell].tolist(), strict=True)
            if 0 < score < torch.inf
        }
        unread |= {label: reason for label in scores if (reason := _reason(run, label))}
        known = {label: score for label, score in scores.items() if label not in unread}
        values = _positions(run, known, place) if level == "dim" else [_value(run, *each, place) for each in known.items()]
        found += sorted(values, key=lambda v: -v.score)[:k]
    return tuple(found), unread


def _reason(run: Pass, label: str) -> str:
    """Why nothing is known to switch a component on; empty where something is."""
    try:
        keys_of(run, label)
    except InputError as reason:
        return str(reason)
    return ""


def _positions(run: Pass, scores: dict[str, float], place: Places) -> list[Value]:
    """Attention dims, key position by key position, each with its share of the score; those that take from it left out."""
    found = []
    for (label, score), given in zip(scores.items(), by_key_position(run, list(scores), place), strict=True):
        each, parsed = given.double(), parse_label(label)
        (head, dim) = parsed.at
        for j, share in enumerate((score * each / each.sum()).tolist()):
            if 0 < share < torch.inf:
                found.append(_value(run, str(Label(parsed.write, (head, ("key_pos", j), dim))), share, (place[0], j)))
    return found


def _value(run: Pass, label: str, score: float, place: Places) -> Value:
    return Value(label, find_write(run.stream, label).kind, score, place)


def _credit(run: Pass, switches: Sequence[Switch], level: str, by: str) -> Parts:
    """Credits of all parts, in the order of the stream, with how nearly they sum to the values' scores."""
    groups: dict[str, Group] = {}
    size, total = 0.0, torch.zeros_like(switches[0].parts.whole)
    for switch in sorted(switches, key=lambda s: -len(s.parts.groups)):
        size += abs(switch.worth) * switch.parts.bound
        for group in switch.parts.groups:
            worth = switch.worth * group.values.to(total.device)
            known = groups.get(group.label)
            groups[group.label] = replace(group, values=worth if known is None else known.values + worth)
    total[switches[0].value.place[0]] = sum(s.worth * s.activation for s in switches)
    parts = Parts(tuple(groups.values()), total, ("batch",), 0.0, 0.0)
    miss = error(_summed(parts), total)
    limit = size + bound(run.dtype, sum((g.flat().abs().sum(0) for g in parts.groups), torch.zeros_like(total)))
    chosen = {"by": f"credit of {by}", "level": level, "norm": "frozen at this input", "edits": len(run.patches)}
    return replace(parts, error=miss, bound=limit, choices=chosen).checked()


def _summed(parts: Parts) -> Tensor:
    total = parts.sum()
    assert isinstance(total, Tensor)
    return total
