"""Words as a tidy frame; polars is imported when the first one is made."""

from collections.abc import Iterable
from typing import Any

import polars as pl

from ._frame import COORDINATES, coordinates


def words_frame(rows: Iterable[dict[str, Any]]) -> Any:
    """One row a word. Parameters: `rows`, each with model, prompt, position, token, component, of, through, end, rank, word, value."""
    texts = dict.fromkeys(("model", "token", "component", "write", "of", "through", "end", "word"), pl.String)
    numbers = dict.fromkeys(("prompt", "position", "layer", *COORDINATES, "rank"), pl.Int64)
    types = {**texts, **numbers, "value": pl.Float64}
    where = ("model", "prompt", "position", "token", "component", "write", "layer", *COORDINATES)
    names = (*where, "of", "through", "end", "rank", "word", "value")
    every = [{**row, **coordinates(row["component"])} for row in rows]
    return pl.DataFrame(every, schema={name: types[name] for name in names})
