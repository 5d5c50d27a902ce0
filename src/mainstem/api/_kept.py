"""The answers that a file of one prompt holds, so that its page works with no server behind it."""

from collections.abc import Iterator
from typing import Any

from mainstem.core import InputError

from ._apart import Row, inside, parts
from ._cells import MOST, Asked, Traced, columns, grid
from ._target import Contrast, Target

Answers = list[tuple[str, Asked, Any]]
_POINTS = 40  # of a stream whose every point is taken apart; of a longer one the last alone
_WRITES = 12  # the strongest, which are taken apart: each costs what its words cost
_CELLS = 12_000  # of a grid, about half a megabyte: the columns of a long prompt that are about the traced one
_BEST = 3  # heads and neurons of such a write that are taken apart further


def kept(trace: Traced, target: Target, prompt: int, position: int | None) -> dict[str, Any] | None:
    """How the page opens, and answers to what can be asked of it at one position; None where the output has no positions.

    Parameters: `trace`; `target`, ids, None for what every point says itself; `prompt`, which of several; `position`.
    """
    trace, _ = trace._spots("all")
    if not trace.tokens or trace.logits.ndim != 3 or position is None:
        return None
    row = {"row": prompt}
    opened = _around(trace, row, grid(trace, row), position)
    ids = (target.token, target.against) if isinstance(target, Contrast) else (target, None)
    goal = {name: i for name, i in zip(("target", "against"), ids, strict=True) if isinstance(i, int)}
    said = {name: trace.word(i) for name, i in goal.items()}
    opening = {"model": opened["model"], "prompt": opened["prompt"], "position": position, **said}
    answers: Answers = [("prompt.open", {"prompt": opened["prompt"]}, opened)]
    points = opened["points"] if len(opened["points"]) <= _POINTS and not goal else opened["points"][-1:]
    for point in points:
        here = {"point": point, "position": position}
        named = {"prompt": opened["prompt"], **here, **said}
        found = _answered(trace, {**row, **here, **goal}, points[-1:] == [point])
        answers += [(kind, {**named, **more}, answer) for kind, more, answer in found]
    return {"opening": opening, "answers": answers}


def _around(trace: Traced, row: Asked, opened: dict[str, Any], position: int) -> dict[str, Any]:
    """A grid with its cells: of a long prompt those of the columns about one position, as many as a file has room for."""
    length = len(opened["tokens"])
    if len(opened["target"]) == length:
        return opened
    room = min(length, max(1, _CELLS // len(opened["points"])))
    first = max(0, min(position - room // 2, length - room))
    some = [columns(trace, {**row, "first": i, "end": min(i + MOST, first + room)}) for i in range(first, first + room, MOST)]
    return {**opened, "columns": some}


def _answered(trace: Traced, asked: Asked, further: bool) -> Iterator[tuple[str, Asked, Any]]:
    """What can be asked of a cell: its parts, and of one the parts of these."""
    table = parts(trace, asked)
    yield "prompt.parts", {}, table
    open_ = _strongest(table["rows"], _WRITES) if further else []
    trace._hold([row["component"] for row in open_])
    while open_:
        one = open_.pop(0)
        try:
            found = inside(trace, {**asked, "component": one["component"]})
        except InputError:  # edited inside, or nothing is known to switch it on: then the page says that it is not held
            continue
        yield "prompt.inside", {"component": one["component"]}, found
        open_ += _strongest(found["rows"], _BEST)
    trace._hold([])


def _strongest(rows: list[Row], most: int) -> list[Row]:
    return sorted((row for row in rows if row["into"]), key=lambda row: -abs(row["value"]))[:most]
