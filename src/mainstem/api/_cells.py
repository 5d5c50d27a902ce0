"""The grid of a prompt page in plain data: what every point would predict at every token."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.find import Stream
from mainstem.models import Loaded
from mainstem.score import Lens, lens, read_out, scores
from mainstem.stream import Pass

from ._lens import LensResult
from ._target import Target

Asked = Mapping[str, Any]


class Traced(Protocol):
    """What the page asks of a trace."""

    run: Pass
    _loaded: Loaded

    @property
    def stream(self) -> Stream: ...

    @property
    def tokens(self) -> tuple[tuple[str, ...], ...]: ...

    @property
    def prompts(self) -> tuple[str, ...]: ...

    @property
    def logits(self) -> Tensor: ...

    def lens(self, target: Target = None, norm: str = "own") -> LensResult: ...

    def word(self, index: int) -> str: ...

    def index(self, target: str | int) -> int: ...

    def _within(self, write: str) -> "Traced": ...

    def _hold(self, writes: Sequence[str]) -> None: ...

    def _spots(self, positions: int | str | None, prompt: int | None = None) -> tuple[Any, Any]: ...

    @property
    def scores(self) -> Any: ...

    @property
    def words(self) -> Any: ...

    @property
    def activation(self) -> Any: ...


FIRST = 5  # tokens of a cell that stand in the grid itself, where it is small
_SMALL = 3000  # cells of such a grid, which is given whole; of a larger one, columns as they are seen
MOST = 64  # columns that are given at once
NUMBERS = {"prob": "top_logprob", "logprob": "logprob", "rank": "rank", "entropy": "entropy", "kl": "kl"}
# Scores that are not sums over parts have no bars that add up.
_ADD = {
    "dla": "direct logit attribution",
    "logprob_increase": "log-probability increase",
    "path": "path",
    "prob_increase": "probability increase",
}


def grid(trace: Traced, asked: Asked) -> dict[str, Any]:
    """Tokens, points, and for every cell its likeliest token and its numbers; words stand once, cells name them by their number.

    Of a long prompt no cell is given yet: `columns` has those that are seen.

    Parameters: `trace`; `asked`, {lens, row}: the norm rule, and which of several prompts.
    """
    norm, row = text(asked, "lens") or "own", which(trace, asked)
    if trace.logits.ndim != 3:
        raise InputError("this model's output has no positions: the prompt page is for models that predict tokens.")
    points, length = [p.name for p in trace.stream.points], len(trace.tokens[row])
    small = len(points) * length <= _SMALL
    words = Words(trace)
    record = {
        "model": trace._loaded.name,
        "prompt": trace.prompts[row] if trace.prompts else "",
        "tokens": list(trace.tokens[row]),
        "points": points,
        **_columns(trace, words, norm, row, (0, length if small else 0)),
        "tops": _tops(trace, words, norm, row) if small else None,
        "lens": norm,
        "scores": [{"by": by, "name": name, **_takes(by)} for by, name in _ADD.items()],
    }
    return record | {"words": words.said, "vocabulary": int(trace.logits.shape[-1])}


def columns(trace: Traced, asked: Asked) -> dict[str, Any]:
    """Some positions of the grid of a long prompt. Parameters: `trace`; `asked`, {first, end, lens, row}: the first, and the one behind the last.

    Raises `InputError` for positions that are not there, and for more than `MOST` of them.
    """
    row, first, end = which(trace, asked), asked.get("first"), asked.get("end")
    length = len(trace.tokens[row])
    if type(first) is not int or type(end) is not int or not 0 <= first < end <= min(length, first + MOST):
        raise InputError(f"columns are from 0 to {length}, and {MOST} at a time, not {first!r} to {end!r}.")
    words = Words(trace)
    found = _columns(trace, words, text(asked, "lens") or "own", row, (first, end))
    return found | {"first": first, "words": words.said}


def _columns(trace: Traced, words: "Words", norm: str, row: int, span: tuple[int, int]) -> dict[str, Any]:
    """The cells of a stretch of positions, [point][position]; logits of the stretch alone are made, a tile at a time."""
    if span[0] == span[1]:
        return {
            "top": [[] for _ in trace.stream.points],
            "target": [],
            **{name: [[] for _ in trace.stream.points] for name in NUMBERS},
        }
    target = trace.logits[:, span[0] : span[1]].argmax(-1)
    found = lens(trace.run, target, norm, span=span)
    return {
        "top": [[words.number(i) for i in ids[row].tolist()] for ids in found.tokens],
        "target": [words.number(i) for i in target[row].tolist()],
        **{name: _rows(found, field, row) for name, field in NUMBERS.items()},
    }


def _rows(found: Lens, field: str, row: int) -> list[list[float]]:
    values = getattr(found, field)[:, row].double()
    values = values.exp() if field == "top_logprob" else values
    return [[_figures(v) for v in point] for point in values.tolist()]


def _figures(value: float) -> float:
    """A number to six figures: what a page shows, and a fraction of the bytes."""
    return float(f"{value:.6g}")


def _takes(by: str) -> dict[str, Any]:
    score = scores()[by]
    return {"about": score.about, "unit": score.unit, "norm": "norm" in score.takes}


def _tops(trace: Traced, words: "Words", norm: str, row: int) -> list[list[list[tuple[int, float]]]]:
    """The likeliest tokens of every cell with their probabilities, [point][position][rank]."""
    found, length = [], len(trace.tokens[row])
    for t in range(len(trace.stream.points)):
        ids, logprobs = (rows[row * length : (row + 1) * length] for rows in read_out(trace.run, t, FIRST, norm))
        cells = zip(ids.tolist(), logprobs.exp().tolist(), strict=True)
        found.append([[(words.number(i), _figures(p)) for i, p in zip(*cell, strict=True)] for cell in cells])
    return found


def cell(trace: Traced, asked: Asked, k: int = 10) -> dict[str, Any]:
    """The likeliest tokens of one cell. Parameters: `trace`; `asked`, {point, position, lens, row}; `k`, how many."""
    rows = zip(*likeliest(trace, asked, k), strict=True)
    return {"tops": [{"id": i, "token": trace.word(i), "prob": p} for i, p in rows]}


def likeliest(trace: Traced, asked: Asked, k: int) -> tuple[list[int], list[float]]:
    """Ids and probabilities of the likeliest tokens of one cell. Parameters: as of `cell`."""
    point, position = place(trace, asked)
    places = torch.full((trace.run.prompts,), position)
    ids, logprobs = read_out(trace.run, point, k, text(asked, "lens") or "own", places)
    row = which(trace, asked)
    return ids[row].tolist(), logprobs[row].double().exp().tolist()


def which(trace: Traced, asked: Asked) -> int:
    """The prompt of several that is asked about, the first by default. Parameters: `trace`; `asked`."""
    row = asked.get("row", 0)
    if not isinstance(row, int) or not 0 <= row < len(trace.tokens):
        raise InputError(f"there is no prompt {row!r}: there are {len(trace.tokens)}, counted from 0.")
    return row


def place(trace: Traced, asked: Asked) -> tuple[int, int]:
    """Point and position, both counted from 0. Parameters: `trace`; `asked`. Raises `InputError` for one that is not there."""
    tokens, points = len(trace.tokens[which(trace, asked)]), [p.name for p in trace.stream.points]
    position, name = asked.get("position"), asked.get("point")
    if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position < tokens:
        raise InputError(f"there is no position {position!r}: there are {tokens}, counted from 0.")
    if name not in points:
        raise InputError(
            f"there is no point {name!r}: there are {points[0]}, {', '.join(points[1:3])} and so on to {points[-1]}."
        )
    return points.index(name), position


def text(asked: Asked, name: str) -> str | None:
    """A choice that is a text, None where it was not made. Parameters: `asked`; `name`."""
    value = asked.get(name)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{name} is a text, not {value!r}.")
    return value or None


class Words:
    """Tokens in words, each said once. Parameters: `trace`."""

    def __init__(self, trace: Traced) -> None:
        self.said: list[str] = []
        self._trace, self._numbers = trace, dict[int, int]()

    def number(self, token: int) -> int:
        """The place of a token's words in `said`. Parameters: `token`, its id."""
        if token not in self._numbers:
            self._numbers[token] = len(self.said)
            self.said.append(self._trace.word(token))
        return self._numbers[token]
