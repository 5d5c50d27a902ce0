"""A prediction taken apart in plain data: rows that add up, with what they add up to."""

import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

from mainstem.core import Group, InputError, parse_label
from mainstem.stream import keys_of

from ._cells import Asked, Traced, likeliest, place, text, which
from ._frame import layer_of
from ._result import Result
from ._target import Contrast, Target

SHOWN, _WORDS = 24, 5  # rows of a table that is taken apart further, the others in one row; words at each end
_INSIDE = {"attn": "head", "cross": "head", "mlp": "neuron", "conv": "neuron"}
_KEPT = 8  # results of a trace that are held: the way down reads the same ones again and again
_HELD: WeakKeyDictionary[Traced, OrderedDict[Any, Result]] = WeakKeyDictionary()
_REST = re.compile(r"\.(bias|interaction|rounding|B\d+)$")
_LINEAR = ("dla", "path")  # what parts of a part sum to is the part's own score
Row = dict[str, Any]


def parts(trace: Traced, asked: Asked) -> dict[str, Any]:
    """What every write gives the prediction at a cell. Parameters: `trace`; `asked`, {point, position, target, against, by, norm}."""
    found = scored(trace, asked, "write")
    rows = [_row(g.label, g.kind, float(g.values), _INSIDE.get(g.kind)) for g in found.parts.groups]
    points = {w.label: p.name for p in trace.stream.points for w in p.writes}
    return _table(found, rows, float(found.whole), found.error) | _aim(trace, asked) | {"points": points}


def inside(trace: Traced, asked: Asked) -> dict[str, Any]:
    """One part taken apart: a write to heads or neurons, a head to the tokens it reads, a neuron to what switched it on.

    Parameters: `trace`; `asked`, as of `parts`, with {component} and, for what switched a neuron on, {level, key}.
    """
    label = text(asked, "component")
    if label is None:
        raise InputError("name the part that is looked into, such as L3.mlp.")
    axes = [axis for axis, _ in parse_label(label).at]
    ways = {"neuron": switched, "head": _sources, None: _opened}
    way = ways.get(axes[-1] if axes else None)
    if way is None:
        raise InputError(f"{label} is not taken apart further.")
    return way(trace, asked, label) | _aim(trace, asked)


def _opened(trace: Traced, asked: Asked, label: str) -> dict[str, Any]:
    """A write as heads or neurons."""
    coarse = scored(trace, asked, "write")
    kind = next((g.kind for g in coarse.parts.groups if g.label == label), None)
    level = _INSIDE.get(kind or "")
    if level is None:
        raise InputError(f"{label} is not taken apart further." if kind else f"there is no part {label!r}.")
    found = scored(trace, asked, level, label)
    groups = [g for g in found.parts.groups if _REST.sub("", g.label) == label]
    rows = [row for g in groups for row in _rows(g, "source" if level == "head" else "switched")]
    whole = sum(float(g.values) for g in coarse.parts.groups if _REST.sub("", g.label) == label)
    rows = _most(rows)
    _say(trace._within(label), rows, asked)
    return _table(found, rows, whole)


def _sources(trace: Traced, asked: Asked, label: str) -> dict[str, Any]:
    """A head as the tokens that it reads."""
    parsed = parse_label(label)
    heads, edges = (scored(trace, asked, level, parsed.write) for level in ("head", "edge"))
    if not any(g.label == parsed.write and "key_pos" in g.axes for g in edges.parts.groups):
        raise InputError(f"{label} has no sources here.")
    whole, values = float(heads.parts[label]), edges.parts[label].flatten().tolist()
    tokens, kind = trace.tokens[which(trace, asked)], "attn"
    rows = [_row(f"{label}<-{j}", kind, v) | {"position": j, "token": tokens[j]} for j, v in enumerate(values)]
    if text(asked, "by") not in (None, *_LINEAR):
        rows.append(_row(f"{label}.interaction", "interaction", whole - sum(values)))
    return _table(edges, _most(rows), whole)


