"""The stream of many prompts at one point, held while it is looked at."""

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError

from ._model import Model

MOST_PROMPTS, MOST_TOKENS = 200, 20_000
_KEPT, _ALL = 2**26, 2**21  # numbers that are held in all; of one prompt, for every point to be held
_NEXT = 10  # next tokens of a place


class Streams:
    """What was read of prompts: rows of the stream by point, tokens, next tokens. Parameters: `model`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._rows: OrderedDict[tuple[str, str], Tensor] = OrderedDict()
        self._tokens: dict[str, tuple[str, ...]] = {}
        self._next: dict[str, list[list[tuple[str, float]]]] = {}
        self._points: list[str] = []

    def points(self) -> list[str]:
        """The labels of the points of the model's stream."""
        if not self._points:
            self._points = [p.name for p in self.model.map.main.points]
        return self._points

    def rows(self, prompt: str, point: str) -> Float[Tensor, "pos d_model"]:
        """The stream of a prompt, traced where it was not yet. Parameters: `prompt`; `point`. Raises `InputError` for a point there is not."""
        if point not in self.points():
            raise InputError(
                f"there is no point {point!r}: there are {', '.join(self.points()[:3])} and so on to {self.points()[-1]}."
            )
        if (prompt, point) not in self._rows:
            self._read(prompt, point)
        self._rows.move_to_end((prompt, point))
        return self._rows[prompt, point]

    def _read(self, prompt: str, point: str) -> None:
        trace = self.model.trace(prompt, positions="all")
        if trace.logits.ndim != 3:
            raise InputError("this model's output has no positions: its directions are not shown token by token.")
        size = trace.point(point).numel()
        for name in self.points() if size * len(self.points()) <= _ALL else [point]:
            self._rows[prompt, name] = trace.point(name)[0].detach().clone()
        self._tokens[prompt] = trace.tokens[0]
        best = trace.logits[0].log_softmax(-1).topk(min(_NEXT, trace.logits.shape[-1]))
        words = [[trace.word(i) for i in row] for row in best.indices.tolist()]
        probs = best.values.double().exp().tolist()
        self._next[prompt] = [list(zip(w, p, strict=True)) for w, p in zip(words, probs, strict=True)]
        self._forget()

    def _forget(self) -> None:
        """Drops what was looked at longest ago."""
        held = sum(rows.numel() for rows in self._rows.values())
        while held > _KEPT and len(self._rows) > 1:
            (prompt, _), rows = self._rows.popitem(last=False)
            held -= rows.numel()
            if not any(name == prompt for name, _ in self._rows):
                self._tokens.pop(prompt), self._next.pop(prompt)

    def tokens(self, prompt: str) -> tuple[str, ...]:
        """The tokens of a prompt that was read. Parameters: `prompt`."""
        return self._tokens[prompt]

    def following(self, prompt: str, position: int) -> list[tuple[str, float]]:
        """The likeliest next tokens at a place, with their probabilities. Parameters: `prompt`; `position`."""
        self.rows(prompt, self.points()[-1])
        if not 0 <= position < len(self._next[prompt]):
            raise InputError(f"there is no position {position}: there are {len(self._next[prompt])}, counted from 0.")
        return self._next[prompt][position]

    def every(self, prompts: Sequence[str], point: str, turn: Any) -> Iterator[Float[Tensor, "pos d_model"]]:
        """The stream of each. Parameters: `prompts`; `point`; `turn`, which is told. Raises `InputError` for more tokens than are shown."""
        count = 0
        for i, prompt in enumerate(prompts):
            turn.say("prompts read", i, len(prompts))
            rows = self.rows(prompt, point)
            count += len(rows)
            if count > MOST_TOKENS:
                raise InputError(f"these prompts have more than {MOST_TOKENS} tokens: give fewer.")
            yield rows


def several(text: str) -> list[str]:
    """Prompts of one text, parted by empty lines. Parameters: `text`. Raises `InputError` for none, or too many."""
    found = list(dict.fromkeys(part for part in re.split(r"\n(?:[ \t]*\n)+", text.strip("\n")) if part.strip()))
    if not found:
        raise InputError("there is no prompt: type one.")
    if len(found) > MOST_PROMPTS:
        raise InputError(f"these are {len(found)} prompts: give {MOST_PROMPTS} or fewer.")
    return found
