"""Why a model breaks where a part is taken out: how far later layers' inputs, and what they write, are from what they were."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mainstem.core import InputError, MapError, Provenance, fits
from mainstem.find import Patch, Stream, StreamMap
from mainstem.measure import Shift, State, shift_by
from mainstem.models import Inputs, prepare, provenance
from mainstem.scan import Batch, Reader, batches, source, survey
from mainstem.stream import Edit, Shown, passing, patches, shown, zero

from ._batching import batching, prompts_of
from ._looked import chosen, counts_of
from ._model import Model
from ._readable import readable
from ._store import parquet, store

PARTS = ("sites", "ratios")
Site = tuple[int, str]  # which edit, label


@dataclass(frozen=True, eq=False)
class InputShift:
    """What edits did to later layers' inputs and to what these write. Made by `input_shift`.

    Parameters: `rows`, one for each edit, write and side, "input" and "output"; `ratios`, one for each edit and write; `about`, model, data and
    choices; `provenance`, of the model; `passed`, how many blocks have been passed at each point, for the chart.
    """

    rows: tuple[dict[str, Any], ...]
    ratios: tuple[dict[str, Any], ...]
    about: dict[str, Any]
    provenance: Provenance | None = None
    passed: Mapping[str, float] = field(default_factory=dict)

    def frame(self, part: str = "sites") -> Any:
        """A tidy polars frame: "sites" (model, removed, write, layer, side, site, tokens and the numbers of `Shift`) or "ratios".

        Parameters: `part`. Raises `InputError` for another.
        """
        import polars

        if part not in PARTS:
            raise InputError(f"no part {part!r} of these; there are {', '.join(PARTS)}.")
        rows = self.rows if part == "sites" else self.ratios
        made = polars.DataFrame(list(rows), schema_overrides={"layer": polars.Int64}, infer_schema_length=None)
        return made.select(polars.lit(self.about["model"]).alias("model"), polars.all())

    def chart(self, title: str | None = None) -> Any:
        """The shift of inputs and outputs, in units of the original's spread, along the stream. Parameters: `title`.

        Raises `InputError` where altair is missing, the extra `view`.
        """
        from mainstem.view import by_point

        one = len({row["removed"] for row in self.rows}) == 1
        lines: dict[str, dict[str, Any]] = {}
        for row in self.rows:
            name = row["side"] if one else f"{row['side']}: {row['removed']}"
            lines.setdefault(name, {})[row["site"]] = {
                "site": row["site"],
                "layer": row["layer"],
                "passed": self.passed.get(row["site"]),
                "value": row["shift"],
            }
        about = f"{self.about['model']}, Fréchet distance over the original's spread"
        title = title or "How far inputs and outputs are shifted"
        return by_point({name: list(sites.values()) for name, sites in lines.items()}, "shift", "", title, about)

    def save(self, path: str | Path) -> Path:
        """Stores the sites as `.parquet`, with what they depend on, or `.csv`. Parameters: `path`."""
        forms: dict[str, Callable[[Path], Any]] = {
            ".parquet": lambda half: parquet(self.frame(), self.about, self.provenance, half),
            ".csv": lambda half: self.frame().write_csv(half),
        }
        return store(path, forms)

    def __repr__(self) -> str:
        lines = [f"{self.about['model']}: shifts over {self.rows[0]['tokens']:,.0f} places"]
        for row in self.ratios:
            lines.append(
                f"  without {row['removed']:<14} {row['write']:<10} in {row['input']:8.4f}  out {row['output']:8.4f}  x {row['ratio']:.2f}"
            )
        return "\n".join(lines)


def input_shift(
    model: Model,
    data: Any,
    removed: int | Edit | Sequence[int | Edit] = 1,
    covariance: str = "diagonal",
    column: str | None = None,
    stream: str | None = None,
    batch_tokens: int = 1024,
    length: int | None = None,
) -> InputShift:
    """How far the inputs of later layers are from what they were, and how far what they write is, once earlier blocks are taken out.

    For every later write, x are the vectors that its layer reads of the stream (what a block reads, before a pre-norm), or the writes
    themselves, and y the same in the run without the blocks: distance of means, ratio of norms, cosine, kurtosis of both, and the Fréchet
    distance between Gaussians fitted to both over tokens, of which shift = distance / sqrt(tr C_x). ratio = output's shift / input's:
    above 1 the layer makes more of the change of its input than it was.

    Parameters: `model`; `data`, `column`, `batch_tokens` and `length`, as of `measure`; `removed`, how many of the first blocks, or an edit such as
    `mainstem.zero("L3.mlp")`, or several of these, each against the model as it is; `covariance`, "diagonal" or "full"; `stream`, by name.

    Returns a result with `.frame()`, `.chart()` and `.save()`. Vectors are not kept: means and products are merged batch by batch, in
    float64. Raises `InputError` for data that cannot be read, for fewer than two places, and where no write follows
    what is removed. With fewer places than twice the features `about` has a "caution" on whole covariances.
    """
    found = chosen(model.map, stream)
    asked, made = _asked(found, removed)
    edits = [(_said(one), edit) for one, edit in zip(asked, made, strict=True)]
    running = _Running(model, shift_by(covariance), edits, stream, [one if isinstance(one, int) else 0 for one in asked])
    look = survey(source(data, column), unreadable=None)
    reader = Reader(look)
    for piece in look.pieces:
        for batch in batches(reader.examples(piece), batching(model.loaded, batch_tokens, length, False), _stop):
            running.add(batch)
    rows, ratios = running.rows()
    if not rows:
        raise InputError("there is no data, or no write follows what is removed.")
    about = {"model": model.name, "data": look.about, "removed": [name for name, _ in edits], "covariance": covariance}
    if covariance == "full" and (caution := running.caution()):
        about["caution"] = caution
    return InputShift(tuple(rows), tuple(ratios), about, provenance(model.loaded), _passed(found))


def _asked(stream: Stream, removed: int | Edit | Sequence[int | Edit]) -> tuple[list[int | Edit], list[Edit]]:
    """What is removed, a number of blocks once though it be named twice; and the edits."""
    every: list[Any] = list(removed) if isinstance(removed, list | tuple) else [removed]
    made = [_edit(stream, one) for one in every]
    new = [i for i, one in enumerate(every) if isinstance(one, Edit) or one not in every[:i]]
    return [every[i] for i in new], [made[i] for i in new]


def _passed(stream: Stream) -> dict[str, float]:
    """How many blocks have been passed at each point: the k-th of a block's m points stands at its number + k / m."""
    found = {stream.points[0].name: 0.0}
    for block, group in groupby(stream.points[1:], key=lambda point: point.block):
        points = list(group)
        found |= {point.name: max(0.0, block + k / len(points)) for k, point in enumerate(points, 1)}
    return found


