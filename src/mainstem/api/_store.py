"""Results to files: whole or not there at all."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mainstem.core import InputError, Provenance, file_path, whole_file


def store(path: str | Path, forms: Mapping[str, Callable[[Path], Any]]) -> Path:
    """Writes a file in the form that its ending names.

    Parameters: `path`; `forms`, what writes each ending. Raises `InputError` for another ending or a missing folder.
    """
    place = file_path(path)
    if place.suffix not in forms:
        raise InputError(f"cannot store as {place.suffix or place.name!r}: use {', '.join(forms)}.")
    with whole_file(place) as half:
        forms[place.suffix](half)
    return place


def parquet(frame: Any, about: dict[str, Any], provenance: Provenance | None, path: Path) -> None:
    """A polars frame as Parquet, with the choices it was made with and the model it is of.

    Parameters: `frame`; `about`, the choices; `provenance`; `path`.
    """
    import pyarrow.parquet

    said = json.dumps(about | {"provenance": plain(provenance)})
    pyarrow.parquet.write_table(frame.to_arrow().replace_schema_metadata({b"mainstem": said.encode()}), path)


def restored(path: str | Path, form: str, what: str) -> dict[str, Any]:
    """What was stored as JSON. Parameters: `path`; `form`, that it names itself; `what` it is, in words.

    Raises `InputError` for a file that is missing, broken or of another form.
    """
    try:
        held = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as a {what}: {error}.") from error
    if not isinstance(held, dict) or held.get("form") != form:
        raise InputError(f"{path} is no {what} that this version reads.")
    return held


def plain(provenance: Provenance | None) -> dict[str, Any] | None:
    """Provenance as it is stored. Parameters: `provenance`, None where there is none."""
    return provenance.to_dict() if provenance else None
