"""A run's folder: what was asked for, what the data are, and one file for each piece that is done.

run.json                      what the results depend on
examples.parquet              a row for each row of the data
pieces/0-of-1/00000007.parquet   states of measures after piece 7; that this file is there means that the piece is done
rows/0-of-1/00000007.parquet     the rows of piece 7, where there are any
"""

import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mainstem.core import InputError, to_plain, versions, whole_file

from ._differences import differences
from ._gather import States, checksum
from ._survey import Survey
from ._work import Done

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
STALE = 3600.0  # seconds after which a half-written file is one of a killed run


def written(place: Path, write: Callable[[Path], None]) -> None:
    """Writes a file that is on the disk, whole, or not there at all. Parameters: `place`; `write`, writes to a path."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(place) as half:
        write(half)
        _to_disk(half)
    _to_disk(place.parent)


def _text(place: Path, said: str) -> None:
    place.write_text(said, encoding="utf-8")


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Store:
    """The folder of one run. Parameters: `folder`; `identity`, what its results depend on; `shard`, (i, n)."""

    def __init__(self, folder: Path, identity: dict[str, Any], shard: tuple[int, int] = (0, 1)) -> None:
        self.folder, self.identity, self.shard = folder, identity, f"{shard[0]}-of-{shard[1]}"

    def done(self) -> dict[int, Path]:
        """The files of pieces that are done, by number, whichever shard did them."""
        return piece_files(self.folder)

    def begin(self, survey: Survey, resume: bool) -> None:
        """Makes the folder, or goes on in it.

        Parameters: `survey`; `resume`, False to refuse a folder with a run. Raises `InputError` where it holds another run.
        """
        place = self.folder / "run.json"
        if place.exists():
            if not resume:
                raise InputError(
                    f"{self.folder} holds a run already: name another folder, or go on with it (resume=True; on the command line without --no-resume)."
                )
            self._same(load_run(place)["identity"], survey)
            self._sweep()
            return
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.glob("[!.]*"))) and not self._begun():
            raise InputError(f"{self.folder} is no folder of a run, and not empty: name another.")
        self._guarded(lambda: self._open(survey, place))

    def keep(self, done: Done) -> None:
        """Stores what a piece came to: its rows, then its states, which make it done. Parameters: `done`."""
        self._guarded(lambda: self._keep(done))

    def enough(self, survey: Survey, left: int, size: int) -> None:
        """Whether the disk will hold the run, by an estimate, before anything is written.

        Parameters: `survey`; `left`, pieces; `size`, bytes of one. Raises `InputError` where it will not.
        """
        listed = 0 if (self.folder / "run.json").exists() else survey.rows.nbytes
        self._fits(listed + left * size, left)

    def room(self, left: int) -> None:
        """Whether the disk will hold what is left, if its pieces are as large as the last.

        Parameters: `left`, how many. Raises `InputError` where it will not.
        """
        last = max(self.done().values(), key=lambda path: path.stat().st_mtime)
        rows = self.folder / "rows" / last.parent.name / last.name
        self._fits(left * (last.stat().st_size + (rows.stat().st_size if rows.exists() else 0)), left)

    def _fits(self, needs: int, left: int) -> None:
        there = next((place for place in (self.folder, *self.folder.absolute().parents) if place.exists()), Path())
        free = shutil.disk_usage(there).free
        if needs > free:
            raise InputError(
                f"{left} pieces are left, which take some {needs / 2**20:,.1f} MiB, and the disk of {self.folder} has "
                f"{free / 2**20:,.1f}: free some space, or ask for larger pieces, of which there are fewer, in another folder."
            )

    def _open(self, survey: Survey, place: Path) -> None:
        import pyarrow.parquet

        written(self.folder / "examples.parquet", lambda half: pyarrow.parquet.write_table(survey.rows, half))
        said = json.dumps({"identity": self.identity, "pieces": len(survey.pieces), "versions": versions()}, indent=1)
        written(place, lambda half: _text(half, said))

    def _keep(self, done: Done) -> None:
        import pyarrow
        import pyarrow.parquet
        from safetensors.torch import save

        name = f"{done.piece.number:08d}.parquet"
        about: dict[str, Any] = {"identity": self.identity, "versions": done.versions, "counts": done.counts}
        about |= {"piece": to_plain(done.piece), "faults": done.faults, "seconds": done.seconds}
        text = json.dumps(about)
        said = {b"mainstem": text.encode(), b"sha256": checksum(text, done.states).encode()}
        if done.rows:
            rows = pyarrow.concat_tables(done.rows).replace_schema_metadata(said)
            written(self.folder / "rows" / self.shard / name, lambda half: pyarrow.parquet.write_table(rows, half))
        blobs = [
            save({k: v.clone(memory_format=torch.contiguous_format) for k, v in state.items()}) for state in done.states.values()
        ]
        names, sites = [k for k, _ in done.states], [s for _, s in done.states]
        kinds = pyarrow.string(), pyarrow.string(), pyarrow.large_binary()
        columns = [pyarrow.array(c, kind) for c, kind in zip((names, sites, blobs), kinds, strict=True)]
        table = pyarrow.table(columns, names=["measure", "site", "state"]).replace_schema_metadata(said)
        written(self.folder / "pieces" / self.shard / name, lambda half: pyarrow.parquet.write_table(table, half))

    def _begun(self) -> bool:
        """Whether a run was killed here before it had said what it is."""
        return {path.name for path in self.folder.glob("[!.]*")} <= {"examples.parquet"}

    def _same(self, before: dict[str, Any], survey: Survey) -> None:
        now = json.loads(json.dumps(self.identity))
        if said := differences(before, now):
            where = _first_other(self.folder / "examples.parquet", survey) if before["data"] != now["data"] else ""
            raise InputError(
                f"{self.folder} holds a run of something else: {'; '.join(said)}{where}. Put it back as it was, or name another folder."
            )

    def _sweep(self) -> None:
        """Half-written files of killed runs; those of a run that is at it are young."""
        for path in self.folder.rglob(".*.tmp"):
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink(missing_ok=True)

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            kept = f"{len(self.done())} pieces are kept"
            raise InputError(
                f"the disk of {self.folder} is full ({error.strerror}): {kept}. Free some space and run it again; it goes on where it stopped."
            ) from error


def piece_files(folder: Path) -> dict[int, Path]:
    """The files of pieces in a folder, by number. Parameters: `folder`, of a run."""
    return {int(path.stem): path for path in sorted(folder.glob("pieces/*/*.parquet")) if path.stem.isdigit()}


def load_run(path: Path) -> dict[str, Any]:
    """What a run.json says. Parameters: `path`. Raises `InputError` for a file that is broken."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return {"identity": dict(said["identity"]), "pieces": int(said["pieces"])}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is broken ({type(error).__name__}: {error}): name another folder.") from error


