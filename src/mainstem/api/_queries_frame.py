"""Queries as tidy frames; polars is imported when the first one is made."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from mainstem.core import Group, finite, parse_label
from mainstem.score import Switch

from ._frame import layer_of, of_group
from ._store import plain

if TYPE_CHECKING:
    from ._queries import QueriesResult

_ROLES = ("value", "query", "query-value")
_INSIDE = ("head", "key_pos", "dim", "expert", "neuron")


def queries_frame(found: "QueriesResult", k: int | None) -> Any:
    """One row for each key of a value and part of the stream. Parameters: `found`; `k`, how many parts of every key, None for all."""
    known: dict[str, pl.DataFrame] = {}
    frames = [_switch(found, switch, k, known) for switch in found.found.switches]
    choices = found.choices
    about = [pl.lit(choices[name]).alias(name) for name in ("model", "target")]
    about += [pl.lit(choices[name], pl.Int64).alias(name) for name in ("prompt", "position")]
    return (
        pl.concat(frames)
        .with_columns(about)
        .select("model", "target", "prompt", "position", pl.exclude("model", "target", "prompt", "position"))
    )


def _switch(found: "QueriesResult", switch: Switch, k: int | None, known: dict[str, pl.DataFrame]) -> pl.DataFrame:
    parts, place = switch.parts, switch.value.place
    frames = [_group(group, place[0], known) for group in parts.groups]
    frame = pl.concat(frames)
    if k is not None and k < len(frame):
        ordered = frame.sort(pl.col("share").abs(), descending=True)
        others = ordered[k:].select(pl.lit("others").alias("query"), pl.lit("others").alias("kind"), pl.col("share").sum())[:1]
        frame = pl.concat([ordered[:k], others], how="diagonal")
    at = place[1] if len(place) > 1 else None
    token = found.tokens[at] if at is not None and at < len(found.tokens) else None
    value = switch.value
    columns = {"value": value.label, "value_kind": value.kind, "score": value.score, "key": switch.key}
    ahead = [pl.lit(held).alias(name) for name, held in columns.items()]
    ahead.insert(2, pl.lit(layer_of(value.label), pl.Int64).alias("value_layer"))
    ahead += [pl.lit(at, pl.Int64).alias("read_position"), pl.lit(token, pl.String).alias("token")]
    ahead += [pl.lit(switch.activation).alias("activation")]
    return frame.select(*ahead, pl.all(), (pl.col("share") * switch.worth).alias("credit"))


def _group(group: Group, prompt: int, known: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The components of a write with their shares; what names them is made once for all keys."""
    if group.label not in known:
        one = Group(group.label, group.kind, group.values.narrow(len(group.axes), prompt, 1), group.axes)
        made = of_group(one, ("batch",), (), None)
        known[group.label] = made.select(pl.col("component").alias("query"), "write", "kind", "layer", *_INSIDE)
    values = group.values.select(len(group.axes), prompt).detach().double().flatten().cpu().numpy()
    return known[group.label].with_columns(pl.Series("share", values, dtype=pl.Float64))


def histogram(found: "QueriesResult", k: int) -> Any:
    """Where values and queries are, and what they come to. Parameters: `found`; `k`, how many queries are counted."""
    bins: dict[tuple[str, int | None, str], list[float]] = {}

    def add(role: str, label: str, kind: str, count: int, score: float) -> None:
        held = bins.setdefault((role, layer_of(label), kind), [0, 0.0])
        held[0], held[1] = held[0] + count, held[1] + score

    for value in found.found.values:
        add("value", value.label, value.kind, 1, value.score)
    kinds = {group.label: group.kind for group in found.credit.parts.groups}
    for group in found.credit.parts.groups:
        add("query", group.label, group.kind, 0, float(group.values.double().sum()))
    best = dict(found.top(k))
    for label in best:
        add("query", label, kinds[parse_label(label).write], 1, 0.0)
    for label in found.both(k):
        add("query-value", label, kinds[parse_label(label).write], 1, best[label])
    order = sorted(bins, key=lambda b: (_ROLES.index(b[0]), -1 if b[1] is None else b[1], b[2]))
    rows = [(*name, int(bins[name][0]), bins[name][1]) for name in order]
    kinds_of = {"role": pl.String, "layer": pl.Int64, "kind": pl.String, "count": pl.Int64, "score": pl.Float64}
    return pl.DataFrame(rows, schema=kinds_of, orient="row")


def stored(found: "QueriesResult", path: Path) -> None:
    """Writes what `to_dict` gives, with the model's provenance. Parameters: `found`; `path`."""
    path.write_text(json.dumps(finite(found.to_dict() | {"provenance": plain(found.provenance)})), encoding="utf-8")
