"""What data may be: files, folders, lists, datasets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ._given import given
from ._rows import Row, Table


@dataclass(frozen=True)
class Source:
    """Data as one sequence of rows. Parameters: `kind`, what they are; `tables`, in order."""

    kind: str
    tables: Sequence[Table]

    def rows(self, table: int = 0, start: int = 0) -> Iterator[tuple[int, Any]]:
        """Raw rows with the number of their table, from row `start` of table number `table` on."""
        for number in range(table, len(self.tables)):
            yield from ((number, raw) for raw in self.tables[number].raw(start if number == table else 0))

    def row(self, table: int, number: int, raw: Any) -> Row:
        """What a raw row says. Parameters: `table`, the number of its table; `number`, its number there; `raw`."""
        return self.tables[table].row(number, raw)


def source(data: Any, column: str | None = None) -> Source:
    """Data as one sequence of rows. Parameters: `data`; `column`."""
    return Source("rows", (given(data, column),))
