"""Reads the rows of one piece after the other, held against what was seen of them at first."""

from collections.abc import Iterator
from itertools import accumulate, islice
from typing import Any

from mainstem.core import InputError

from ._rows import Example, content
from ._survey import Piece, Survey


class Reader:
    """Gives the examples of pieces. It goes forward through the data, once, as long as the pieces do. Parameters: `survey`."""

    def __init__(self, survey: Survey) -> None:
        self.survey, self.at = survey, 0
        self.starts = [0, *accumulate(survey.counts)]
        self.coming: Iterator[tuple[int, Any]] | None = None

    def examples(self, piece: Piece) -> list[Example]:
        """The examples of a piece, in the order of the data. Raises `InputError` where a row is not what it was. Parameters: `piece`."""
        coming = self._from(piece.start)
        contents = self.survey.rows["content"].slice(piece.start, piece.stop - piece.start).to_pylist()
        ordinals = self.survey.rows["ordinal"].slice(piece.start, piece.stop - piece.start).to_pylist()
        found = []
        for number, known, ordinal in zip(range(piece.start, piece.stop), contents, ordinals, strict=True):
            table, raw = next(coming, (-1, None))
            self.at += 1
            if table < 0:
                raise InputError(f"the data end at row {number}; they had {self.starts[-1]} rows when they were first read.")
            row = self.survey.source.row(table, number - self.starts[table], raw)
            if (None if row.fault or row.blank else content(row.value)) != known:
                raise InputError(f"the data changed while they were read: {row.place} is not what it was at first.")
            if known is not None:
                found.append(Example(number, f"{known.hex()}.{ordinal}", row.place, row.value))
        return found

    def _from(self, start: int) -> Iterator[tuple[int, Any]]:
        if self.coming is None or start < self.at:
            table = next((t for t, stop in enumerate(self.starts[1:]) if start < stop), 0)
            self.coming, self.at = self.survey.source.rows(table, start - self.starts[table]), start
        else:
            next(islice(self.coming, start - self.at, start - self.at), None)
            self.at = start
        return self.coming
