"""A folder of runs: one Parquet file each, whole or not there, with what made it in its metadata."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mainstem.core import InputError, whole_file

from ._watch import Row

COLUMNS = ("step", "name", "site", "value")


@dataclass(frozen=True)
class Record:
    """One run that has ended.

    Parameters: `key`, of its setup and seed; `about`, recipe, size, variant, seed, status ("done", "diverged" or "failed") and what the
    fault was; `numbers`, what it came to, by name; `rows`, what was seen on the way; `made`, setup, seconds and versions.
    """

    key: str
    about: dict[str, Any]
    numbers: dict[str, float]
    rows: tuple[Row, ...]
    made: dict[str, Any]

    def of(self, recipe: str, size: str, variant: str) -> "Record":
        """The same run under the name that another plan has for it. Parameters: `recipe`; `size`; `variant`."""
        return replace(self, about=self.about | {"recipe": recipe, "size": size, "variant": variant})

    def table(self) -> Any:
        """An Arrow table: a row a number, step null for what the run came to."""
        import pyarrow

        rows = [(None, name, "", value) for name, value in self.numbers.items()] + [tuple(row) for row in self.rows]
        kinds = (pyarrow.int64(), pyarrow.string(), pyarrow.string(), pyarrow.float64())
        columns = [pyarrow.array([row[i] for row in rows], kind) for i, kind in enumerate(kinds)]
        said = {"key": self.key, "about": self.about, "made": self.made}
        return pyarrow.table(columns, names=list(COLUMNS)).replace_schema_metadata({b"mainstem": json.dumps(said).encode()})

    @classmethod
    def read(cls, path: Path) -> "Record":
        """A run from its file. Parameters: `path`. Raises `InputError` for one that is broken."""
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(path)
            said = json.loads(table.schema.metadata[b"mainstem"])
            rows = list(zip(*(table[name].to_pylist() for name in COLUMNS), strict=True))
            numbers = {name: value for step, name, _, value in rows if step is None}
            return cls(said["key"], said["about"], numbers, tuple(Row(*row) for row in rows if row[0] is not None), said["made"])
        except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is broken ({error}): delete it, and the run is done again.") from error


class Store:
    """The folder. Parameters: `folder`, made where it is not there. Raises `InputError` where it cannot be."""

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file: name a folder for the runs.")
        self.folder = folder

    def records(self) -> dict[str, Record]:
        """The runs that are there, by key."""
        found = (Record.read(path) for path in sorted(self.folder.glob("runs/*.parquet")))
        return {record.key: record for record in found}

    def keep(self, record: Record) -> None:
        """Stores a run. Parameters: `record`."""
        import pyarrow.parquet

        place = self.folder / "runs" / f"{record.key}.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(place) as half:
            pyarrow.parquet.write_table(record.table(), half)

    def model(self, variant: str, seed: int) -> Path:
        """Where a trained model is kept. Parameters: `variant`; `seed`."""
        return self.folder / "models" / f"{re.sub(r'[^A-Za-z0-9.=-]+', '-', variant)}-seed{seed}"

    def checkpoints(self, key: str) -> Path:
        """Where a run keeps its checkpoints. Parameters: `key`."""
        return self.folder / "checkpoints" / key