def _stop(example: Any, why: str) -> None:
    raise InputError(f"an example cannot be read, {example.place}: {why}.")


def _said(one: int | Edit) -> str:
    return str(one) if isinstance(one, Edit) else "block 0" if one == 1 else f"blocks 0-{one - 1}"


def _edit(stream: Stream, one: int | Edit) -> Edit:
    if isinstance(one, Edit):
        return one
    if not fits(one, int) or not 0 < one < len(stream.blocks):
        raise InputError(f"of {len(stream.blocks)} blocks the first 1 to {len(stream.blocks) - 1} can be removed, not {one!r}.")
    return zero(*(write.label for write in stream.writes if write.block < one))


@dataclass
class _Running:
    """Runs batches as they are and with each edit. `first` holds the blocks from which each edit is followed."""

    model: Model
    shift: Shift
    edits: Sequence[tuple[str, Edit]]
    stream: str | None
    first: Sequence[int]
    states: dict[Site, State] = field(default_factory=dict)
    widths: dict[Site, int] = field(default_factory=dict)
    reads: dict[Site, tuple[str, int]] = field(default_factory=dict)

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Takes in a batch. Parameters: `batch`."""
        ready = prepare(self.model.loaded, prompts_of(batch))
        try:
            self._through(self.model._map_for(ready), ready, batch)
        except MapError:
            self._through(self.model.map_with(*ready.args, **ready.kwargs), ready, batch)

    def _through(self, found: StreamMap, ready: Inputs, batch: Batch) -> None:
        stream = chosen(found, self.stream)
        changes = [patches(found, edit) for _, edit in self.edits]
        wanted = [self._followed(stream, at, change) for at, change in enumerate(changes)]
        labels = {label for some in wanted for label in some}
        what = [one for one in shown(stream, ("points", "writes")) if one.label in labels]
        plain = dict[str, Tensor]()
        self._run(ready, what, (), lambda label, x: plain.__setitem__(label, x.clone()), batch)
        for at, (change, some) in enumerate(zip(changes, wanted, strict=True)):
            here = [one for one in what if one.label in some]
            self._run(ready, here, change, lambda label, y, at=at: self._seen((at, label), plain[label], y, batch), batch)

    def _run(self, ready: Inputs, what: Sequence[Shown], change: Sequence[Patch], show: Any, batch: Batch) -> None:
        with readable(self.model.loaded, ready):
            passing(self.model.module, ready.args, ready.kwargs, what, show, batch.mask.shape[0], change)

    def _followed(self, stream: Stream, at: int, change: Sequence[Patch]) -> set[str]:
        """Writes behind what an edit removes, and the points that they read."""
        edited, found = {patch.site for patch in change}, set[str]()
        for before, point in pairwise(stream.points):
            for write in point.writes:
                if write.block >= self.first[at] and write.site not in edited:
                    self.reads[at, write.label] = before.name, write.block
                    found |= {write.label, before.name}
        return found

    def _seen(self, site: Site, x: Tensor, y: Tensor, batch: Batch) -> None:
        mask = counts_of(batch, x).reshape(-1)
        x, y = (value.reshape(-1, value.shape[-1]) for value in (x, y))
        state = self.states.get(site) or self.shift.init(x.shape[1], y.shape[1], x.device)
        self.widths[site] = x.shape[1]
        self.states[site] = self.shift.update(state, x, y, mask)

    def caution(self) -> str:
        """What is said where whole covariances are fitted to few places."""
        places = {site: int(self.shift.result(state)["tokens"]) for site, state in self.states.items()}
        few = next((site for site in places if places[site] < 2 * self.widths[site]), None)
        if few is None:
            return ""
        return f"{places[few]:,} places are few for whole covariances of {self.widths[few]:,} features: give twice as many, or leave out full"

    def rows(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """A row for each edit, write and side; one for each edit and write."""
        sites = {site: {k: float(v) for k, v in self.shift.result(state).items()} for site, state in self.states.items()}
        if few := next((site for site in sites if sites[site]["tokens"] < 2), None):
            raise InputError(
                f"a Gaussian is fitted to two places or more, and {few[1]} has {sites[few]['tokens']:.0f}: give more data."
            )
        rows, ratios = [], []
        for (at, label), (point, block) in self.reads.items():
            if (at, label) not in sites:
                continue
            about = {"removed": self.edits[at][0], "write": label, "layer": block}
            two = {"input": sites[at, point], "output": sites[at, label]}
            rows += [{**about, "side": side, "site": point if side == "input" else label, **two[side]} for side in two]
            ratios.append({**about, **_ratio(two)})
        return rows, ratios


def _ratio(two: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    before, after = two["input"]["shift"], two["output"]["shift"]
    ratio = after / before if before else float("nan")
    return {"input": before, "output": after, "ratio": ratio, "larger": after > before}
