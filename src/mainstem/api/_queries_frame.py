"""Queries as tidy frames; polars is imported when the first one is made."""

from typing import Any

import polars as pl

from mainstem.core import Group, parse_label
from mainstem.score import Queries, Switch

from ._frame import COORDINATES, layer_of, of_group

_ROLES = ("value", "query", "query-value")


def queries_frame(found: Queries, tokens: tuple[str, ...], k: int | None, model: str, target: str) -> Any:
    """One row for each key of a value and part of the stream.

    Parameters: `found`; `tokens`, of the prompt; `k`, how many parts of every key, None for all; `model` and `target`, written on
    every row.
    """
    known: dict[str, pl.DataFrame] = {}
    frames = [_switch(switch, tokens, k, known) for switch in found.switches]
    prompt, position = found.place[0], found.place[1] if len(found.place) > 1 else None
    ahead = [pl.lit(model).alias("model"), pl.lit(target).alias("target")]
    ahead += [pl.lit(prompt, pl.Int64).alias("prompt"), pl.lit(position, pl.Int64).alias("position")]
    return pl.concat(frames).select(*ahead, pl.all())


def _switch(switch: Switch, tokens: tuple[str, ...], k: int | None, known: dict[str, pl.DataFrame]) -> pl.DataFrame:
    parts, value = switch.parts, switch.value
    frame = pl.concat([_group(group, value.place[0], known) for group in parts.groups])
    if k is not None and k < len(frame):
        ordered = frame.sort(pl.col("share").abs(), descending=True)
        others = ordered[k:].select(pl.lit("others").alias("query"), pl.lit("others").alias("kind"), pl.col("share").sum())[:1]
        frame = pl.concat([ordered[:k], others], how="diagonal")
    at = value.place[1] if len(value.place) > 1 else None
    token = tokens[at] if at is not None and at < len(tokens) else None
    columns = {
        "value": pl.lit(value.label),
        "value_kind": pl.lit(value.kind),
        "value_layer": pl.lit(layer_of(value.label), pl.Int64),
        "score": pl.lit(value.score),
        "key": pl.lit(switch.key),
        "read_position": pl.lit(at, pl.Int64),
        "token": pl.lit(token, pl.String),
        "activation": pl.lit(switch.activation),
    }
    ahead = [column.alias(name) for name, column in columns.items()]
    return frame.select(*ahead, pl.all(), (pl.col("share") * switch.worth).alias("credit"))


def _group(group: Group, prompt: int, known: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The components of a write with their shares; what names them is made once for all keys."""
    if group.label not in known:
        one = Group(group.label, group.kind, group.values.narrow(len(group.axes), prompt, 1), group.axes)
        made = of_group(one, ("batch",), (), None)
        known[group.label] = made.select(pl.col("component").alias("query"), "write", "kind", "layer", *COORDINATES)
    values = group.values.select(len(group.axes), prompt).detach().double().flatten().cpu().numpy()
    return known[group.label].with_columns(pl.Series("share", values, dtype=pl.Float64))


def histogram(found: Queries, best: dict[str, float], both: list[str]) -> Any:
    """Where values and queries are, and what they come to.

    Parameters: `found`; `best`, the queries that are counted, with their credit; `both`, those of them that are values too.
    """
    bins: dict[tuple[str, int | None, str], list[float]] = {}

    def add(role: str, label: str, kind: str, count: int, score: float) -> None:
        held = bins.setdefault((role, layer_of(label), kind), [0, 0.0])
        held[0], held[1] = held[0] + count, held[1] + score

    for value in found.values:
        add("value", value.label, value.kind, 1, value.score)
    kinds = {group.label: group.kind for group in found.credit.groups}
    for group in found.credit.groups:
        add("query", group.label, group.kind, 0, float(group.values.double().sum()))
    for label in best:
        add("query", label, kinds[parse_label(label).write], 1, 0.0)
    for label in both:
        add("query-value", label, kinds[parse_label(label).write], 1, best[label])
    order = sorted(bins, key=lambda b: (_ROLES.index(b[0]), -1 if b[1] is None else b[1], b[2]))
    rows = [(*name, int(bins[name][0]), bins[name][1]) for name in order]
    kinds_of = {"role": pl.String, "layer": pl.Int64, "kind": pl.String, "count": pl.Int64, "score": pl.Float64}
    return pl.DataFrame(rows, schema=kinds_of, orient="row")
