"""Files that are whole or not there at all."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path as File

from ._errors import InputError


@contextmanager
def whole_file(path: str | File) -> Iterator[File]:
    """A place beside `path` to write to. It becomes `path` when the block ends, and nothing where the block fails.

    Parameters: `path`; a file there is replaced. Raises `InputError` for a missing folder, one that takes no files, or where
    no file can be.
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
        _begin(making, path)
        yield making
        os.replace(making, place)
    finally:
        making.unlink(missing_ok=True)


def _begin(making: File, path: str | File) -> None:
    """Whether a folder takes files is known only by making one: in some, the rights to it say otherwise."""
    try:
        making.touch()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        fault = f"cannot write {path}: its folder {making.parent} takes no files ({error.strerror}). Name another folder."
        raise InputError(fault) from error
