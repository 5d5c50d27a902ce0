"""A first look at all the data: what every row is, how much there is, and into which pieces the work falls."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from mainstem.core import InputError, tracked

from ._rows import CONTENT, Row, content
from ._source import Source

PIECE = 2**20  # bytes of text in a piece: some 250,000 tokens
IMAGE = 2**12  # what an image counts for: some 1,000 tokens
SAMPLE = 64  # texts that are tokenised for an estimate
CHUNK = 2**16  # rows in hand before they become columns
_NAMED = 5


@dataclass(frozen=True)
class Piece:
    """A stretch of rows that is worked through in one go and stored as one.

    Parameters: `number`; `start` and `stop`, of its rows; `examples`, how many of them are read; `size`, their bytes.
    """

    number: int
    start: int
    stop: int
    examples: int
    size: int


@dataclass(frozen=True, eq=False)
class Survey:
    """What there is in data.

    Parameters: `source`; `counts`, rows of every table; `rows`, an Arrow table with a row for each row of the data (place,
    content, ordinal among equal contents, size, fault); `pieces`; `about`, what identifies the data: kind, rows, examples,
    size, unreadable, sha256; `sample`, values of examples taken by chance, the same at every look; `piece`, bytes of text in a piece.
    """

    source: Source
    counts: tuple[int, ...]
    rows: Any
    pieces: tuple[Piece, ...]
    about: dict[str, Any]
    sample: tuple[Any, ...]
    piece: int

    def faults(self) -> list[tuple[str, str]]:
        """Rows that cannot be read: their places, and why."""
        import pyarrow.compute

        bad = self.rows.filter(pyarrow.compute.is_valid(self.rows["fault"]))
        return list(zip(bad["place"].to_pylist(), bad["fault"].to_pylist(), strict=True))

    def tokens(self, tokenize: Callable[[str], Sequence[Sequence[int]]]) -> int:
        """About how many tokens there are: those of 64 texts, by their bytes. Parameters: `tokenize`."""
        size = found = 0
        for text in (text for text in self.sample if isinstance(text, str)):
            with suppress(InputError, ValueError):  # one that cannot be tokenised is named when its turn comes
                found += sum(len(window) for window in tokenize(text))
                size += len(text.encode())
        return round(found * self.about["size"] / size) if size else 0


def survey(source: Source, piece: int = PIECE, unreadable: str | None = "stop") -> Survey:
    """Reads all data once, without a model: a few dozen bytes are kept of every row.

    The content id of an example is the blake2b hash of its bytes and its number among examples of equal bytes. The hash of the
    data is the sha256 of all rows' contents in their order, wherever the files lie.

    Parameters: `source`; `piece`, bytes of text in a piece (an image counts for 4,096); `unreadable`, "stop" or "skip", None to stop
    where who reads has no such choice.
    Raises `InputError` where rows cannot be read and that is to stop the run, or where nothing is left.
    """
    if unreadable not in ("stop", "skip", None):
        raise InputError(f"unreadable rows are to 'stop' the run or to be passed over, 'skip', not {unreadable!r}.")
    if not isinstance(piece, int) or isinstance(piece, bool) or piece < 1:
        raise InputError(f"piece is a number of bytes, from 1, not {piece!r}.")
    look = _Look(piece)
    for table, number, raw in tracked(_numbered(source), "reading the data", 0):
        look.add(table, source.row(table, number, raw))
    found = look.whole(source)
    if unreadable != "skip":
        refuse(found.faults(), found.about["rows"], unreadable is not None)
    if not found.about["examples"]:
        raise InputError(f"there is nothing to scan in these data: {found.about['rows']} rows, none of which holds anything.")
    return found


def refuse(faults: Sequence[tuple[str, str]], of: int, choice: bool = True) -> None:
    """Raises `InputError` where there are rows that cannot be read. Parameters: `faults`, places and reasons; `of`, all rows; `choice`, whether they could be passed over."""
    if faults:
        named = "; ".join(f"{place}: {why}" for place, why in faults[:_NAMED])
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        fix = "pass over them: unreadable='skip' (--unreadable skip)" if choice else "leave them out"
        raise InputError(f"{len(faults)} of {of} rows cannot be read: {named}{more}. Mend them, or {fix}.")


def _numbered(source: Source) -> Iterator[tuple[int, int, Any]]:
    before, number = -1, 0
    for table, raw in source.rows():
        number = number + 1 if table == before else 0
        before = table
        yield table, number, raw


class _Look:
    """What is gathered row by row."""

    def __init__(self, piece: int) -> None:
        self.piece, self.hash = piece, sha256()
        self.chunks: list[Any] = []
        self.held: list[tuple[str, bytes | None, int, str | None]] = []
        self.counts: dict[int, int] = {}
        self.pieces: list[Piece] = []
        self.row = self.start = self.examples = self.size = 0
        self.sample: list[tuple[int, int, Any]] = []  # a heap of those with the smallest hashes

    def add(self, table: int, row: Row) -> None:
        """Takes a row in. Parameters: `table`, the number of its table; `row`."""
        known = None if row.fault or row.blank else content(row.value)
        size = 0 if known is None else len(row.value.encode()) if isinstance(row.value, str) else IMAGE
        self.hash.update(known or bytes(CONTENT) + (row.fault or "").encode())
        self.held.append((row.place, known, size, row.fault))
        self.counts[table] = self.counts.get(table, 0) + 1
        self.row += 1
        self.size += size
        if known is not None:
            self.examples += 1
            self._draw(known, row.value)
        if self.size >= self.piece:
            self._cut()
        if len(self.held) >= CHUNK:
            self._flush()

    def whole(self, source: Source) -> Survey:
        """All of it. Parameters: `source`."""
        import polars

        self._cut()
        self._flush()
        frame: Any = polars.concat([polars.DataFrame(polars.from_arrow(chunk)) for chunk in self.chunks])
        frame = frame.with_columns(polars.int_range(polars.len()).over("content").alias("ordinal"))
        readable, size = sum(p.examples for p in self.pieces), sum(p.size for p in self.pieces)
        about = {
            "kind": source.kind,
            "rows": self.row,
            "examples": readable,
            "size": size,
            "unreadable": len(frame) - frame["fault"].null_count(),
            "sha256": self.hash.hexdigest(),
        }
        counts = tuple(self.counts.get(i, 0) for i in range(len(source.tables)))
        drawn = tuple(value for _, _, value in sorted(self.sample, key=lambda s: s[:2]))
        return Survey(source, counts, frame.to_arrow(), tuple(self.pieces), about, drawn, self.piece)

    def _draw(self, known: bytes, value: Any) -> None:
        """Hashes are as good as chance, and the same at every look."""
        one = (-int.from_bytes(known[:8]), -self.row, value)
        if len(self.sample) < SAMPLE:
            heapq.heappush(self.sample, one)
        elif one[:2] > self.sample[0][:2]:
            heapq.heapreplace(self.sample, one)

    def _cut(self) -> None:
        if self.row > self.start:
            self.pieces.append(Piece(len(self.pieces), self.start, self.row, self.examples, self.size))
            self.start, self.examples, self.size = self.row, 0, 0

    def _flush(self) -> None:
        import pyarrow

        places, contents, sizes, faults = zip(*self.held, strict=True) if self.held else ((), (), (), ())
        kinds = pyarrow.large_string(), pyarrow.large_binary(), pyarrow.int64(), pyarrow.large_string()
        columns = [pyarrow.array(c, kind) for c, kind in zip((places, contents, sizes, faults), kinds, strict=True)]
        self.chunks.append(pyarrow.table(columns, names=["place", "content", "size", "fault"]))
        self.held.clear()
