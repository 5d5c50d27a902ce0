"""Words as a tidy frame; polars is imported when the first one is made."""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from ._frame import COORDINATES, coordinates
from ._words import WordsResult


def words_frame(found: Sequence[WordsResult]) -> Any:
    """One row a word. Parameters: `found`, of several places."""
    texts = dict.fromkeys(("model", "token", "component", "write", "of", "through", "end", "word"), pl.String)
    numbers = dict.fromkeys(("prompt", "position", "layer", *COORDINATES, "rank"), pl.Int64)
    types = {**texts, **numbers, "value": pl.Float64}
    where = ("model", "prompt", "position", "token", "component", "write", "layer", *COORDINATES)
    names = (*where, "of", "through", "end", "rank", "word", "value")
    return pl.DataFrame([row for one in found for row in _rows(one)], schema={name: types[name] for name in names})


def _rows(one: WordsResult) -> Iterator[dict[str, Any]]:
    about = {
        "model": one.model,
        "prompt": one.prompt,
        "position": one.position,
        "token": one.token,
        "of": one.of,
        "through": one.through,
    }
    for label, *ends in zip(one.components, one.raised, one.lowered, strict=True):
        for end, said in zip(("first", "last"), ends, strict=True):
            for rank, (word, value) in enumerate(said):
                yield {**about, **coordinates(label), "end": end, "rank": rank, "word": word, "value": value}
