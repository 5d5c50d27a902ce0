"""An outlier report for people who quantise: which features, where, on which tokens, and what the model does without them."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from mainstem.core import InputError, Provenance, real, whole, whole_file
from mainstem.measure import measure_named
from mainstem.scan import Batch, Batching, Reader, batches, source, survey
from mainstem.stream import patches, zero_dims

from ._batching import batching
from ._context import contexts
from ._looked import chosen
from ._measure import measure
from ._model import Model
from ._outlying import Held, Set, sets_of, zeroing
from ._store import parquet, store
from ._zeroed import Zeroed

PARTS = ("dimensions", "effects", "exemplars")
_SETS = {"llm_int8": "LLM.int8's rule", "massive": "massive activations"}
_TYPES = {"dimension": "Int64", "layer": "Int64", "position": "Int64", "dims": "Int64", "draw": "Int64", "number": "Int64"}


@dataclass(frozen=True, eq=False)
class OutlierReport:
    """Outlier features of a stream. Made by `outlier_report`.

    Parameters: `dimensions`, a row for each outlier feature and point; `effects`, one for each set that was zeroed, and for each random
    set of its size; `exemplars`, the most extreme tokens of every outlier feature, where it is largest; `points`, how large values
    are at each; `about`, model, data, choices, counts, points that nothing was taken out of (a norm follows), and why
    there are no effects where there are none; `provenance`, of the model.
    """

    dimensions: tuple[dict[str, Any], ...]
    effects: tuple[dict[str, Any], ...]
    exemplars: tuple[dict[str, Any], ...]
    points: tuple[dict[str, Any], ...]
    about: dict[str, Any]
    provenance: Provenance | None = None

    def frame(self, part: str = "dimensions") -> Any:
        """One part as a tidy polars frame: "dimensions", "effects" or "exemplars". Parameters: `part`.

        Raises `InputError` for another part. What is empty has no columns but the model's.
        """
        import polars

        if part not in PARTS:
            raise InputError(f"no part {part!r} of a report; there are {', '.join(PARTS)}.")
        rows = [{"model": self.about["model"], **row} for row in getattr(self, part)]
        known = set(rows[0]) if rows else {"model"}
        types = {name: getattr(polars, kind) for name, kind in _TYPES.items() if name in known}
        return polars.DataFrame(rows, schema_overrides=types, infer_schema_length=None)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, which JSON can hold: what is not finite is None."""
        parts = {name: list(getattr(self, name)) for name in (*PARTS, "points")}
        return _plain({**parts, "about": self.about})

    def html(self, path: str | Path) -> Path:
        """Writes one page, which fetches nothing and needs no script, whole or not at all, and returns its path; needs the extra `view`.

        Parameters: `path`. Raises `InputError` for a missing folder, and where altair or vl-convert is missing.
        """
        from mainstem.view import outlier_page

        page = outlier_page(self.to_dict())
        with whole_file(Path(path)) as half:
            half.write_text(page, encoding="utf-8")
        return Path(path)

    def save(self, path: str | Path) -> Path:
        """Stores the dimensions (`.parquet`, `.csv`), all of it (`.json`) or the page (`.html`). Parameters: `path`."""
        forms: dict[str, Callable[[Path], Any]] = {
            ".parquet": lambda half: parquet(self.frame(), self.about, self.provenance, half),
            ".csv": lambda half: self.frame().write_csv(half),
            ".json": lambda half: half.write_text(json.dumps(self.to_dict(), allow_nan=False), encoding="utf-8"),
            ".html": lambda half: self.html(half),
        }
        return store(path, forms)

    def __repr__(self) -> str:
        lines = [f"{self.about['model']}: outliers over {self.about['tokens']:,} places, {len(self.points)} points"]
        for name, said in _SETS.items():
            found = sorted({row["dimension"] for row in self.dimensions if row[name]})
            lines.append(f"  {said:<22} {len(found)} features{': ' if found else ''}{', '.join(map(str, found[:12]))}")
        for row in self.effects:
            if row["draw"] is None and row["set"] != "none":
                told = "increase" if isfinite(row["increase"]) else "divergence"
                lines.append(f"  without {row['set']:<14} {told} {row[told]:+.4f} nats ({row['dims']} features)")
        return "\n".join([*lines, *([f"  {self.about['without']}"] if self.about["without"] else [])])


