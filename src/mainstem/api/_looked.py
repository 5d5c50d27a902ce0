"""What a scan runs: batches of data through a model, each value of interest shown as soon as it is made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mainstem.core import InputError, MapError
from mainstem.find import Stream, StreamMap
from mainstem.measure import Pair
from mainstem.models import Inputs, Loaded, prepare
from mainstem.scan import Batch, Related, token_at
from mainstem.stream import Edit, Shown, passing, patches, seated, shown

from ._batching import prompts_of
from ._model import Model
from ._places import tokens_of
from ._readable import readable


@dataclass(frozen=True)
class Looks:
    """Makes what runs batches, once in every process.

    Parameters: `loaded`, the model; `bases` and `points`, what is looked at, as of `measure`; `stream`, of several; `beside`, points
    whose next writes are shown side by side; `scores`, arguments of `Trace.scores`, of which rows are made at the last token of
    every window; `edits`, in force in every run.
    """

    loaded: Loaded
    bases: tuple[str, ...] = ("points",)
    points: tuple[str, ...] | None = None
    stream: str | None = None
    beside: bool = False
    scores: tuple[Mapping[str, Any], ...] = ()
    edits: Edit = field(default_factory=Edit)

    def __call__(self) -> Callable[[Batch], list[Any]]:
        return Look(Model(self.loaded), self)


class Look:
    """One model, run batch by batch. Parameters: `model`; `how`."""

    def __init__(self, model: Model, how: Looks) -> None:
        self.model, self.how = model, how

    def __call__(self, batch: Batch) -> list[Any]:
        """What a batch shows: label, [batch, pos, width], which places count; and tables of scores. Parameters: `batch`."""
        return [*self._points(batch), *([scored(self.model, batch, self.how)] if self.how.scores else [])]

    def _points(self, batch: Batch) -> list[tuple[str, Tensor, Tensor]]:
        ready = prepare(self.model.loaded, prompts_of(batch))
        try:
            return self._through(self.model._map_for(ready), ready, batch)
        except MapError:
            return self._through(self.model.map_with(*ready.args, **ready.kwargs), ready, batch)

    def _through(self, found: StreamMap, ready: Inputs, batch: Batch) -> list[tuple[str, Tensor, Tensor]]:
        stream, held = chosen(found, self.how.stream), dict[str, Tensor]()
        what = wanted(stream, self.how.bases, self.how.points)
        kept = {one.label: one.site.key in found.volatile for one in what}

        def show(label: str, value: Tensor) -> None:
            held[label] = value.clone() if kept[label] else value

        prompts = batch.mask.shape[0]
        with torch.no_grad(), readable(self.model.loaded, ready):
            edits, tokens = self.how.edits, tokens_of(found, ready)
            own = seated(self.model.module, found, ready.args, ready.kwargs, edits, tokens) if edits else tokens
            changed = patches(found, edits, own)
            passing(self.model.module, ready.args, ready.kwargs, what, show, prompts, changed)
        return [(label, value, counts_of(batch, value)) for label, value in self._shown(stream, held)]

    def _shown(self, stream: Stream, held: dict[str, Tensor]) -> list[tuple[str, Tensor]]:
        if not self.how.beside:
            return list(held.items())
        sides = [(f"writes at {p.name}", [held[w.label] for w in p.writes]) for p in stream.points if p.writes]
        return [*held.items(), *((label, torch.cat(some, -1)) for label, some in sides if len({v.shape for v in some}) == 1)]


def scored(model: Model, batch: Batch, how: Looks) -> Any:
    """Scores of a batch as an Arrow table: those of `Result.frame` or `TopResult.frame`, with the example and the place in it.

    Parameters: `model`; `batch`; `how`, which scores, with which edits.
    """
    import polars

    asked, last = how.scores, batch.mask.int().cumsum(1).argmax(1)
    trace = model.trace(prompts_of(batch), how.edits, None if batch.ids is None else -1)
    rows = torch.arange(len(last))
    at = [token_at(int(i)) for i in batch.index[rows, last if batch.index.shape[1] > 1 else 0]]
    names = polars.DataFrame(
        {
            "prompt": range(len(at)),
            "example": [number for number, _ in at],
            "content": [batch.examples[number].content for number, _ in at],
            "place": [place for _, place in at],
        }
    ).with_columns(polars.col("prompt").cast(polars.Int64))
    frames = [trace.scores(**one).frame().with_columns(polars.col("prompt").cast(polars.Int64)) for one in asked]
    frames = [frame.with_columns(polars.lit(one.get("by", "dla")).alias("by")) for frame, one in zip(frames, asked, strict=True)]
    return polars.concat(frames, how="diagonal").join(names, on="prompt", maintain_order="left").drop("prompt").to_arrow()


def chosen(found: StreamMap, name: str | None) -> Stream:
    """One stream of a map. Parameters: `found`; `name`, None for the main one. Raises `InputError` with those that there are."""
    if name is None:
        return found.main
    for stream in found.streams:
        if stream.name == name:
            return stream
    alone = " A single stream has no name: leave it out." if len(found.streams) == 1 else ""
    raise InputError(f"there is no stream {name!r}; there are {', '.join(repr(s.name) for s in found.streams)}.{alone}")


def wanted(stream: Stream, bases: Sequence[str], points: Sequence[str] | None) -> tuple[Shown, ...]:
    """What is looked at. Parameters: `stream`; `bases`; `points`, labels or patterns such as "L*.attn", None for all of the bases.

    Raises `InputError` for a pattern that nothing fits.
    """
    every = shown(stream, bases)
    if points is None:
        return every
    for pattern in points:
        if not any(fnmatchcase(one.label, pattern) for one in every):
            raise InputError(f"nothing here is called {pattern!r}; there are {', '.join(one.label for one in every[:12])} ...")
    return tuple(one for one in every if any(fnmatchcase(one.label, pattern) for pattern in points))


def related(pair: Pair, stream: Stream, labels: Sequence[str]) -> Related:
    """A measure of two sites with the sites that it is for. Parameters: `pair`; `stream`; `labels`, of what is looked at."""
    points = [p.name for p in stream.points if p.name in labels]
    writes = [(w.label, p.name) for p in stream.points for w in p.writes if w.label in labels and p.name in labels]
    before = pairwise(stream.points)
    sites = {
        "next": list(pairwise(points)),
        "last": [(p, points[-1]) for p in points[:-1]],
        "into": writes,
        "writes": [(p.name, f"writes at {q.name}") for p, q in before if p.name in labels and q.writes],
        "all": [(a, b) for i, a in enumerate(points) for b in points[i + 1 :]],
    }
    found = next((sites[kind] for kind in pair.sites if sites[kind]), None)
    if found is None:
        raise InputError(f"{pair.name} relates {' or '.join(pair.sites)}, and there are none here: look at points and writes.")
    return pair, found


def counts_of(batch: Batch, value: Tensor) -> Tensor:
    """Which places of a value count. Parameters: `batch`; `value`, [batch, pos, width]."""
    places = value.shape[:2]
    mask = batch.mask.to(value.device)
    return mask if mask.shape == places else torch.ones(places, dtype=torch.bool, device=value.device)
