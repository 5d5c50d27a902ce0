"""What is true of each example: a list, a column beside the one that is read, or the names of image files and their folders."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mainstem.core import InputError

from ._given import Given
from ._parquet import ParquetRows
from ._survey import Survey
from ._texts import Broken, Documents, JsonLines, lines

_LEADING = re.compile(r"^(\d+)(?=[_\-. ])")
Known = Mapping[str, int]


def labels_of(look: Survey | int, labels: Any, classes: Known | None = None) -> dict[int, int]:
    """The class of every example, by the number of its row.

    Parameters: `look`, the data, or how many examples there are; `labels`, a number for each example in their order, the name of a column, or None for image files:
    the number that begins every file's name ("12_tench.jpg"), or else the folder, which is a number itself, a class of the model by name, or
    one of all such folders in the order of their names; `classes`, the model's own, by name. Raises `InputError` where labels are missing,
    too many or too few, and where they are no classes.
    """
    known = [True] * look if isinstance(look, int) else [one is not None for one in look.rows["content"].to_pylist()]
    readable = [i for i, there in enumerate(known) if there]
    if labels is None or isinstance(labels, str):
        if isinstance(look, int):
            raise InputError(f"labels of a tensor are a list with one for each example, not {labels!r}.")
        found = _of_files(look, classes or {}) if labels is None else _of_column(look, labels)
    else:
        found = list(labels.tolist() if isinstance(labels, Tensor) else labels)
        if len(found) != len(readable):
            raise InputError(
                f"there are {len(found)} labels for {len(readable)} examples: give one for each, in the order of the data."
            )
        return {i: as_class(one, classes) for i, one in zip(readable, found, strict=True)}
    return {i: as_class(found[i], classes) for i in readable}


def as_class(label: Any, classes: Known | None = None) -> int:
    """A class as a number. Parameters: `label`, a number or a class of the model by name; `classes`. Raises `InputError` for neither."""
    if isinstance(label, Tensor) and label.numel() == 1:
        label = label.item()
    if isinstance(label, str) and classes and label.lower() in classes:
        return classes[label.lower()]
    if isinstance(label, str) and label.isdecimal():
        return int(label)
    if isinstance(label, bool) or not hasattr(label, "__index__"):
        known = f", or one of {', '.join(list(classes)[:6])}" if classes else ""
        raise InputError(f"a label is a class's number, from 0{known}, not {label!r}.")
    return int(label.__index__())


def check_classes(labels: Iterable[int], classes: int) -> None:
    """Raises `InputError` where a label is no class. Parameters: `labels`; `classes`, how many there are."""
    bad = [label for label in labels if not 0 <= label < classes]
    if bad:
        raise InputError(f"there is no class {bad[0]}: the model has {classes}, counted from 0.")


def _of_column(look: Survey, column: str) -> list[Any]:
    found: list[Any] = []
    for table in look.source.tables:
        if isinstance(table, Given):
            found += [_entry(raw, column, f"row {i}") for i, raw in enumerate(table.raw(0))]
        elif isinstance(table, JsonLines):
            found += [_json(raw, column, f"{table.name}:{i + 1}") for i, raw in enumerate(lines(table.path))]
        elif isinstance(table, ParquetRows):
            found += _parquet(table, column)
        else:
            raise InputError(f"these data have no columns, so none is called {column!r}: give labels as a list.")
    return found


def _entry(row: Any, column: str, place: str) -> Any:
    if not isinstance(row, Mapping) or column not in row:
        has = ", ".join(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
        raise InputError(f"{place} has no column {column!r} (it has {has}).")
    return row[column]


def _json(raw: Any, column: str, place: str) -> Any:
    if isinstance(raw, Broken) or not raw.strip():
        return None
    try:
        row = json.loads(raw)
    except ValueError:
        return None  # a row that cannot be read, which is said where rows are
    return _entry(row, column, place)


def _parquet(table: ParquetRows, column: str) -> list[Any]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(table.path) as file:
        if column not in (names := file.schema_arrow.names):
            raise InputError(f"{table.name} has no column {column!r}; it has {', '.join(names)}.")
        return file.read([column], use_threads=False)[column].to_pylist()


def _of_files(look: Survey, classes: Known) -> list[Any]:
    files = [name for table in look.source.tables if isinstance(table, Documents) for name in table.names]
    if not files:
        raise InputError("labels are needed: a list with one for each example, or the name of a column.")
    leading = [_LEADING.match(Path(name).name) for name in files]
    if all(leading):
        return [int(found[1]) for found in leading if found]
    folders = [Path(name).parent.name for name in files]
    if not all(folders):
        raise InputError(
            f'no class can be read from {files[0]!r}: begin names with it ("12_tench.jpg"), sort files into folders, or give labels.'
        )
    return _of_folders(folders, classes)


def _of_folders(folders: Sequence[str], classes: Known) -> list[int]:
    names = sorted(set(folders))
    if all(name.isdecimal() for name in names):
        return [int(name) for name in folders]
    if all(name.lower() in classes for name in names):
        return [classes[name.lower()] for name in folders]
    return [names.index(name) for name in folders]


def counted(labels: Iterable[int], classes: int) -> Tensor:
    """How often each class is true. Parameters: `labels`; `classes`."""
    return torch.bincount(torch.tensor(list(labels), dtype=torch.long), minlength=classes)
