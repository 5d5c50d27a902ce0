"""Scans that are killed by SIGKILL: run as a script with a folder, a number of random kills, a seed, and whether files are kept in place.

The libraries are loaded once; each attempt is a process of its own, forked from here. It is killed at every seam, which is before
each touch of its folder and in the middle of each file, and at random moments from its start to some pieces later.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import polars  # noqa: F401 - here, so that no attempt spends its time on it
import pyarrow.parquet
import safetensors.torch  # noqa: F401

from mainstem.scan import _store, source, survey
from scan import toy

pyarrow.array([None])  # imports pandas, where that is installed
MANY, FEW = 300, 12  # texts of a run that is killed at random moments, and of one that is killed at seams
TEXTS = toy.texts(MANY, seed=5)
STEP = 0.003  # seconds that a batch takes at least: what a model would take
TOUCHES = ("open", "os.mkdir", "os.rename", "os.remove")


def slowed() -> toy.Job:
    """The toy's work, at the pace of a small model."""

    def run(batch):
        time.sleep(STEP)
        yield from toy.run(batch)

    return toy.job(load=lambda: run)


def attempt(out: Path, texts: int) -> None:
    """One run, or what a kill leaves of it. Parameters: `out`; `texts`, how many of them."""
    toy.scan(slowed(), survey(source(TEXTS[:texts]), 150), out)


def in_place(place: Path, write) -> None:
    """A store with a fault: what is written grows in its place, and has stood there in half for a moment."""
    place.parent.mkdir(parents=True, exist_ok=True)
    half = place.with_name(".whole")
    write(half)
    data = half.read_bytes()
    for how, bytes_ in (("wb", data[:-1]), ("ab", data[-1:])):
        with place.open(how) as file:
            file.write(bytes_)


def forked(act: Callable[[], None]) -> int:
    """The process of something that has just begun. Parameters: `act`."""
    child = os.fork()
    if child == 0:
        act()
        os._exit(0)
    return child


def was_killed(child: int) -> bool:
    """Whether a process was killed, and did not end by itself. Parameters: `child`."""
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def ending_at(out: Path, seam: int) -> None:
    """One run that kills itself at a seam, by number. Parameters: `out`; `seam`."""
    numbers, written = count(), _store.written

    def touched(event: str, said: tuple) -> None:
        if (
            event in TOUCHES
            and isinstance(said[0], str | os.PathLike)
            and str(out) in os.fspath(said[0])
            and next(numbers) == seam
        ):
            die()

    def halved(place: Path, write: Callable[[Path], None]) -> None:
        def half(path: Path) -> None:
            write(path)
            if next(numbers) == seam:
                os.truncate(path, path.stat().st_size // 2)
                die()

        written(place, half)

    _store.written = halved
    sys.addaudithook(touched)
    attempt(out, FEW)


def at_seams(out: Path, again: bool) -> int:
    """How many seams a run has, killed at each in a folder of its own. Parameters: `out`; `again`, at one after another in one folder too."""
    for seam in count():
        if again:
            was_killed(forked(lambda: ending_at(out / "again", seam)))
        if not was_killed(forked(lambda: ending_at(out / f"{seam}", seam))):
            return seam


def pieces(out: Path) -> int:
    """How many there are. Parameters: `out`, of one run or several."""
    return len(list(out.glob("**/pieces/*/*.parquet")))


def start(out: Path) -> float:
    """How long a run takes before its first piece is done, on this machine as it is now. Parameters: `out`."""
    begun, child = time.monotonic(), forked(lambda: attempt(out, MANY))
    while not pieces(out):
        time.sleep(0.001)
    seconds = time.monotonic() - begun
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return seconds


def killed(out: Path, moment: float) -> bool:
    """Whether a run was still at work when it was killed. Parameters: `out`; `moment`, seconds after its start."""
    child = forked(lambda: attempt(out, MANY))
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    return was_killed(child)


def at_random(out: Path, kills: int, seed: int) -> tuple[int, int]:
    """How many runs were through in spite of it, and how many kills came after a piece. Parameters: `out`; `kills`; `seed`."""
    draw, done, run, fruitful = random.Random(seed), 0, 0, 0
    least = reach = 2 * start(out / "first") + 0.1
    while done < kills:
        before = pieces(out)
        if killed(out / f"{run}", draw.uniform(0, reach)):
            done += 1
            more = pieces(out) > before
            fruitful += more
            reach = max(least, reach / 1.5) if more else min(20 * least, reach * 1.2)  # a busy machine begins later
        else:
            run += 1
    return run, fruitful


def main(out: Path, kills: int, seed: int, faulty: bool) -> None:
    """Kills at seams, and as many at random moments as asked for. Parameters: as of the script."""
    if faulty:
        _store.written = in_place
    seams = at_seams(out / "seams", not faulty)
    print(seams, *(at_random(out / "random", kills, seed) if kills else (0, 0)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "in-place")
