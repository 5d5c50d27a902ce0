"""The logit lens as users hold it: a table of points and positions, with words."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mainstem.core import InputError, Provenance
from mainstem.models import Loaded
from mainstem.score import Lens

from ._names import name_of
from ._store import parquet, store
from ._weights import Weights


class LensResult:
    """What every point of the stream says, tensors of [point, batch, pos].

    Parameters: `lens`, the numbers; `loaded`, the model; `tokens`, the prompts' pieces; `output`, the model's own output;
    `mask`, one at real tokens, None where all are: padding stays in the tensors and is left out of tables; `places`, the one
    position of every prompt that was looked at, None for all: then the last axis of the tensors has size 1; `weights`, those of
    the run; `tuned`, the choices that a tuned lens was fitted with.
    """

    def __init__(
        self,
        lens: Lens,
        loaded: Loaded,
        tokens: tuple[tuple[str, ...], ...],
        output: Tensor,
        mask: Tensor | None,
        places: Tensor | None = None,
        weights: Weights | None = None,
        tuned: dict[str, Any] | None = None,
    ) -> None:
        self.places, self._weights, self._tuned = places, weights, tuned or {}
        self.values, self._loaded, self.tokens, self._output, self.mask = lens, loaded, tokens, output, mask

    @property
    def points(self) -> tuple[str, ...]:
        """Labels of the points, the entry first."""
        return self.values.points

    @property
    def choices(self) -> dict[str, Any]:
        """Which lens this is, "logit lens" or "tuned lens", its norm rule, and what a tuned one was fitted with."""
        return {"lens": self.values.name, "norm": self.values.norm} | ({"tuned": self._tuned} if self._tuned else {})

    @property
    def provenance(self) -> Provenance | None:
        """Where the model came from, and the sha256 of its weights at the run; None where no run was said."""
        return self._weights.provenance() if self._weights else None

    def word(self, index: int) -> str:
        """A place on the output in words. Parameters: `index`."""
        return name_of(self._loaded, index, self._output)

    def top(self, prompt: int = 0, position: int = -1) -> list[tuple[str, str, float]]:
        """At one place, every point with its likeliest token and that token's probability.

        Parameters: `prompt`; `position`, counted from either end; there is one only where one was looked at.
        """
        at = self._at(prompt, position)
        rows = zip(self.points, self.values.tokens, self.values.top_logprob, strict=True)
        return [(p, self.word(int(ids[at])), float(lp[at].exp())) for p, ids, lp in rows]

    def _at(self, prompt: int, position: int) -> tuple[int, ...]:
        if self.values.tokens.ndim != 3:
            return (prompt,)
        if self.places is not None and position not in (-1, int(self.places[prompt])):
            raise InputError(f"this lens is of position {int(self.places[prompt])} alone, not of {position}.")
        return (prompt, position if self.places is None else 0)

    def frame(self) -> Any:
        """A tidy polars frame: point, prompt, position, top, target, logprobs, rank, entropy, kl, lens."""
        from ._frame import lens_frame

        return lens_frame(self.values, self.word, self.mask, self.places)

    def to_dict(self, prompt: int = 0) -> dict[str, Any]:
        """One prompt's lens as plain JSON types, a row of all real positions for every point. Parameters: `prompt`."""
        lens, real = self.values, self._real(prompt)
        numbers = {
            "top_logprob": lens.top_logprob,
            "logprob": lens.logprob,
            "rank": lens.rank,
            "entropy": lens.entropy,
            "kl": lens.kl,
        }
        return {
            "model": self._loaded.name,
            **self.choices,
            "tokens": self._pieces(prompt, real) if self.tokens else [],
            "points": list(self.points),
            "target": [self.word(int(i)) for i in lens.target[prompt].flatten()[real]],
            "top": [[self.word(int(i)) for i in row[prompt].flatten()[real]] for row in lens.tokens],
            **{name: value[:, prompt].reshape(len(self.points), -1)[:, real].tolist() for name, value in numbers.items()},
        }

    def _pieces(self, prompt: int, real: Tensor) -> list[str]:
        if self.places is not None:
            return [self.tokens[prompt][int(self.places[prompt])]]
        return [piece for piece, kept in zip(self.tokens[prompt], real, strict=True) if kept]

    def _real(self, prompt: int) -> Tensor:
        """Which positions of a prompt are tokens of its own."""
        every = torch.ones(self.values.tokens[0][prompt].numel(), dtype=torch.bool)
        return every if self.mask is None or self.places is not None else self.mask[prompt].bool().cpu()

    def save(self, path: str | Path) -> Path:
        """Stores the tidy frame; in Parquet with the model's provenance. Parameters: `path`, ending in `.parquet` or `.csv`."""
        about = {"model": self._loaded.name} | self.choices
        forms = {
            ".parquet": lambda half: parquet(self.frame(), about, self.provenance, half),
            ".csv": lambda half: self.frame().write_csv(half),
        }
        return store(path, forms)

    def __repr__(self) -> str:
        head = f"{self.values.name}, {self.values.norm} norm: {len(self.points)} points"
        rows = [f"  {point:<18} {word!r:<16} {p:.3f}" for point, word, p in self.top()]
        return "\n".join([head, *rows])
