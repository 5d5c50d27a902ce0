"""What patching found, as users hold it: a tidy table, the strongest, a heat map."""

import json
from dataclasses import dataclass, field
from math import isfinite, nan
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, Provenance
from mainstem.score import Patched, ranked

from ._patched_file import FORM, read, written
from ._store import parquet, restored, store
from ._weights import Weights

Exact = tuple[int, int, int, Tensor]


@dataclass(frozen=True, eq=False)
class PatchingResult:
    """The effect of patching every component at every token, or an estimate of it, and exact effects of the strongest beside that.

    Parameters: `parts`, the effects; `clean` and `corrupt`, the score of both runs of every pair; `checked`, components that were patched
    where the effects are estimates; `model`, its name; `targets`, what was scored, in words, for every pair; `prompts`, clean and
    corrupted; `tokens`, the pieces of the prompts patched into; `places`, the position of every turn and prompt; `choices`; `weights`.
    """

    parts: tuple[Patched, ...]
    clean: Float[Tensor, "prompt"]
    corrupt: Float[Tensor, "prompt"]
    checked: tuple[Exact, ...]
    model: str
    targets: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...] = ((), ())
    tokens: tuple[tuple[str, ...], ...] = ()
    places: dict[tuple[int, int], int] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    weights: Weights | None = None

    @property
    def provenance(self) -> Provenance | None:
        """Where the model came from, and the sha256 of its weights at the run."""
        return self.weights.provenance() if self.weights else None

    @property
    def estimated(self) -> bool:
        """Whether the effects are those of attribution patching."""
        return self.choices.get("by") == "attribution"

    @property
    def base(self) -> Float[Tensor, "prompt"]:
        """The score of the run that was patched into, before it was."""
        return self.corrupt if self.choices.get("side", "denoise") == "denoise" else self.clean

    def __len__(self) -> int:
        """How many components there are."""
        return sum(len(part.names) for part in self.parts)

    @property
    def agreement(self) -> float | None:
        """Spearman's rank correlation of estimates and exact effects, None where fewer than two were patched exactly."""
        if sum(len(value) for *_, value in self.checked) < 2:
            return None
        pairs = [(self.parts[g].effects[i, turn], value) for g, i, turn, value in self.checked]
        one, two = (torch.cat(side) for side in zip(*pairs, strict=True))
        there = one.isfinite()
        found = ranked(one[there], two[there])
        return found if isfinite(found) else None

    def top(self, k: int = 10, prompt: int = 0) -> list[tuple[str, int | None, float]]:
        """Component, position and effect of the strongest, whatever their sign. Parameters: `k`, how many; `prompt`."""
        if k < 1:
            raise InputError(f"top() takes 1 or more, not {k}.")
        rows = self._of(prompt).sort("size", descending=True, maintain_order=True).head(k)
        return list(rows.select("component", "position", "effect").iter_rows())

    def _of(self, prompt: int) -> Any:
        if not 0 <= prompt < len(self.clean):
            raise InputError(f"there is no pair {prompt}: there are {len(self.clean)}, counted from 0.")
        frame = self.frame()
        frame = frame.filter(frame["prompt"] == prompt)
        return frame.with_columns(frame["effect"].abs().alias("size"))

    def frame(self) -> Any:
        """A tidy polars frame: model, target, prompt, component, write, layer and places inside, position, token, value (the score with
        the patch), effect, recovery (null where both runs score the same); of estimates, exact and exact_recovery too."""
        import polars as pl

        from ._frame import COORDINATES, coordinates

        exact = {(g, i, turn): value for g, i, turn, value in self.checked}
        rows: list[tuple[Any, ...]] = []
        about = {name: coordinates(name) for part in self.parts for name in part.names}
        for g, part in enumerate(self.parts):
            values = part.effects.tolist()
            for i, name in enumerate(part.names):
                for turn, effects in enumerate(values[i]):
                    more = exact[g, i, turn].tolist() if (g, i, turn) in exact else [nan] * len(effects)
                    rows += [
                        (self.targets[p], p, *about[name].values(), *self._place(part, turn, p), effect, more[p])
                        for p, effect in enumerate(effects)
                        if isfinite(effect)
                    ]
        names = ("component", "write", "layer", *COORDINATES)
        texts = dict.fromkeys(("target", "component", "write", "token"), pl.String) | {"effect": pl.Float64, "exact": pl.Float64}
        columns = ("target", "prompt", *names, "position", "token", "effect", "exact")
        frame = pl.DataFrame(rows, schema={name: texts.get(name, pl.Int64) for name in columns}, orient="row")
        return self._valued(frame.with_columns(pl.lit(self.model).alias("model")), names)

    def _place(self, part: Patched, turn: int, prompt: int) -> tuple[int | None, str | None]:
        at = self.places.get((turn, prompt)) if part.tokens else None
        pieces = self.tokens[prompt] if prompt < len(self.tokens) else ()
        return at, pieces[at] if at is not None and at < len(pieces) else None

    def _valued(self, frame: Any, names: tuple[str, ...]) -> Any:
        """The frame with what follows from effects, columns in order."""
        import polars as pl

        def of(values: Tensor) -> Any:
            return pl.col("prompt").replace_strict(dict(enumerate(values.tolist())), return_dtype=pl.Float64)

        apart = self.clean - self.corrupt
        apart = torch.where(apart.abs() <= 1e-5 * (1 + self.clean.abs()), torch.nan, apart)
        shift = self.base - self.corrupt
        frame = frame.with_columns((of(self.base) + pl.col("effect")).alias("value")).with_columns(
            ((pl.col(name) + of(shift)) / of(apart)).fill_nan(None).alias(said)
            for name, said in (("effect", "recovery"), ("exact", "exact_recovery"))
        )
        more = ("exact", "exact_recovery") if self.estimated else ()
        order = ("model", "target", "prompt", *names, "position", "token", "value", "effect", "recovery", *more)
        return frame.with_columns(pl.col("exact").fill_nan(None)).select(order)

    def chart(self, by: str | None = None, prompt: int = 0, k: int = 40) -> Any:
        """A heat map of components by tokens, blue above zero and red below; bars, or layers by heads, where there is one turn.

        Parameters: `by`, "recovery", "effect" or, of what was patched, "exact", by default recovery of clean put into corrupt, else
        effect; `prompt`, which pair; `k`, how many components, the strongest, in the order of the stream. Needs the extra `view`.
        """
        from ._patched_chart import chart

        return chart(self, by, prompt, k)

    def to_dict(self, prompt: int = 0, k: int = 20) -> dict[str, Any]:
        """One pair as plain JSON types. Parameters: `prompt`; `k`, how many of the strongest."""
        rows = self._of(prompt).sort("size", descending=True, maintain_order=True).head(k)
        kept = [
            c for c in ("component", "layer", "head", "neuron", "position", "token", "value", "effect", "recovery") if c in rows
        ]
        kept += [c for c in ("exact", "exact_recovery") if c in rows.columns]
        scores = {"clean": float(self.clean[prompt]), "corrupt": float(self.corrupt[prompt])}
        agreement = {"agreement": self.agreement} if self.estimated else {}
        return {
            "choices": self._about,
            "target": self.targets[prompt],
            **scores,
            **agreement,
            "parts": rows.select(kept).to_dicts(),
        }

    @property
    def _about(self) -> dict[str, Any]:
        return {**self.choices, "model": self.model, "clean": list(self.prompts[0]), "corrupt": list(self.prompts[1])}

    def save(self, path: str | Path) -> Path:
        """Stores all of it (`.json`, for `load`) or the tidy frame (`.parquet`, with choices, both scores and provenance, or `.csv`).

        Parameters: `path`.
        """
        scores = {"clean_scores": self.clean.tolist(), "corrupt_scores": self.corrupt.tolist()}
        about = self._about | scores | {"agreement": self.agreement}
        forms = {
            ".parquet": lambda half: parquet(self.frame(), about, self.provenance, half),
            ".csv": lambda half: self.frame().write_csv(half),
            ".json": lambda half: half.write_text(json.dumps(written(self), allow_nan=False), encoding="utf-8"),
        }
        return store(path, forms)

    @classmethod
    def load(cls, path: str | Path) -> "PatchingResult":
        """What `save` stored as `.json`. Parameters: `path`. Raises `InputError` for a file that is missing or no such file."""
        held = restored(path, FORM, "result of patching")
        try:
            return cls(**read(held))
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{path} is no whole result of patching: {error} is missing or of another form.") from error

    def __repr__(self) -> str:
        how = "attribution patching" if self.estimated else "activation patching"
        scores = f"clean {float(self.clean[0]):.4f}, corrupt {float(self.corrupt[0]):.4f}"
        lines = [f"{how} of {self.model}, {self.choices.get('side')}; {self.targets[0]}: {scores}"]
        lines += [f"  {name:<14} {'' if at is None else at:>4} {effect:+.4f}" for name, at, effect in self.top(12)]
        return "\n".join(lines if self.agreement is None else [*lines, f"rank correlation with patching: {self.agreement:.3f}"])
