"""What data are made of here: tables of rows, each with a place to name it by and content to know it by."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol, runtime_checkable

from mainstem.core import a_kind

CONTENT = 16  # bytes of a content's hash: two of a trillion texts are alike with a chance of 1e-15


class Row(NamedTuple):
    """One row: where it stands, what it holds (text, the bytes of an image file, or a PIL image), and why it cannot be read."""

    place: str
    value: Any
    fault: str | None = None

    @property
    def blank(self) -> bool:
        """Whether there is nothing in it: a line between paragraphs, which is neither an example nor a fault."""
        return isinstance(self.value, str) and not self.value.strip()


@runtime_checkable
class Table(Protocol):
    """A file or a list whose rows have numbers. Rows are taken out raw, so that those that are passed over cost little."""

    def raw(self, start: int) -> Iterator[Any]:
        """Rows as they are stored, from number `start` on."""

    def row(self, number: int, raw: Any) -> Row:
        """What a raw row says. Parameters: `number`, of the row in the table; `raw`."""


class Example(NamedTuple):
    """A row that was read: its number in the data, its content id, its place and what it holds."""

    number: int
    content: str
    place: str
    value: Any


def content(value: Any) -> bytes:
    """The hash of what a row holds. Raises `ValueError` where it holds nothing that can be hashed. Parameters: `value`."""
    if isinstance(value, str):
        return blake2b(value.encode(), digest_size=CONTENT).digest()
    if isinstance(value, bytes):
        return blake2b(value, digest_size=CONTENT).digest()
    about = f"{value.mode} {value.size}".encode()
    return blake2b(about + value.tobytes(), digest_size=CONTENT).digest()


def read_as(place: str, value: Any) -> Row:
    """A row of text or of an image, or one that says why it is neither. Parameters: `place`; `value`."""
    if isinstance(value, dict) and value.get("bytes"):
        value = value["bytes"]  # an image as `datasets` stores it
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return Row(place, None, "half of a surrogate pair, which is no letter")
        return Row(place, value)
    if isinstance(value, bytes) or (hasattr(value, "tobytes") and hasattr(value, "mode")):
        return Row(place, value)
    return Row(place, None, "no value" if value is None else f"{a_kind(value)}, neither text nor an image")
