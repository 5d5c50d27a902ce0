"""The best components as users hold them: a table for every prompt and place, with what proves that none was missed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mainstem.core import InputError, Provenance, Tops

from ._store import parquet, store
from ._weights import Weights


@dataclass(frozen=True, eq=False)
class TopResult:
    """The k components with the highest scores at every scored place, best first.

    Parameters: `tops`, the numbers; `model`, its name; `target`, what was scored, in words, one text for each prompt where they
    differ; `tokens`, the pieces of every prompt; `positions`, the scored place of every prompt, None where all are kept; `mask`,
    one at real tokens, None where all are; `weights`, those of the run.
    """

    tops: Tops
    model: str
    target: str | tuple[str, ...]
    tokens: tuple[tuple[str, ...], ...] = ()
    positions: tuple[int, ...] | None = None
    mask: Tensor | None = None
    weights: Weights | None = None

    @property
    def choices(self) -> dict[str, Any]:
        """The choices that the scores were made with, and how many of how many were worked out."""
        target = self.target if isinstance(self.target, str) else list(self.target)
        worked = {"worked_out": self.tops.evaluated, "of": self.tops.of * self.tops.values.shape[0]}
        return {**self.tops.choices, **worked, "target": target, "model": self.model}

    @property
    def provenance(self) -> Provenance | None:
        """Where the model came from, and the sha256 of its weights at the run."""
        return self.weights.provenance() if self.weights else None

    def __len__(self) -> int:
        """How many components each place has."""
        return self.tops.values.shape[1]

    def _cell(self, prompt: int, position: int | None) -> int:
        shape = self.tops.shape
        if not 0 <= prompt < shape[0]:
            raise InputError(f"there is no prompt {prompt}: there are {shape[0]}, counted from 0.")
        if len(shape) == 1:
            return prompt
        real = torch.ones(shape[1]) if self.mask is None else self.mask[prompt]
        if position is None:
            return prompt * shape[1] + int(real.nonzero()[-1])
        at = position + (shape[1] if position < 0 else 0)
        if not 0 <= at < shape[1]:
            raise InputError(f"there is no position {position}: there are {shape[1]}, counted from 0 (or back from -1).")
        if not bool(real[at]):
            raise InputError(f"position {position} of prompt {prompt} is padding, where nothing is scored.")
        return prompt * shape[1] + at

    def _position(self, prompt: int, position: int | None) -> int | None:
        """Where in its prompt a place is."""
        if len(self.tops.shape) > 1:
            return self._cell(prompt, position) % self.tops.shape[1]
        return None if self.positions is None else self.positions[prompt]

    def top(self, k: int | None = None, prompt: int = 0, position: int | None = None) -> list[tuple[str, float]]:
        """Label and score of the components at one place, best first.

        Parameters: `k`, how many at most, all by default; `prompt`; `position`, the last token's by default.
        """
        if k is not None and k < 1:
            raise InputError(f"top() takes 1 or more, not {k}.")
        cell = self._cell(prompt, position)
        return list(zip(self.tops.labels[cell], self.tops.values[cell].tolist(), strict=True))[:k]

    def next(self, prompt: int = 0, position: int | None = None) -> float:
        """What no other component of that place exceeds: the certificate. Parameters: `prompt`; `position`."""
        return float(self.tops.next[self._cell(prompt, position)])

    def frame(self) -> Any:
        """A tidy polars frame: model, target, prompt, position, token, rank, component, write, layer and places inside, value."""
        from ._frame import top_frame

        return top_frame(self.tops, self.model, self.target, self.tokens, self.positions, self.mask)

    def chart(self, words: Callable[..., Any] | None = None, prompt: int = 0, position: int | None = None) -> Any:
        """One place as bars, best first, as a chart that notebooks show and `.save("chart.html")` writes; needs the extra `view`.

        Parameters: `words`, such as `trace.words`, which names what a component raises most; `prompt`; `position`, the last by
        default. Raises `InputError` where there is nothing to draw, or where altair is missing.
        """
        from ._chart import chart

        rows, others = self.frame(), self.next(prompt, position)
        rows = rows.filter((rows["prompt"] == prompt) & rows["value"].is_finite())
        if len(self.tops.shape) > 1:
            rows = rows.filter(rows["position"] == self._position(prompt, position))
        foot = f"every other one at most {others:+.4f}" if others > -inf else "no others"
        said = partial(words, prompt=prompt) if words else None
        return chart(self, rows, foot, "ranking", len(self), said, "Highest scores")

    def to_dict(self, prompt: int = 0, position: int | None = None) -> dict[str, Any]:
        """One place as plain JSON types. Parameters: `prompt`; `position`, where all are kept, the last by default."""
        after = self.next(prompt, position)
        target = self.target if isinstance(self.target, str) else self.target[prompt]
        return {
            "choices": {**self.choices, "target": target},
            "position": self._position(prompt, position),
            "parts": [{"component": label, "value": value} for label, value in self.top(None, prompt, position)],
            "next": after if after > -inf else None,
        }

    def save(self, path: str | Path) -> Path:
        """Stores the tidy frame; in Parquet with choices and provenance. Parameters: `path`, ending in `.parquet` or `.csv`."""
        forms = {
            ".parquet": lambda half: parquet(self.frame(), self.choices, self.provenance, half),
            ".csv": lambda half: self.frame().write_csv(half),
        }
        return store(path, forms)

    def __repr__(self) -> str:
        said = self.target if isinstance(self.target, str) else f"{self.target[0]} and {len(self.target) - 1} more"
        head = f"the {len(self)} best of {self.tops.of:,} by {self.tops.choices.get('by')}; {said}"
        rows = [f"  {label:<18} {value:+.4f}" for label, value in self.top()]
        after = self.next()
        return "\n".join(
            [head, *rows, f"  every other one     at most {after:+.4f}" if after > -inf else "  there are no others"]
        )
