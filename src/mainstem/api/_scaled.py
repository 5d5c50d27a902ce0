"""Does a dominant subspace crowd out the others: the loss against how strongly what lies in it is scaled."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, Provenance
from mainstem.stream import Edit, scale, taken

from ._batching import prompts_of
from ._edit_effect import edit_effect, losses, read
from ._model import Model
from ._places import tokens_of
from ._store import parquet, store
from ._target import Target
from ._trace import Trace
from ._weights import Weights

_GRID = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


@dataclass(frozen=True, eq=False)
class SubspaceScale:
    """The loss against the scale of what lies in a subspace.

    Parameters: `rows`, a scale each, with its numbers; `at`, the label; `directions`, orthonormal, that span it; `share`, of the squared length
    that lies in it, None where it was not measured; `model`, its name; `said`, what the loss is of; `weights`.
    """

    rows: tuple[dict[str, Any], ...]
    at: str
    directions: Float[Tensor, "direction d_model"]
    share: float | None
    model: str
    said: str
    weights: Weights | None = None

    @property
    def provenance(self) -> Provenance | None:
        """Where the model came from, and the sha256 of its weights."""
        return self.weights.provenance() if self.weights else None

    @property
    def best(self) -> float:
        """The scale with the lowest loss; below 1 the subspace crowds others out, above 1 it is too weak."""
        return min(self.rows, key=lambda row: row["loss"])["by"]

    def frame(self) -> Any:
        """A tidy polars frame: model, at, directions (how many), share, by (the scale), tokens, loss, increase (over that at 1), error, divergence."""
        import polars as pl

        about = {"model": self.model, "at": self.at, "directions": len(self.directions), "share": self.share}
        reals = dict.fromkeys(("share", "by", "loss", "increase", "error", "divergence"), pl.Float64)
        return pl.DataFrame([about | row for row in self.rows], schema_overrides=reals, infer_schema_length=None)

    def chart(self) -> Any:
        """The loss against the scale, the model itself marked at 1; needs the extra `view`."""
        from mainstem.view import scale_curve

        part = "" if self.share is None else f", {100 * self.share:.3g}% of its squared length"
        some = f"{len(self.directions)} direction{'s' * (len(self.directions) > 1)}"
        return scale_curve(self.frame(), f"Loss against the scale of {some} at {self.at}", f"{self.model}{part}", self.said)

    def save(self, path: str | Path) -> Path:
        """Stores the tidy frame. Parameters: `path`, ending in `.parquet` or `.csv`."""
        forms = {
            ".parquet": lambda half: parquet(self.frame(), {"at": self.at, "loss": self.said}, self.provenance, half),
            ".csv": lambda half: self.frame().write_csv(half),
        }
        return store(path, forms)

    def __repr__(self) -> str:
        lines = [f"{self.model}, {len(self.directions)} directions at {self.at}; {self.said}"]
        return "\n".join([*lines, *(f"  x {row['by']:<5g} {row['loss']:.4f}" for row in self.rows)])


def subspace_scale(
    model: Model,
    data: Any,
    at: str,
    directions: int | Float[Tensor, "direction d_model"] = 1,
    by: Sequence[float | int] = _GRID,
    target: Target = None,
    column: str | None = None,
    batch_tokens: int = 4096,
    length: int | None = None,
) -> SubspaceScale:
    """The loss of a model as what lies in a subspace is scaled: does a dominant subspace crowd out the others?

    x becomes x + (a - 1) P x at every token, P onto the subspace, for every a; at 1 the model is as it is. Where a norm reads x, a
    dominant part of it makes all others small: if so, the loss falls as it is shrunk.

    Parameters: `model`; `data`, as of `mainstem.measure`, or, with a target, prompts; `at`, a point's or a write's label; `directions`, rows that
    span the subspace, or how many to take of those that hold most of the mean squared length over the data; `by`, values of a; `target`,
    for the loss -log p(target) after each prompt, None for that of the next token over the data; `column`, `batch_tokens` and `length`, as of
    `mainstem.measure`.

    Returns a loss for every scale. Raises `InputError` for a model that predicts no next token where there is no target.
    """
    grid = [float(a) for a in by]
    if not grid or len(set(grid)) < len(grid):
        raise InputError(f"by is scales, each once, such as {_GRID}, not {by!r}.")
    share, basis = None, directions
    if isinstance(directions, int):
        every = [model.trace(data)] if target is not None else _traces(model, data, column, batch_tokens, length)
        basis, share = _dominant(every, at, directions)
    assert isinstance(basis, Tensor)
    edits = [scale(at, by=a, along=basis) for a in grid]
    rows = losses(model, data, edits, column, batch_tokens, length)[1:] if target is None else _aimed(model, data, edits, target)
    if any(row["loss"] is None for row in rows):
        raise InputError(f"{model.name} predicts no next token from those before: give prompts and a target=...")
    said = "loss of the next token, nats" if target is None else "-log p of the target, nats"
    kept = edits[0].changes[0].along  # type: ignore[attr-defined]
    numbers = tuple({"by": a} | row for a, row in zip(grid, rows, strict=True))
    return SubspaceScale(numbers, at, kept, share, model.name, said, Weights(model.loaded))


def _aimed(model: Model, data: Any, edits: Sequence[Edit], target: Target) -> list[dict[str, Any]]:
    """The target's loss over prompts, with each edit."""
    rows = []
    for edit in edits:
        found = edit_effect(model, data, edit, target)
        before, after = found.logprobs
        more = before - after
        error = float(more.std() / len(more) ** 0.5) if len(more) > 1 else None
        numbers = {"loss": float(-after.mean()), "increase": float(more.mean()), "error": error}
        rows.append({"tokens": len(after), **numbers, "divergence": float(found.divergence.mean())})
    return rows


def _traces(model: Model, data: Any, column: str | None, batch_tokens: int, length: int | None) -> Any:
    return (model.trace(prompts_of(batch)) for batch in read(model, data, column, batch_tokens, length))


@torch.no_grad()
def _dominant(traces: Any, at: str, count: int) -> tuple[Tensor, float]:
    """Directions that hold most of the mean squared length at a label, and the share of it that they hold."""
    total: Tensor | None = None
    for trace in traces:
        rows = _rows(trace, at)
        total = rows.mT @ rows if total is None else total + rows.mT @ rows
    assert total is not None
    if not 1 <= count <= len(total):
        raise InputError(f"{at} has {len(total)} features: take 1 to {len(total)} directions, not {count}.")
    values, vectors = torch.linalg.eigh(total)
    return vectors[:, -count:].mT.flip(0), float(values[-count:].sum() / values.sum())


def _rows(trace: Trace, at: str) -> Float[Tensor, "place d_model"]:
    """What stands at a label at every real token, in float64."""
    own = tokens_of(trace.run.map, trace._inputs)
    parts = list(taken(trace.run, [at], own).values())
    if len(parts) > 1:
        raise InputError(f"{at} is {len(parts)} writes: name one of them, or a point.")
    part = parts[0]
    mask = next(iter(own.values())).real(len(part), part.shape[1], part.device)
    return part[mask.expand(part.shape[:2])].double()
