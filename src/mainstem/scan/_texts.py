"""Text files, a line or a document to an example, and files of JSON lines; compressed ones too."""

import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ._rows import Row, read_as

_BUFFER = 2**20


class Broken(str):
    """Why a file cannot be read further, in place of a row."""


class Lines:
    """A text file, a line to a row. Parameters: `path`; `name`, what it is called in results."""

    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name

    def raw(self, start: int) -> Iterator[Any]:
        """Lines from number `start` on, as bytes; the last may say that the file is broken."""
        return islice(lines(self.path), start, None)

    def row(self, number: int, raw: Any) -> Row:
        """A line. Parameters: `number`; `raw`."""
        place = f"{self.name}:{number + 1}"
        if isinstance(raw, Broken):
            return Row(place, None, str(raw))
        try:
            return self.said(place, raw.decode("utf-8-sig" if number == 0 else "utf-8").rstrip("\r\n"))
        except UnicodeDecodeError as error:
            return Row(place, None, f"not UTF-8 (byte {error.start} of the line)")

    def said(self, place: str, text: str) -> Row:
        """What a line says. Parameters: `place`; `text`."""
        return read_as(place, text)


class JsonLines(Lines):
    """A file of JSON lines. Parameters: `path`; `name`; `column`, the entry of each object that is read."""

    def __init__(self, path: Path, name: str, column: str) -> None:
        super().__init__(path, name)
        self.column = column

    def said(self, place: str, text: str) -> Row:
        """The entry of a line's object. Parameters: `place`; `text`."""
        if not text.strip():
            return Row(place, "")
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            return Row(place, None, f"not JSON ({error})")
        if not isinstance(found, dict) or self.column not in found:
            has = ", ".join(found) if isinstance(found, dict) else type(found).__name__
            return Row(place, None, f"no column {self.column!r} (it has {has})")
        return read_as(place, found[self.column])


class Documents:
    """Files, each of which is an example. Parameters: `paths`; `names`, what they are called in results; `text`, or images."""

    def __init__(self, paths: list[Path], names: list[str], text: bool) -> None:
        self.paths, self.names, self.text = paths, names, text

    def raw(self, start: int) -> Iterator[Any]:
        """Numbers of files, which are not read before they are asked for."""
        return iter(range(start, len(self.paths)))

    def row(self, number: int, raw: Any) -> Row:
        """A file. Parameters: `number`; `raw`."""
        place = self.names[number]
        try:
            data = b"".join(_opened(self.paths[number])) if self.text else self.paths[number].read_bytes()
            return read_as(place, data.decode("utf-8-sig") if self.text else data)
        except UnicodeDecodeError as error:
            return Row(place, None, f"not UTF-8 (byte {error.start})")
        except (OSError, EOFError) as error:
            return Row(place, None, f"cannot be read ({error})")


def lines(path: Path) -> Iterator[Any]:
    """The lines of a file as bytes, and `Broken` last where it ends in an error. Parameters: `path`."""
    try:
        yield from _opened(path)
    except (OSError, EOFError) as error:
        yield Broken(f"cannot be read further ({error})")


def _opened(path: Path) -> Iterator[bytes]:
    import pyarrow

    if path.suffix not in (".gz", ".bz2", ".zst", ".lz4"):
        with path.open("rb", _BUFFER) as stream:
            yield from stream
        return
    with pyarrow.input_stream(str(path), compression="detect") as packed, io.BufferedReader(packed, _BUFFER) as stream:
        yield from stream
