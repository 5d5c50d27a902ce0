"""What data may be: files, folders, lists, datasets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstem.core import InputError, a_kind

from ._given import given
from ._parquet import ParquetRows
from ._rows import Row, Table
from ._texts import Documents, JsonLines, Lines

_KINDS = {
    "text": (".txt", ".text", ".md"),
    "json": (".jsonl", ".ndjson", ".json"),
    "parquet": (".parquet", ".pq"),
    "images": (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm"),
}
_PACKED = (".gz", ".bz2", ".zst", ".lz4")
BY = ("line", "document")


@dataclass(frozen=True)
class Source:
    """Data as one sequence of rows. Parameters: `kind`, what they are; `tables`, in order."""

    kind: str
    tables: Sequence[Table]

    def rows(self, table: int = 0, start: int = 0) -> Iterator[tuple[int, Any]]:
        """Raw rows with the number of their table. Parameters: `table`, where to begin; `start`, the first row of it."""
        for number in range(table, len(self.tables)):
            yield from ((number, raw) for raw in self.tables[number].raw(start if number == table else 0))

    def row(self, table: int, number: int, raw: Any) -> Row:
        """What a raw row says. Parameters: `table`, the number of its table; `number`, its number there; `raw`."""
        return self.tables[table].row(number, raw)


def source(data: Any, column: str | None = None, by: str = "line") -> Source:
    """Data as one sequence of rows: files in the order of their names, and what is handed over in its own order.

    Nothing of files is read here. Lines of text without a letter are passed over, and are no fault.

    Parameters: `data`, a file or a folder of text (.txt), JSON lines (.jsonl), Parquet or images, the first two also compressed
    (.gz, .bz2, .zst, .lz4); a list of files; a list of texts or images; a `datasets` object or another list of dictionaries;
    `column`, which entry of rows is read, None for `text`, `image` or the only one; `by`, of text files, whether a "line" is
    an example or the whole "document". Raises `InputError` for anything else.
    """
    if column is not None and not isinstance(column, str):
        raise InputError(f"column is the name of a column, not {column!r}.")
    if by not in BY:
        raise InputError(f"text files are read by {' or by '.join(BY)}, not {by!r}.")
    if isinstance(data, (str, Path)):
        return _files(*_listed(Path(data)), column, by)
    if isinstance(data, Sequence) and data and all(isinstance(one, Path) for one in data[:8]):
        return _files(list(data), [str(path) for path in data], column, by)
    if not hasattr(data, "__iter__") or isinstance(data, (bytes, dict)):
        raise InputError(f"cannot read data from {a_kind(data)}: give a file, a folder, a list of texts or a dataset.")
    return Source("rows", (given(data, column),))


def _listed(place: Path) -> tuple[list[Path], list[str]]:
    """Files to read and what they are called."""
    if place.is_file():
        return [place], [place.name]
    if not place.is_dir():
        raise InputError(f"there is no file or folder {place}. Put a text itself into a file, or in Python into a list.")
    found = sorted(
        p for p in place.rglob("*") if p.is_file() and not any(part.startswith(".") for part in p.relative_to(place).parts)
    )
    return found, [p.relative_to(place).as_posix() for p in found]


def _files(paths: list[Path], names: list[str], column: str | None, by: str) -> Source:
    known = [(p, n, kind) for p, n in zip(paths, names, strict=True) if (kind := _kind(p))]
    kinds = sorted({kind for _, _, kind in known})
    if len(kinds) != 1:
        ends = ", ".join(end for ends in _KINDS.values() for end in ends)
        said = (
            f"{' and '.join(kinds)} lie side by side: name those of one kind"
            if kinds
            else f"none of {len(paths)} files ends in {ends}"
        )
        raise InputError(f"what is to be read? {said}.")
    kind, paths, names = kinds[0], [p for p, _, _ in known], [n for _, n, _ in known]
    if column is not None and kind in ("text", "images"):
        raise InputError(f"column={column!r} names a column, and {names[0]} has none: leave it out.")
    if kind == "images" or (kind == "text" and by == "document"):
        return Source("documents" if kind == "text" else kind, (Documents(paths, names, kind == "text"),))
    return Source(kind, tuple(_table(kind, p, n, column) for p, n in zip(paths, names, strict=True)))


def _table(kind: str, path: Path, name: str, column: str | None) -> Table:
    if kind == "text":
        return Lines(path, name)
    return JsonLines(path, name, column or "text") if kind == "json" else ParquetRows(path, name, column)


def _kind(path: Path) -> str | None:
    """What a file's name says that it is."""
    ends = [end.lower() for end in path.suffixes]
    if ends and ends[-1] in _PACKED:
        ends = [end for end in ends[:-1] if end in _KINDS["text"] + _KINDS["json"]]
    return next((kind for kind, known in _KINDS.items() if ends and ends[-1] in known), None)
