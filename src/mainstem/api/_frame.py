"""Tidy frames of results; polars is imported when the first one is made."""

import re
from collections.abc import Callable
from typing import Any

import polars as pl
import torch

from mainstem.core import Group, Parts, Tops, parse_label
from mainstem.score import Lens

COORDINATES = ("head", "key_pos", "dim", "expert", "neuron")
Tokens = tuple[tuple[str, ...], ...]


def tidy(
    parts: Parts,
    model: str,
    target: str | tuple[str, ...],
    tokens: Tokens,
    positions: tuple[int, ...] | None,
    mask: torch.Tensor | None,
) -> Any:
    """One row a value at a real token, coordinates as columns.

    Parameters: `parts`; `model` and `target`, or the target of its prompt, written on every row; `tokens`, the prompts' pieces; `positions`, the scored
    place of every prompt, None where all are kept; `mask`, one at real tokens, None where all are.
    """
    frames = [of_group(group, parts.rest, tokens, positions) for group in parts.groups]
    said = (
        pl.lit(target)
        if isinstance(target, str)
        else pl.col("prompt").replace_strict(dict(enumerate(target)), return_dtype=pl.String)
    )
    about = [pl.lit(model).alias("model"), said.alias("target")]
    return unpadded(pl.concat(frames).with_columns(about).select("model", "target", pl.exclude("model", "target")), mask)