def outlier_report(
    model: Model,
    data: Any,
    magnitude: float = 6.0,
    share: float = 0.06,
    points: float = 0.25,
    massive: float = 100.0,
    ratio: float = 1000.0,
    strongest: Sequence[int] = (1, 8),
    draws: int = 3,
    seed: int = 0,
    exemplars: int = 3,
    effect_tokens: int = 20_000,
    column: str | None = None,
    stream: str | None = None,
    batch_tokens: int = 1024,
    length: int | None = None,
) -> OutlierReport:
    """Outlier features by LLM.int8's rule and by massive activations, their tokens, and the loss without them.

    LLM.int8: |x_i| >= magnitude at a `share` of the positions, at a share `points` of the points; massive: |x_i| >= massive and >= ratio x
    the median |x| at the point, anywhere. A set is then zeroed at every point of the stream, and the mean loss of the next token held against
    that of the model itself on the same tokens, and against as many features taken at random of the others. Where the stream changes its
    width, as a ResNet's does, features are told apart by stage. Sources: Dettmers et al. 2022, arXiv 2208.07339, who look at what the
    matrices read, behind a norm, while here it is the stream itself, in front of it; Sun et al. 2024, arXiv 2402.17762.

    Parameters: `model`; `data`, as of `measure`; `magnitude`, `share` and `points`, of LLM.int8; `massive` and `ratio`; `strongest`,
    how many features with the largest |x|, in root mean squares of their point, are zeroed as sets of their own; `draws`, random sets for each; `seed`,
    of these; `exemplars`, tokens for each feature; `effect_tokens`, about the most places that effects are measured on; `column`,
    `stream`, `batch_tokens` and `length`, as of `measure`.

    Returns the report. Where a norm lies on a point no feature can be taken out of it alone: such points are kept, and effects left out, and
    `about` says why, where there is no other. The loss is nan where no next token is predicted, and then the divergence tells. Raises `InputError` as `measure` does.
    """
    whole("draws", draws, 0), whole("effect_tokens", effect_tokens, 1), whole("exemplars", exemplars, 1), whole("seed", seed)
    if not 0 <= real("points", points) <= 1:
        raise InputError(f"points is a share from 0 to 1, not {points!r}.")
    if not isinstance(strongest, Sequence):
        raise InputError(f"strongest is a list of how many features to zero, such as (1, 8), not {strongest!r}.")
    for k in strongest:
        whole("each of strongest", k, 1)
    choices: dict[str, Any] = {"magnitude": magnitude, "share": share, "points": points, "massive": massive, "ratio": ratio}
    asked = [
        measure_named("llm_int8", magnitude=magnitude, share=share),
        measure_named("massive", magnitude=massive, ratio=ratio, k=1),
        measure_named("top_tokens", k=exemplars),
        "rms",
    ]
    how: dict[str, Any] = {"stream": stream, "batch_tokens": batch_tokens, "length": length}
    held = Held(measure(model, data, asked, column=column, **how), share, points)
    sets = sets_of(held, strongest, draws, seed)
    able, why = _able(model, list(held.rule), stream)
    edits = [zeroing(held, dims, able) for _, _, dims in sets]
    zeroed = Zeroed(model, [] if why else edits, stream)
    context = dict[int, dict[str, Any]]()
    for batch in _batches(data, column, batching(model.loaded, batch_tokens, length, False)):
        context |= contexts(model.loaded, batch, held.wanted)
        if not why and zeroed.found[0].places < effect_tokens:
            zeroed.add(batch)
    about = {
        "model": model.name, "tokens": held.tokens, "effect_tokens": zeroed.found[0].places, "without": why,
        "kept": [] if why else [site for site in held.rule if site not in able],
        "choices": {**choices, "draws": draws, "seed": seed}, "identity": held.found.identity,
    }  # fmt: skip
    effects = () if why else _effects(sets, zeroed)
    return OutlierReport(held.rows(context), effects, held.exemplars(context), held.points(), about, held.found.provenance)


def _batches(data: Any, column: str | None, how: Batching) -> Iterator[Batch]:
    """Data once more, as `measure` read them, which has named what cannot be read."""
    look = survey(source(data, column), unreadable=None)
    reader = Reader(look)
    for piece in look.pieces:
        yield from batches(reader.examples(piece), how, lambda example, why: None)


def _able(model: Model, sites: Sequence[str], stream: str | None) -> tuple[list[str], str]:
    """Points that single features can be taken out of; where there is none, why."""
    if chosen(model.map, stream).output is None:
        return [], "Nothing of the model's output can be followed back to this stream, so it has no loss."
    able, why = [], ""
    for site in sites:
        try:
            patches(model.map, zero_dims(0, at=site))
            able.append(site)
        except InputError as error:
            why = str(error)
    return able, "" if able else why


def _effects(sets: Sequence[Set], zeroed: Zeroed) -> tuple[dict[str, Any], ...]:
    """A row for the model as it is, and one for each set."""
    every: list[Set] = [("none", None, []), *sets]
    return tuple(
        {
            "set": name,
            "draw": draw,
            "dims": sum(map(len, dims)),
            **loss.numbers(),
            "features": " / ".join(_listed(some) for some in dims),
        }
        for (name, draw, dims), loss in zip(every, zeroed.found, strict=True)
    )


def _listed(dims: Sequence[int]) -> str:
    return ", ".join(map(str, dims)) or "none"


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(k): _plain(v) for k, v in value.items()}
        case list() | tuple():
            return [_plain(v) for v in value]
        case float() if not isfinite(value):
            return None
    return value
