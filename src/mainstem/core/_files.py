"""Files that are whole or not there at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path as File

from ._errors import InputError


@contextmanager
def whole_file(path: str | File) -> Iterator[File]:
    """A place beside `path` to write to. It becomes `path` when the block ends, and nothing where the block fails.

    Parameters: `path`; a file there is replaced. Raises `InputError` for a missing folder, or where no file can be.
    """
    place = File(path).resolve()
    if place.is_dir():
        raise InputError(f"{path} is a folder: name a file in it.")
    if place.exists() and not place.is_file():
        raise InputError(f"{path} is not a plain file: name another.")
    if not place.parent.is_dir():
        raise InputError(f"there is no folder {place.parent}: make it first, mkdir -p {place.parent}")
    making = place.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        yield making
        os.replace(making, place)
    finally:
        making.unlink(missing_ok=True)