def unread(folder: Path) -> list[tuple[str, str]]:
    """Rows of the data that could not be read: their places, and why. Parameters: `folder`, of a run."""
    import pyarrow.compute
    import pyarrow.parquet

    path = folder / "examples.parquet"
    rows = pyarrow.parquet.read_table(path, columns=["place", "fault"]) if path.is_file() else None
    if rows is None:
        return []
    rows = rows.filter(pyarrow.compute.is_valid(rows["fault"]))
    return list(zip(rows["place"].to_pylist(), rows["fault"].to_pylist(), strict=True))


def load_piece(path: Path) -> tuple[States, dict[str, Any]]:
    """The states of a piece and what is said of it. Parameters: `path`. Raises `InputError` for a file that is broken."""
    import pyarrow
    import pyarrow.parquet
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        table = pyarrow.parquet.read_table(path)
        text = table.schema.metadata[b"mainstem"].decode()
        rows = zip(*(table[name].to_pylist() for name in ("measure", "site", "state")), strict=True)
        states, about = {(measure, site): load(state) for measure, site, state in rows}, json.loads(text)
        if checksum(text, states) != table.schema.metadata[b"sha256"].decode():
            raise ValueError("its numbers are not those that were written")
        return states, about
    except (pyarrow.ArrowException, SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is broken ({error}): delete it and run the scan again, which does this piece anew.") from error


def _first_other(path: Path, survey: Survey) -> str:
    """The first row that is not as it was."""
    import pyarrow.parquet

    columns = ["place", "content", "fault"]
    if not path.exists():
        return ""
    before, now = pyarrow.parquet.read_table(path, columns=columns), survey.rows.select(columns)
    for k, (one, other) in enumerate(zip(before["content"], now["content"], strict=False)):
        if one.as_py() != other.as_py():
            return f"; the first row that differs is {now['place'][k].as_py()}"
    longer = max(before, now, key=len)
    return (
        f"; the first row that is new or gone is {longer['place'][min(len(before), len(now))].as_py()}"
        if len(before) != len(now)
        else ""
    )
