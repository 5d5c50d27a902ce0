"""Scores as users hold them: ranked, summed, selected, as a tidy frame, stored, drawn."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mainstem.core import InputError, Parts, Provenance

from ._store import parquet, plain, store
from ._weights import Weights


@dataclass(frozen=True, eq=False)
class Result:
    """Values of components with named axes, the choices they were made with, and how nearly they sum to the whole.

    Parameters: `parts`, the values; `model`, its name; `target`, what was scored, in words, one text for each prompt where
    they differ; `tokens`, the pieces of every prompt; `positions`, the scored place in every prompt, None where all are kept; `mask`, one at real tokens, None where all
    are: padding stays in the tensors and is left out of tables; `weights`, those of the run, None for values made otherwise.
    """

    parts: Parts
    model: str
    target: str | tuple[str, ...]
    tokens: tuple[tuple[str, ...], ...] = ()
    positions: tuple[int, ...] | None = None
    mask: Tensor | None = None
    weights: Weights | None = None

    @property
    def tensor(self) -> Tensor:
        """All values, [component, ...]; the other axes are named in `axes`."""
        return self.parts.tensor

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes of `tensor`, "component" first."""
        return self.parts.axes

    @property
    def labels(self) -> Iterator[str]:
        """The components' labels in order, made one at a time: there can be millions."""
        return self.parts.labels()

    @property
    def whole(self) -> Tensor:
        """What the parts sum to: the logit, or difference of logits, of the model itself."""
        return self.parts.whole

    @property
    def error(self) -> float:
        """How far the sum of the parts is from the whole, at most, in units of the whole."""
        return self.parts.error

    @property
    def bound(self) -> float:
        """What `error` must stay under: 64 eps times the sum of the parts' absolute values."""
        return self.parts.bound

    @property
    def choices(self) -> dict[str, Any]:
        """The choices that the values were made with: score, level, norm rule, target."""
        target = self.target if isinstance(self.target, str) else list(self.target)
        return {**self.parts.choices, "target": target, "model": self.model}

    @property
    def provenance(self) -> Provenance | None:
        """Where the model came from, and the sha256 of its weights at the run. Worked out when asked for; saved with the values."""
        return self.weights.provenance() if self.weights else None

    @property
    def _said(self) -> str:
        return self.target if isinstance(self.target, str) else f"{self.target[0]} and {len(self.target) - 1} more"

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, label: str) -> Tensor:
        """Values of one component, or of one write with its inner axes. Parameters: `label`, such as "L3.mlp"."""
        return self.parts[label]

    def __repr__(self) -> str:
        shape = ", ".join(f"{axis} {n}" for axis, n in zip(self.axes, self.tensor.shape, strict=True))
        within = f", each part within {self.choices['within']:g}" if self.choices.get("within") else ""
        head = f"Result({shape}; {self._said}; sum {_short(self.whole)}, error {self.error:.1e}, bound {self.bound:.1e}{within})"
        if self.tensor.numel() != len(self):
            return head
        return "\n".join([head, *(f"  {label:<24} {value:+.4f}" for label, value in self.top(8))])

    def top(self, k: int = 10, largest: bool = True) -> list[tuple[str, float]]:
        """The k highest components of a single prompt's scores, as (label, value): heads at level "head", and so on.

        What the level does not take apart, such as an MLP beside heads, is in the table but not ranked. Parameters: `k`; `largest`, the highest if true, else the lowest. Raises `InputError` for several prompts or positions.
        """
        self._alone("top() ranks")
        only = self.parts.select("batch", 0) if self.whole.shape[:1] == (1,) else self.parts
        return only.top(k, largest)

    def _alone(self, what: str) -> None:
        if self.whole.numel() > 1:
            cells = ", ".join(f"{axis} {n}" for axis, n in zip(self.parts.rest, self.whole.shape, strict=True))
            fix = "take one prompt with .prompt(i), one position with scores(..., positions=i)"
            raise InputError(f"{what} one prompt at one position; here are {cells}: {fix}.")

    def sum(self, axis: str = "component") -> "Result | Tensor":
        """Sums one axis away: all components to the whole, "key_pos" to heads, "neuron" to writes, "pos" to prompts.

        Parameters: `axis`, its name.
        """
        found = self.parts.sum(axis)
        target = self._said if axis == "batch" else self.target
        return replace(self, parts=found, target=target) if isinstance(found, Parts) else found

    def prompt(self, index: int) -> "Result":
        """The scores of one prompt of a batch. Parameters: `index`."""
        if not 0 <= index < self.whole.shape[0]:
            raise InputError(f"there is no prompt {index}: there are {self.whole.shape[0]}, counted from 0.")
        places = None if self.positions is None else self.positions[index : index + 1]
        groups = tuple(replace(g, values=g.values.narrow(len(g.axes), index, 1)) for g in self.parts.groups)
        parts = replace(self.parts, groups=groups, whole=self.parts.whole[index : index + 1])
        mask = None if self.mask is None else self.mask[index : index + 1]
        target = self.target if isinstance(self.target, str) else self.target[index]
        tokens = self.tokens[index : index + 1]
        return replace(self, parts=parts, target=target, tokens=tokens, positions=places, mask=mask)

    def heads(self) -> Any:
        """The scores of heads as a tidy frame, a row a layer, head, prompt and position; finer levels are summed to heads.

        Raises `InputError` where there are no heads.
        """
        groups = tuple(g for g in self.parts.groups if "head" in g.axes)
        if not groups:
            raise InputError('these scores have no heads: take scores(level="head").')
        parts: Any = replace(self.parts, groups=groups)
        for axis in {axis for g in groups for axis in g.axes} - {"head"}:
            parts = parts.sum(axis)
        return replace(self, parts=parts).frame()

    def shares(self) -> Any:
        """What share of its write's score each part has, as a tidy frame: that of `frame`, with columns whole and share.

        share = value / whole, whole the sum over all rows of the write: its parts, its constant, and where scores of parts do
        not add up what is left, the row of kind "interaction". The shares of a write sum to 1; where its whole is near 0 they
        are large numbers of both signs. Source: Yu & Ananiadou, arXiv 2312.12141, who divide by the sum of the parts' scores,
        which shares out what parts do together as if each did it alone.

        Raises `InputError` where no write is taken apart.
        """
        from ._frame import shares

        if not any(g.axes for g in self.parts.groups):
            raise InputError('no write is taken apart here: take scores(level="neuron"), "head", "edge" or "dim".')
        return shares(self.frame())

    def to_dict(self, prompt: int = 0) -> dict[str, Any]:
        """One prompt's scores at one position as plain JSON types. Parameters: `prompt`. Raises `InputError` where all positions are kept."""
        found = self.prompt(prompt)
        if found.tensor.numel() != len(found):
            raise InputError(f"to_dict() is of one position; here are {found.axes[1:]}: take scores(positions=...) of one.")
        kinds = [kind for g in found.parts.groups for kind in [g.kind] * len(g.flat())]
        rows = zip(found.labels, kinds, found.tensor.flatten().tolist(), strict=True)
        return {
            "choices": found.choices,
            "position": None if found.positions is None else found.positions[0],
            "parts": [{"component": label, "kind": kind, "value": value} for label, kind, value in rows],
            "sum": float(found.whole),
            "error": found.error,
            "bound": found.bound,
        }

    def frame(self, limit: int = 5_000_000) -> Any:
        """A tidy polars frame: model, target, prompt, position, token, component, write, kind, layer, head, key_pos, neuron, value.

        Parameters: `limit`, refuse to make more rows than this.
        """
        from ._frame import tidy

        rows = self.tensor.numel()
        if rows > limit:
            raise InputError(f"a frame of this would have {rows:,} rows: take top() or sum() first, or pass frame(limit={rows}).")
        return tidy(self.parts, self.model, self.target, self.tokens, self.positions, self.mask)

    def to_xarray(self) -> Any:
        """An xarray DataArray with labelled components; needs xarray installed."""
        try:
            import xarray
        except ImportError as error:
            raise InputError("to_xarray() needs xarray: pip install xarray") from error
        values = self.tensor.detach().cpu().float().numpy()
        return xarray.DataArray(values, dims=self.axes, coords={"component": list(self.labels)}, attrs=self.choices)

    def chart(self, kind: str | None = None, k: int = 20, words: Callable[..., Any] | None = None) -> Any:
        """The scores of one prompt as a chart that notebooks show and `.save("chart.html")` writes; needs the extra `view`.

        Parameters: `kind`, "layers" (bars by layer and kind of write), "heads" (a map of layers by heads), "sources" (heads by
        the tokens they read), "neurons" or "ranking" (the strongest of them, of everything), by default what fits the level;
        `k`, how many components or heads at most; `words`, which names what neurons raise most: `trace.words`, or
        `functools.partial(trace.words, prompt=1)` for the second of several prompts. Raises `InputError` for several prompts or
        positions, a kind that these scores cannot be drawn as, or where altair is missing.
        """
        from ._chart import chart

        if other := set(self.parts.rest) - {"batch", "pos"}:
            raise InputError(f"chart() draws one number a component; these have an axis {min(other)} each: take scores().")
        self._alone("chart() draws")
        return chart(self, self.frame(), f"sum {float(self.whole):.4f}", kind, k, words)

    def save(self, path: str | Path) -> Path:
        """Stores values, labels, choices and provenance: `.parquet` as a tidy frame, `.json`, `.safetensors` as a tensor.

        Parameters: `path`; its ending tells the form; `.csv` is the tidy frame alone. Nothing half-written is left behind.
        """
        about = self.choices | {"error": self.error, "bound": self.bound}
        forms = {
            ".parquet": lambda half: parquet(self.frame(), about, self.provenance, half),
            ".csv": lambda half: self.frame().write_csv(half),
            ".json": lambda half: _json(self, half),
            ".safetensors": lambda half: _safetensors(self, half),
        }
        return store(path, forms)


def _short(value: Tensor) -> str:
    return f"{float(value.flatten()[0]):.4f}" if value.numel() == 1 else f"{tuple(value.shape)}"


def _json(result: Result, path: Path) -> None:
    record = {"choices": result.choices, "error": result.error, "bound": result.bound, "axes": result.axes}
    record["provenance"] = plain(result.provenance)
    path.write_text(json.dumps(record | {"labels": list(result.labels), "values": result.tensor.tolist()}), encoding="utf-8")


def _safetensors(result: Result, path: Path) -> None:
    from safetensors.torch import save_file

    about = {
        "choices": result.choices,
        "labels": list(result.labels),
        "axes": result.axes,
        "provenance": plain(result.provenance),
    }
    notes = {name: json.dumps(value) for name, value in about.items()}
    save_file(
        {"values": result.tensor.detach().contiguous(), "whole": torch.as_tensor(result.whole).detach().contiguous()}, path, notes
    )
