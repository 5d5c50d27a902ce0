"""Rows that are handed over: lists of texts, and anything that gives dictionaries, as `datasets` does."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from mainstem.core import InputError, a_kind

from ._rows import Row, read_as


class Given:
    """Rows in memory, or behind an iterable that can be begun again.

    Parameters: `data`; `column`, which entry of a row's dictionary, None for rows that are texts or images themselves.
    """

    def __init__(self, data: Iterable[Any], column: str | None) -> None:
        self.data, self.column = data, column

    def raw(self, start: int) -> Iterator[Any]:
        """Rows from number `start` on."""
        data: Any = self.data
        if hasattr(data, "__len__") and hasattr(data, "__getitem__"):
            return (data[i] for i in range(start, len(data)))
        return islice(iter(data), start, None)

    def row(self, number: int, raw: Any) -> Row:
        """A row. Parameters: `number`; `raw`."""
        place = f"row {number}"
        if self.column is None:
            return read_as(place, raw)
        if not isinstance(raw, dict) or self.column not in raw:
            has = ", ".join(map(str, raw)) if isinstance(raw, dict) else type(raw).__name__
            return Row(place, None, f"no column {self.column!r} (it has {has})")
        return read_as(place, raw[self.column])


def given(data: Iterable[Any], column: str | None) -> Given:
    """A table of rows in memory. Parameters: `data`; `column`. Raises `InputError` for what can be gone through only once."""
    if iter(data) is data:
        raise InputError("data are gone through more than once: give a list or a dataset, not a generator (list(data)).")
    first = next(iter(data), None)
    if column is not None and first is not None and not isinstance(first, dict):
        raise InputError(
            f"column={column!r} names a column, and each of these rows is {a_kind(first)}, which has none: leave it out."
        )
    return Given(data, (column or chosen(first)) if isinstance(first, dict) else None)


def chosen(names: Iterable[str]) -> str:
    """The column that is meant where none was said. Parameters: `names`. Raises `InputError` where that is not clear."""
    names = list(names)
    for name in ("text", "image"):
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    raise InputError(
        f"which column is to be read? There are {', '.join(names)}: say column={names[0]!r}." if names else "no columns."
    )