def switched(trace: Traced, asked: Asked, label: str) -> dict[str, Any]:
    """What switched a neuron on: its pre-activation as the sum of what every earlier part contributes.

    Parameters: `trace`; `asked`, {point, position, level, key}; `label`, of the neuron.
    """
    keys = [str(key) for key in keys_of(trace.run, label)]
    _, position = place(trace, asked)
    key = text(asked, "key") or (keys[0] if keys else None)
    found = trace.activation(label, text(asked, "level") or "write", key, which(trace, asked), position)
    rows = [row for g in found.parts.groups for row in _rows(g, "switched" if "neuron" in g.axes else None)]
    return _table(found, _most(rows), float(found.whole), found.error) | {"keys": keys, "key": key}


def scored(trace: Traced, asked: Asked, level: str, within: str | None = None) -> Result:
    """The scores that are asked for, at one level. Parameters: `trace`; `asked`; `level`; `within`, the one write that is taken apart, None for all."""
    _, position = place(trace, asked)
    by, norm = text(asked, "by") or "dla", text(asked, "norm")
    target = aimed(trace, asked)
    held, key = _HELD.setdefault(trace, OrderedDict()), (target, level, by, position, norm, within)
    if key not in held:
        held[key] = (trace._within(within) if within else trace).scores(target, level, by, position, norm=norm)
    held.move_to_end(key)
    while len(held) > _KEPT:
        held.popitem(last=False)
    return held[key].prompt(which(trace, asked))


def aimed(trace: Traced, asked: Asked) -> Target:
    """What is scored: the token that was named, or else the likeliest of the cell; held against another where one was named.

    Parameters: `trace`; `asked`.
    """
    named, against = (_named(asked, name) for name in ("target", "against"))
    target = likeliest(trace, asked, 1)[0][0] if named is None else trace.index(named)
    return target if against is None else Contrast(target, trace.index(against))


def _named(asked: Asked, name: str) -> str | int | None:
    """A token by its text, or by its number in a file that is stored."""
    value = asked.get(name)
    return value if isinstance(value, int) else text(asked, name)


def _aim(trace: Traced, asked: Asked) -> dict[str, Any]:
    """The words that are scored."""
    goal = aimed(trace, asked)
    one, other = (goal.token, goal.against) if isinstance(goal, Contrast) else (goal, None)
    assert isinstance(one, int)
    return {"token": trace.word(one), "against": trace.word(other) if isinstance(other, int) else None}


def _table(found: Result, rows: list[Row], whole: float, error: float | None = None) -> dict[str, Any]:
    """Rows with their sum and what they must sum to."""
    total = sum(row["value"] for row in rows)
    error = abs(total - whole) if error is None else error
    choices = {name: value for name, value in found.choices.items() if name not in ("prompt",)}
    return {"rows": rows, "sum": total, "whole": whole, "error": error, "bound": found.bound, "choices": choices}


def _rows(group: Group, into: str | None) -> Iterable[Row]:
    values = group.flat().flatten().tolist()
    return [_row(group.name(i), group.kind, value, into if group.axes else None) for i, value in enumerate(values)]


def _row(label: str, kind: str, value: float, into: str | None = None) -> Row:
    return {"component": label, "kind": kind, "layer": layer_of(f"{label}."), "value": value, "into": into}


def _most(rows: list[Row]) -> list[Row]:
    """The rows of the largest values in the order of size, what is not a part of the write behind them, and the others as one row."""
    inner = sorted((r for r in rows if r["kind"] not in ("constant", "interaction")), key=lambda r: -abs(r["value"]))
    shown, others = inner[:SHOWN], inner[SHOWN:]
    rest = [{**_row("", "others", sum(r["value"] for r in others)), "count": len(others)}] if others else []
    return [*shown, *rest, *(r for r in rows if r["kind"] in ("constant", "interaction"))]


def _say(trace: Traced, rows: list[Row], asked: Asked) -> None:
    """Gives rows the words that they raise and lower most."""
    _, position = place(trace, asked)
    labels = [row["component"] for row in rows if row["into"]]
    if not labels or trace._loaded.codec is None:
        return
    said = trace.words(labels, _WORDS, _WORDS, prompt=which(trace, asked), position=position)
    for row in rows:
        if row["into"]:
            row |= {end: [word for word, _ in words] for end, words in said[row["component"]].items()}