def of_group(group: Group, rest: tuple[str, ...], tokens: Tokens, positions: tuple[int, ...] | None) -> pl.DataFrame:
    """The rows of one write's components. Parameters: `group`; `rest`, the axes behind them; `tokens` and `positions`, as of `tidy`."""
    values = group.values.detach().double().cpu()
    names = (*group.axes, *rest)
    index = {name: grid.flatten().numpy() for name, grid in zip(names, _grids(values.shape), strict=True)}
    n, cells = values.numel(), max(1, values[(0,) * len(group.axes)].numel() if group.axes else values.numel())
    prompt = index.get("batch")
    columns: dict[str, Any] = {"prompt": prompt, "position": index.get("pos")}
    if columns["position"] is None and positions is not None and prompt is not None:
        columns["position"] = [positions[int(b)] for b in prompt]
    labels = [group.name(i) for i in range(n // cells)]
    columns["component"] = [label for label in labels for _ in range(cells)]
    columns |= {"write": [group.label] * n, "kind": [group.kind] * n, "layer": [layer_of(group.label)] * n}
    columns |= {name: index.get(name) for name in (*COORDINATES, *rest) if name not in ("batch", "pos")}
    columns["value"] = values.flatten().numpy()
    return _typed(columns, n, tokens)


def _typed(columns: dict[str, Any], n: int, tokens: Tokens) -> pl.DataFrame:
    words = ("component", "write", "kind")
    series = []
    for name, value in columns.items():
        kind = pl.String if name in words else pl.Float64 if name == "value" else pl.Int64
        series.append(pl.Series(name, [None] * n if value is None else value, dtype=kind, strict=False))
    frame = pl.DataFrame(series)
    return frame.with_columns(_tokens(frame, tokens)) if tokens else frame.with_columns(pl.lit(None, pl.String).alias("token"))


def _tokens(frame: pl.DataFrame, tokens: Tokens) -> pl.Series:
    """The token at the key position where there is one, else at the scored position."""
    found = []
    for prompt, position, key in frame.select("prompt", "position", "key_pos").iter_rows():
        at = position if key is None else key
        pieces = tokens[prompt] if prompt is not None and prompt < len(tokens) else ()
        found.append(pieces[at] if at is not None and at < len(pieces) else None)
    return pl.Series("token", found, dtype=pl.String)


def _grids(shape: torch.Size) -> tuple[torch.Tensor, ...]:
    return torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij") if shape else ()


def layer_of(label: str) -> int | None:
    """The layer that a label names, None where it names none. Parameters: `label`, of something inside of a layer."""
    found = re.search(r"(?:^|\.)L(\d+)\.", label)
    return int(found[1]) if found else None


def lens_frame(lens: Lens, word: Callable[[int], str], mask: torch.Tensor | None, places: torch.Tensor | None = None) -> Any:
    """One row a point, prompt and position of a real token.

    Parameters: `lens`; `word`, names a place on the output; `mask`, one at real tokens, None where all are; `places`, the one
    position of every prompt that was looked at, None for all.
    """
    names = ("point", "prompt", "position")[: lens.tokens.ndim]
    index = {name: grid.flatten().tolist() for name, grid in zip(names, _grids(lens.tokens.shape), strict=True)}
    columns: dict[str, Any] = {"point": [lens.points[i] for i in index.pop("point")], **index}
    if places is not None:
        columns["position"] = [int(places[prompt]) for prompt in columns["prompt"]]
    columns["top"] = [word(int(i)) for i in lens.tokens.flatten()]
    columns["target"] = [word(int(i)) for i in lens.target.expand_as(lens.tokens).flatten()]
    values = {"top_logprob": lens.top_logprob, "logit": lens.logit, "logprob": lens.logprob, "rank": lens.rank}
    values |= {"entropy": lens.entropy, "kl": lens.kl}
    frame = pl.DataFrame(columns | {name: value.detach().double().flatten().cpu().numpy() for name, value in values.items()})
    return unpadded(frame.with_columns(pl.col("rank").cast(pl.Int64), lens=pl.lit(lens.name)), mask)


def unpadded(frame: pl.DataFrame, mask: torch.Tensor | None) -> pl.DataFrame:
    """The rows at real tokens. Parameters: `frame`, with prompt and position; `mask`, one at real tokens."""
    if mask is None or frame["position"].null_count() == len(frame):
        return frame
    real = mask.bool().cpu()
    return frame.filter(pl.Series([bool(real[b, t]) for b, t in frame.select("prompt", "position").iter_rows()]))


def top_frame(
    tops: Tops,
    model: str,
    target: str | tuple[str, ...],
    tokens: Tokens,
    positions: tuple[int, ...] | None,
    mask: torch.Tensor | None,
) -> Any:
    """One row for each of the best components of a place.

    Parameters: `tops`; the others as of `tidy`.
    """
    records = []
    for cell, labels in enumerate(tops.labels):
        prompt, position = (cell, None) if len(tops.shape) == 1 else divmod(cell, tops.shape[1])
        position = positions[prompt] if position is None and positions is not None else position
        said = target if isinstance(target, str) else target[prompt]
        for rank, (label, value) in enumerate(zip(labels, tops.values[cell].tolist(), strict=True)):
            at = {"model": model, "target": said, "prompt": prompt, "position": position, "rank": rank}
            records.append({**at, **coordinates(label), "value": value})
    schema = {name: pl.String for name in ("model", "target", "component", "write")}
    numbers = {name: pl.Int64 for name in ("prompt", "position", "rank", "layer", *COORDINATES)}
    frame = pl.DataFrame(records, schema_overrides={**schema, **numbers, "value": pl.Float64})
    return unpadded(frame.with_columns(_tokens(frame, tokens)) if tokens else frame, mask)


def coordinates(label: str) -> dict[str, Any]:
    """The columns that say which component a row is of. Parameters: `label`."""
    parsed = parse_label(label)
    inside = {**dict.fromkeys(COORDINATES), **dict(parsed.at)}
    return {"component": label, "write": parsed.write, "layer": layer_of(f"{parsed.write}."), **inside}


def shares(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of writes that are taken apart, each with its write's sum and its share of that. Parameters: `frame`, of scores."""
    write = pl.col("write").str.replace(r"\.(bias|interaction|rounding|B\d+)$", "")
    cell = ["prompt", "position", "of"]
    rows = frame.with_columns(write.alias("of"))
    parted = rows.filter(pl.any_horizontal(pl.col(*COORDINATES).is_not_null()))["of"].unique()
    rows = rows.filter(pl.col("of").is_in(parted.implode())).with_columns(pl.col("value").sum().over(cell).alias("whole"))
    return rows.with_columns((pl.col("value") / pl.col("whole")).alias("share"), pl.col("of").alias("write")).drop("of")
