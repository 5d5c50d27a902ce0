"""Parquet files, a row group at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mainstem.core import InputError

from ._given import chosen
from ._rows import Row, read_as
from ._texts import Broken

_ROWS = 256  # in hand at a time


class ParquetRows:
    """A Parquet file. Where a row group cannot be read to its end, one row stands for what is left of it.

    Parameters: `path`; `name`, what it is called in results; `column`, None for the only one, or that called text or image.
    """

    def __init__(self, path: Path, name: str, column: str | None) -> None:
        self.path, self.name, self.column = path, name, column

    def raw(self, start: int) -> Iterator[Any]:
        """Values from row `start` on."""
        import pyarrow
        import pyarrow.parquet

        try:
            with pyarrow.parquet.ParquetFile(self.path) as file:
                yield from self._from(file, start)
        except (pyarrow.ArrowException, OSError) as error:
            yield from [Broken(f"the file cannot be read ({error})")][start:]

    def row(self, number: int, raw: Any) -> Row:
        """A value. Parameters: `number`; `raw`."""
        place = f"{self.name}:{number}"
        return Row(place, None, str(raw)) if isinstance(raw, Broken) else read_as(place, raw)

    def _from(self, file: Any, start: int) -> Iterator[Any]:
        names = file.schema_arrow.names
        column = self.column or chosen(names)
        if column not in names:
            raise InputError(f"{self.name} has no column {column!r}; it has {', '.join(names)}.")
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            for value in self._group(file, group, column, size):
                if start > 0:
                    start -= 1
                else:
                    yield value

    def _group(self, file: Any, group: int, column: str, size: int) -> Iterator[Any]:
        import pyarrow

        seen = 0
        try:
            for batch in file.iter_batches(_ROWS, row_groups=[group], columns=[column], use_threads=False):
                yield from batch.column(0).to_pylist()
                seen += len(batch)
        except (pyarrow.ArrowException, OSError) as error:
            yield Broken(f"{size - seen} rows of row group {group} cannot be read ({error})")
