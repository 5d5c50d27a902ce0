"""Data to learn from: texts, ids and images as rows that a model reads, no longer than they shall be, in batches of so many tokens."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.models import Loaded

_BLOCK = 2**15  # characters of a long text that are made tokens at a time, so that little of a book is read for little training


def rows(loaded: Loaded, data: Any, length: int, generator: torch.Generator) -> Iterator[Any]:
    """Rows of data, one after the other: lists of ids, or what else the model reads one of.

    Parameters: `loaded`; `data`, a text or several, ids, a tensor of rows, or an iterable of batches of these; what has a
    length is shuffled, other iterables are read as they come; `length`, the most tokens of a row, fewer
    where the model reads no more; longer ones are cut; `generator`. Raises `InputError` for what is none of these.
    """
    limit = loaded.codec.limit if loaded.codec is not None else None
    length = length if limit is None else min(length, limit)
    for item in _items(data, generator):
        yield from _cut(loaded, item, length)


def _items(data: Any, generator: torch.Generator) -> Iterable[Any]:
    if isinstance(data, str | Mapping) or (isinstance(data, list | tuple) and data and isinstance(data[0], int)):
        data = [data]
    if isinstance(data, Tensor):
        integers = not data.is_floating_point()
        data = [data] if data.ndim < 2 and integers else [row if integers else row[None] for row in data]
    if isinstance(data, list | tuple):
        whole = [block for item in data for block in (_blocks(item) if isinstance(item, str) else [item])]
        return [whole[i] for i in torch.randperm(len(whole), generator=generator).tolist()]
    if not isinstance(data, Iterable):
        raise InputError(f"cannot learn from {type(data).__name__}: give a list of texts, token ids, or batches of these.")
    return data


def _blocks(text: str) -> list[str]:
    """A long text in pieces that end at a line's end, or at a space, where there is one."""
    found = []
    while len(text) > _BLOCK:
        end = max(text.rfind("\n", 1, _BLOCK), 0) or max(text.rfind(" ", 1, _BLOCK), 0) or _BLOCK
        found.append(text[:end])
        text = text[end:]
    return [*found, text]


def _cut(loaded: Loaded, item: Any, length: int) -> Iterator[Any]:
    """The rows of one item: a text, ids, a tensor of rows, or a batch of these."""
    if isinstance(item, str):
        yield from loaded.codec.chunks(item, length) if loaded.codec is not None else [item]
    elif isinstance(item, Mapping):
        yield from _masked(item, length)
    elif isinstance(item, Tensor) and item.is_floating_point():
        yield from item
    elif isinstance(item, Tensor):
        for row in item.reshape(-1, item.shape[-1]) if item.ndim else item[None, None]:
            yield from _pieces(row.tolist(), length)
    elif isinstance(item, list | tuple) and item and isinstance(item[0], int):
        yield from _pieces(list(item), length)
    elif isinstance(item, list | tuple):
        for one in item:
            yield from _cut(loaded, one, length)
    else:
        yield item


def _masked(batch: Mapping[str, Any], length: int) -> Iterator[list[int]]:
    """The tokens of a batch as loaders give it, without its padding."""
    if "input_ids" not in batch:
        raise InputError(f"a batch that is a mapping has its tokens under input_ids; this one holds {', '.join(batch)}.")
    ids = torch.as_tensor(batch["input_ids"])
    mask = torch.as_tensor(batch["attention_mask"]) if "attention_mask" in batch else torch.ones_like(ids)
    for row, real in zip(ids, mask.bool(), strict=True):
        yield from _pieces(row[real].tolist(), length)


def _pieces(ids: list[int], length: int) -> Iterator[list[int]]:
    yield from (ids[i : i + length] for i in range(0, len(ids), length))


def size(row: Any) -> int:
    """How many tokens a row counts as; one for what is not tokens. Parameters: `row`."""
    return len(row) if isinstance(row, list) else 1


def grouped(found: Iterable[Any], tokens: int) -> Iterator[list[Any]]:
    """Rows in groups that hold at least so many tokens; the last may hold fewer. Parameters: `found`; `tokens`."""
    some: list[Any] = []
    held = 0
    for row in found:
        some.append(row)
        held += size(row)
        if held >= tokens:
            yield some
            some, held = [], 0
    if some:
        yield some


def endless(found: list[Any], generator: torch.Generator) -> Iterator[Any]:
    """All rows again and again, each time in another order. Parameters: `found`; `generator`."""
    while True:
        yield from (found[i] for i in torch.randperm(len(found), generator=generator).tolist())


def joined(some: list[Any]) -> Any:
    """Rows as a model reads them together. Parameters: `some`."""
    return torch.stack(some) if isinstance(some[0], Tensor) else some
