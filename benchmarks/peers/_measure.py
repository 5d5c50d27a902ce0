"""Time and memory of many ways to do the same, measured so that they can be compared."""

import gc
import time
from collections.abc import Callable
from statistics import median

from torch.profiler import ProfilerActivity, profile

from ._rows import TooBig, Way


def peak(work: Callable[[], object]) -> int:
    """The most bytes that torch's allocator held above what it held before, the result included: the lower of two runs.

    From the allocator's own record of every allocation, so what else the process did before does not matter. What Python, numpy
    or the BLAS allocate for themselves is not in it. Of two runs, since tensors in reference cycles stay until Python collects
    them, which happens now and then (one tool has 892 MB or 288). Parameters: `work`, which must run on this thread.
    """
    return min(_peak(work), _peak(work))


def _peak(work: Callable[[], object]) -> int:
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        kept = work()
    results = seen.profiler.kineto_results
    changes = sorted((e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]")
    del kept
    held = most = 0
    for _, change in changes:
        held += change
        most = max(most, held)
    return most


def seconds(way: Way) -> float:
    """CPU time of a way, without the run that it stands on. Parameters: `way`."""
    before = way.before()
    gc.collect()
    start = time.process_time()
    kept = way.do(before)
    taken = time.process_time() - start
    del kept
    return taken


def compare(
    ways: dict[tuple[str, str], Way], rounds: int, say: Callable[[str], None]
) -> dict[tuple[str, str], dict[str, object]]:
    """Megabytes and median CPU seconds of every way, or the reason why it was not run; in turn, so that noise falls on all alike.

    Parameters: `ways` by tool and row, of which the first is what the others are compared with, measured again before each
    tool; `rounds`, after the one that memory is measured in and that warms up; `say`, progress.
    """
    found: dict[tuple[str, str], dict[str, object]] = {}
    for key, way in ways.items():
        say(f"memory: {' '.join(key)}")
        try:
            found[key] = {"mb": peak(lambda way=way: way.do(way.before())) / 1e6}
        except TooBig as error:
            found[key] = {"refused": str(error)}
    able = {key: way for key, way in ways.items() if "mb" in found[key]}
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in able}
    base = next(iter(able))
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        tool = ""
        for key, way in able.items():
            if key[0] != tool and key != base:
                taken[base].append(seconds(able[base]))
            taken[key].append(seconds(way))
            tool = key[0]
    for key, times in taken.items():
        found[key] |= {"seconds": median(times), "times": times}
    return found
