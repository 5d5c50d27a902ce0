"""Results to files: whole or not there at all."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mainstem.core import InputError, whole_file


def store(path: str | Path, forms: Mapping[str, Callable[[Path], Any]]) -> Path:
    """Writes a file in the form that its ending names.

    Parameters: `path`; `forms`, what writes each ending. Raises `InputError` for another ending or a missing folder.
    """
    place = Path(path)
    if place.suffix not in forms:
        raise InputError(f"cannot store as {place.suffix or place.name!r}: use {', '.join(forms)}.")
    with whole_file(place) as half:
        forms[place.suffix](half)
    return place


def parquet(frame: Any, about: dict[str, Any], path: Path) -> None:
    """A polars frame as Parquet, with the choices it was made with. Parameters: `frame`; `about`; `path`."""
    import pyarrow.parquet

    noted = frame.to_arrow().replace_schema_metadata({b"mainstem": json.dumps(about).encode()})
    pyarrow.parquet.write_table(noted, path)
