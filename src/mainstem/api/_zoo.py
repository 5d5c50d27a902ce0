"""Every architecture of the installed transformers release verified, one process each, and the table of it."""

import hashlib
import json
import multiprocessing as mp
import multiprocessing.forkserver as forkserver
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mainstem.core import InputError, whole_file
from mainstem.models import KINDS, Architecture, Small, architectures, small
from mainstem.view import compatibility

RECORD, PAGE = "compatibility.json", "compatibility.md"
Build = Callable[[Architecture], Small]
_STARTING = 60.0  # seconds that the server may take to import what all need
# Libraries read these when the server imports them: nothing is downloaded, no thread is there when it is forked.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}


def verify_zoo(
    out: str | Path,
    kinds: Iterable[str] = (),
    only: Iterable[str] = (),
    fresh: bool = False,
    workers: int | None = None,
    limit: float = 120.0,
    build: Build = small,
) -> Iterator[dict[str, Any]]:
    """Builds, runs and verifies architectures; gives each one's row as soon as it is there, those of an earlier call first.

    Parameters: `out`, the folder that compatibility.json and compatibility.md are written to, whole after every row; `kinds`,
    of "causal", "masked", "seq2seq", "image" and "audio", all by default; `only`, names of classes or model types; `fresh`, do
    again what was done with the same versions; `workers`, processes at a time, as many as there are cores by default; `limit`,
    seconds for one architecture; `build`, makes the small module.

    Raises `InputError` for an unknown kind or name, or where nothing can be written.
    """
    asked = chosen(kinds, only)
    state = versions()
    table = Table.read(Path(out), state)
    done = [a for a in asked if not fresh and table.row(a).get("state") == state["state"]]
    table.write()
    yield from map(table.row, done)
    for row in _run([a for a in asked if a not in done], workers or os.cpu_count() or 1, limit, build):
        table.put(row | {"state": state["state"]})
        table.write()
        yield row


def chosen(kinds: Iterable[str], only: Iterable[str]) -> tuple[Architecture, ...]:
    """The architectures that were asked for. Parameters: `kinds` and `only`, as of `verify_zoo`."""
    kinds, only = tuple(kinds) or tuple(KINDS), tuple(only)
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise InputError(f"there is no kind {unknown[0]!r}: take {', '.join(KINDS)}.")
    found = architectures(kinds)
    for name in only:
        if not any(name in (a.name, a.model_type) for a in found):
            raise InputError(f"no architecture of this transformers release is called {name!r}.")
    return tuple(a for a in found if not only or a.name in only or a.model_type in only)


def versions() -> dict[str, str]:
    """What rows depend on: the versions, and `state`, which names them together with mainstem's sources."""
    import torch
    import transformers

    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    found = {"transformers": transformers.__version__, "torch": torch.__version__}
    return found | {"state": f"transformers {found['transformers']}, torch {found['torch']}, mainstem {digest.hexdigest()[:12]}"}


@dataclass
class Table:
    """The rows in a folder. Parameters: `folder`; `state`, of now; `rows`, by kind and class."""

    folder: Path
    state: dict[str, str]
    rows: dict[tuple[str, str], dict[str, Any]]

    @classmethod
    def read(cls, folder: Path, state: dict[str, str]) -> "Table":
        """What an earlier call left, less what this release of transformers has no longer. Parameters: `folder`, `state`."""
        known = {(a.kind, a.name) for a in architectures()}
        rows: list[dict[str, Any]] = []
        if (path := folder / RECORD).is_file():
            try:
                rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
            except (ValueError, KeyError) as error:
                raise InputError(f"{path} is no record of mainstem: move it away.") from error
        by_name = {(row["kind"], row["name"]): row for row in rows}
        return cls(folder, state, {key: row for key, row in by_name.items() if key in known})

    def row(self, architecture: Architecture) -> dict[str, Any]:
        """Its row, empty where there is none. Parameters: `architecture`."""
        return self.rows.get((architecture.kind, architecture.name), {})

    def put(self, row: dict[str, Any]) -> None:
        """Adds a row or replaces it. Parameters: `row`."""
        self.rows[row["kind"], row["name"]] = row

    def write(self) -> None:
        """Both files, each whole or not at all, in the order of kinds and names."""
        order = {kind: i for i, kind in enumerate(KINDS)}
        rows = sorted(self.rows.values(), key=lambda row: (order[row["kind"]], row["name"].lower()))
        record = {"versions": {k: v for k, v in self.state.items() if k != "state"}, "rows": rows}
        texts = {RECORD: json.dumps(record, indent=1, allow_nan=False) + "\n", PAGE: compatibility(record)}
        for name, text in texts.items():
            with whole_file(self.folder / name) as place:
                place.write_text(text, encoding="utf-8")


@dataclass
class _Running:
    """One process at work: its row so far, when it began, and whether it has been heard of."""

    process: BaseProcess
    row: dict[str, Any]
    start: float
    heard: bool = False

    def hear(self, pipe: Connection) -> None:
        """Takes in what it sends; its time counts from the first word."""
        try:
            self.row |= pipe.recv()
        except EOFError:
            self.process.join()
            self.row |= _lost(self.row, f"its process died with exit code {self.process.exitcode}")
        self.start, self.heard = self.start if self.heard else time.monotonic(), True


def _run(todo: list[Architecture], workers: int, limit: float, build: Build) -> Iterator[dict[str, Any]]:
    """Rows as they are finished, each from a process of its own that is ended at its time limit."""
    context = _server()
    running: dict[Connection, _Running] = {}
    waiting = todo[::-1]
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                one = waiting.pop()
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(theirs, one, build), daemon=True)
                process.start()
                theirs.close()
                running[ours] = _Running(process, asdict(one), time.monotonic() + _STARTING)
            yield from _finished(running, limit)
    finally:
        for one_left in running.values():
            one_left.process.kill()


def _server() -> Any:
    """Processes are forked from a server that has imported transformers already, so each of them starts at once."""
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["mainstem.api._zoo_work"])
    before = dict(os.environ)
    os.environ.update(_ENVIRONMENT)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return context


def _work(to: Connection, architecture: Architecture, build: Build) -> None:
    """Imported where it is run: this module itself must not import transformers."""
    from ._zoo_work import work

    work(to, architecture, build)


def _finished(running: dict[Connection, _Running], limit: float) -> Iterator[dict[str, Any]]:
    """Hears from the processes; gives the rows of those that are done, died or took too long."""
    patience = max(0.0, min(one.start + limit for one in running.values()) - time.monotonic())
    for heard in wait(list(running), patience):
        assert isinstance(heard, Connection)
        one = running[heard]
        one.hear(heard)
        if "status" in one.row:
            yield _closed(running, heard)
    for pipe, one in list(running.items()):
        if time.monotonic() - one.start >= limit:
            one.row |= _lost(one.row, f"not done after {limit:g} s")
            yield _closed(running, pipe)


def _closed(running: dict[Connection, _Running], pipe: Connection) -> dict[str, Any]:
    one = running.pop(pipe)
    one.process.kill()
    one.process.join()
    pipe.close()
    one.row.setdefault("seconds", round(time.monotonic() - one.start, 2))
    return {key: value for key, value in one.row.items() if key != "ran"}


def _lost(row: dict[str, Any], reason: str) -> dict[str, Any]:
    """What ran and was not verified is open; what did not come that far was not built."""
    return {"status": "open" if row.get("ran") else "unbuilt", "reason": reason}
