"""What components are in the mean over a data set: what an edit puts in their place."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, MapError, Provenance, from_plain, whole_file
from mainstem.find import Patch, StreamMap, run
from mainstem.models import prepare, provenance
from mainstem.scan import Batch, Reader, batches, source, survey
from mainstem.stream import Edit, Target, Tokens, named, seated, targets

from ._batching import batching, prompts_of
from ._mapped import Mapped
from ._places import tokens_of
from ._readable import readable

FORM = "means 1"
_PIECE, _BATCH = 2**20, 4096


@dataclass(frozen=True, eq=False)
class Means:
    """Components of a model in the mean over the places of a data set. Made by `Model.means` or `load`, used in `mainstem.mean`.

    Parameters: `values`, by label, what the tensor of the forward pass is in the mean; `count`, how many places; `data`, how many
    examples, and the sha256 of their contents; `provenance`, of the model.
    """

    values: dict[str, Float[Tensor, " feature"]]
    count: int
    data: dict[str, Any]
    provenance: Provenance

    def save(self, path: str | Path) -> Path:
        """Stores the means with what they are of. Parameters: `path`, of a file, such as `means.safetensors`."""
        from safetensors.torch import save_file

        about = {"form": FORM, "count": self.count, "data": self.data, "provenance": self.provenance.to_dict()}
        with whole_file(path) as file:
            save_file({k: v.contiguous() for k, v in self.values.items()}, file, {"means": json.dumps(about)})
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> "Means":
        """Stored means. Parameters: `path`. Raises `InputError` for a file that is missing, broken or holds something else."""
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise InputError(f"there is no file {path}.")
        try:
            with safe_open(path, "pt") as file:
                about = json.loads((file.metadata() or {}).get("means", "{}"))
                values = {name: file.get_tensor(name) for name in file.keys()}
        except (SafetensorError, OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read: {error}.") from error
        if about.get("form") != FORM:
            raise InputError(f"{path} holds no means: make some with model.means(data, labels) and save them.")
        return cls(values, about["count"], about["data"], from_plain(Provenance, about["provenance"]))

    def __str__(self) -> str:
        return f"means of {', '.join(self.values)} over {self.count:,} places of {self.data['examples']:,} examples"


def means(model: Mapped, data: Any, labels: Sequence[str], column: str | None, batch_tokens: int, length: int | None) -> Means:
    """Means over data. Parameters: as of `Model.means`."""
    wanted, sums, count = named(labels, "take the mean of"), _Sums(), 0
    look = survey(source(data, column), _PIECE, None)
    reader, how = Reader(look), batching(model.loaded, batch_tokens, length, False)
    for piece in look.pieces:
        for batch in batches(reader.examples(piece), how, _refused):
            count += int(batch.mask.sum())
            _added(model, batch, wanted, sums)
    if not sums.totals:
        raise InputError("there is nothing to take a mean over: give at least one text or image.")
    about = {"examples": look.about["examples"], "sha256": look.about["sha256"]}
    return Means(sums.values(), count, about, provenance(model.loaded))


class _Sums:
    """Sums over places, in float64."""

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.dtypes: dict[str, torch.dtype] = {}

    def add(self, label: str, kept: Float[Tensor, "place feature"]) -> None:
        if not bool(kept.isfinite().all()):
            raise InputError(f"{label} holds NaN or inf on this data: there is no mean of it.")
        self.totals[label] = self.totals.get(label, 0) + kept.double().sum(0)
        self.counts[label] = self.counts.get(label, 0) + len(kept)
        self.dtypes[label] = kept.dtype

    def values(self) -> dict[str, Tensor]:
        if empty := [label for label, count in self.counts.items() if not count]:
            raise InputError(f"there is no mean of {empty[0]}: no token of these data is routed to its expert.")
        return {label: (total / self.counts[label]).to(self.dtypes[label]) for label, total in self.totals.items()}


def _refused(example: Any, why: str) -> None:
    raise InputError(f"{example.place} cannot be read: {why}.")


@torch.no_grad()
def _added(model: Mapped, batch: Batch, labels: Sequence[str], sums: _Sums) -> None:
    ready = prepare(model.loaded, prompts_of(batch))

    def through(found: StreamMap) -> None:
        some = [(stream, one) for label in labels for stream, one in targets(found, label)]
        with readable(model.loaded, ready):
            own = seated(model.module, found, ready.args, ready.kwargs, Edit(), tokens_of(found, ready), labels)
            seen = run(
                model.module,
                ready.args,
                ready.kwargs,
                patches=[Patch(t.site, _Seen(sums, t, own[s.name], batch.mask)) for s, t in some],
            )
        del seen

    try:
        through(model._map_for(ready))
    except MapError:
        through(model.map_with(*ready.args, **ready.kwargs))


@dataclass(frozen=True, eq=False)
class _Seen:
    """Adds up what stands at a site, and leaves it as it is."""

    sums: _Sums
    target: Target
    tokens: Tokens
    mask: Tensor

    def __call__(self, value: Tensor) -> Tensor:
        self.sums.add(self.target.label, self._kept(value))
        return value

    def _kept(self, value: Tensor) -> Float[Tensor, "place feature"]:
        """The part at the real tokens, of an expert's neuron at those that are routed to it."""
        part, mask = self.target.part(value, self.tokens), self.mask.to(value.device)
        if self.target.routed:
            return part[self.target.there(value, self.tokens) & mask[..., None]][:, None]
        return part[mask] if mask.shape == part.shape[:2] else part.flatten(0, 1)
