"""A scan that is killed again and again: run as a script with a folder, a number of kills, a seed, and whether files are kept in place.

The libraries are loaded once; each attempt is a process of its own, forked from here, and killed by SIGKILL at a random moment.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import polars  # noqa: F401 - here, so that no attempt spends its time on it
import pyarrow.parquet  # noqa: F401
import safetensors.torch  # noqa: F401

from mainstem.scan import _store, source, survey
from scan import toy

TEXTS = toy.texts(2000, seed=5)
STEP = 0.003  # seconds that a batch takes at least: what a model would take


def slowed() -> toy.Job:
    """The toy's work, at the pace of a small model."""

    def run(batch):
        time.sleep(STEP)
        yield from toy.run(batch)

    return toy.job(load=lambda: run)


def attempt(out: Path) -> None:
    """One run, or what a kill leaves of it."""
    toy.scan(slowed(), survey(source(TEXTS), 150), out)


def in_place(place: Path, write) -> None:
    """A store with a fault: what is written grows in its place, and has stood there in half for a moment."""
    place.parent.mkdir(parents=True, exist_ok=True)
    half = place.with_name(".whole")
    write(half)
    data = half.read_bytes()
    with place.open("wb") as file:
        file.write(data[:-1])
        file.flush()
        time.sleep(STEP * 5)
        file.write(data[-1:])


def forked(out: Path) -> int:
    """The process of a run that has just begun. Parameters: `out`."""
    child = os.fork()
    if child == 0:
        attempt(out)
        os._exit(0)
    return child


def killed(out: Path, moment: float) -> bool:
    """Whether a run was still at work when it was killed. Parameters: `out`; `moment`, seconds after its start."""
    child = forked(out)
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def pieces(out: Path) -> int:
    """How many there are. Parameters: `out`, of one run or several."""
    return len(list(out.glob("**/pieces/*/*.parquet")))


def start(out: Path) -> float:
    """How long a run takes before its first piece is done, on this machine as it is now. Parameters: `out`."""
    begun, child = time.monotonic(), forked(out)
    while not pieces(out):
        time.sleep(0.001)
    seconds = time.monotonic() - begun
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return seconds


def main(out: Path, kills: int, seed: int, faulty: bool) -> None:
    """As many kills as asked for, at moments from the start to some pieces later; a run that is through in spite of them is begun anew."""
    before_work = start(out / "first")
    if faulty:
        _store.written = in_place
    draw, count, run, fruitful = random.Random(seed), 0, 0, 0
    least = reach = 2 * before_work + 0.1
    while count < kills:
        before = pieces(out)
        if killed(out / f"{run}", draw.uniform(0, reach)):
            count += 1
            more = pieces(out) > before
            fruitful += more
            reach = max(least, reach / 1.5) if more else min(20 * least, reach * 1.2)  # a busy machine begins later
        else:
            run += 1
    print(count, run, fruitful)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "in-place")
