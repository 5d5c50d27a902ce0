"""Memory management as users hold it: every neuron and head by how far its weights take away what they read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstem.core import InputError, Provenance, whole
from mainstem.score import Eraser

from ._store import parquet, store
from ._weights import Weights

_KINDS = ("neuron", "head")
_MEANS = {"neuron": "cos(W_in, W_out)", "head": "eigenvalues of W_V W_O x attention to the own token"}


@dataclass(frozen=True, eq=False)
class ErasersResult:
    """Neurons and heads with how far they erase, those that do most first.

    Parameters: `found`, the numbers; `model`, its name; `weights`, those of the run.
    """

    found: tuple[Eraser, ...]
    model: str
    weights: Weights | None = None

    @property
    def provenance(self) -> Provenance | None:
        """Where the model came from, and the sha256 of its weights at the run."""
        return self.weights.provenance() if self.weights else None

    def __len__(self) -> int:
        return len(self.found)

    def top(self, k: int = 10, kind: str | None = None) -> list[tuple[str, float]]:
        """The components that erase most, with their scores. Parameters: `k`, how many; `kind`, "neuron" or "head", None for both."""
        return [(one.component, one.score) for one in self._of(kind)[: whole("k", k, 0)]]

    def _of(self, kind: str | None) -> list[Eraser]:
        if kind not in (None, *_KINDS):
            raise InputError(f"no kind {kind!r}; there are {', '.join(_KINDS)}.")
        return [one for one in self.found if kind in (None, one.kind)]

    def frame(self) -> Any:
        """A tidy polars frame, a row for each head, and for each neuron and row that it reads by: model, rank, component, write, layer
        and places inside, kind, key, score, cosine, eigenvalues, present."""
        import polars as pl

        from ._frame import COORDINATES, coordinates

        rows = [{"model": self.model, "rank": i, **coordinates(one.component), **vars(one)} for i, one in enumerate(self.found)]
        numbers = dict.fromkeys(("layer", *COORDINATES), pl.Int64)
        reals = dict.fromkeys(("cosine", "eigenvalues", "present"), pl.Float64)
        return pl.DataFrame(rows, schema_overrides={**numbers, **reals, "key": pl.String}, infer_schema_length=None)

    def rows(self, kind: str | None = None, k: int = 10) -> list[dict[str, Any]]:
        """The strongest erasers as plain data: kind, component, key, score, cosine, eigenvalues, present. Parameters: `kind` and `k`, as of `top`."""
        return [dict(vars(one)) for one in self._of(kind)[: whole("k", k, 0)]]

    def chart(self, kind: str | None = None, k: int = 20) -> Any:
        """The strongest erasers as bars, below zero; needs the extra `view`.

        Parameters: `kind`, "neuron" or "head", None for both, one chart below the other; `k`, how many of each. Raises `InputError` where there is none.
        """
        from mainstem.view import panels

        if kind is not None:
            return self._bars(kind, k)
        return panels([self._bars(one, k) for one in _KINDS if self._of(one)], f"Strongest erasers of {self.model}", columns=1)

    def _bars(self, kind: str, k: int) -> Any:
        from mainstem.view import top_components

        rows = [
            {"component": one.component, "value": one.score, "rank": i}
            for i, one in enumerate(self._of(kind)[: whole("k", k, 1)])
        ]
        if not rows:
            raise InputError(f"this model has no {kind} whose weights can be read.")
        return top_components(rows, k, title=f"Strongest erasers: {kind}s", about=self.model, measure=_MEANS[kind])

    def save(self, path: str | Path) -> Path:
        """Stores the tidy frame, in Parquet with provenance. Parameters: `path`, ending in `.parquet` or `.csv`."""
        forms = {
            ".parquet": lambda half: parquet(self.frame(), {"model": self.model}, self.provenance, half),
            ".csv": lambda half: self.frame().write_csv(half),
        }
        return store(path, forms)

    def __repr__(self) -> str:
        lines = []
        for kind in _KINDS:
            some = self._of(kind)
            lines += [f"{len(some)} {kind}s, {_MEANS[kind]}"] if some else []
            lines += [f"  {one.component:<20} {one.key or '':<5} {one.score:+.3f}" for one in some[:6]]
        return "\n".join([f"erasers of {self.model}:", *lines])
