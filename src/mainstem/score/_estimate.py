"""What a score will take before it is computed, so that a large one is announced and a write at a time is opened."""

import logging
from collections.abc import Iterator, Sequence
from math import prod

from mainstem.find import Source, Write
from mainstem.stream import Pass, applies

_LOG = logging.getLogger("mainstem")
_BUDGET = 512 * 2**20
_LARGE = 2**30


def announce(run: Pass, level: str, keep_pos: bool) -> None:
    """Says so where the scores will take more than a gigabyte. Parameters: `run`; `level`; `keep_pos`, at every place."""
    taken = size(run, level, keep_pos)
    if taken > _LARGE:
        what = f"scores at level {level!r}" + (" of every position" if keep_pos else "")
        _LOG.warning(
            "%s will take about %.1f GB; score one position, or a coarser level, and open the top ones.", what, taken / 2**30
        )


def size(run: Pass, level: str, keep_pos: bool) -> int:
    """Bytes of the scores of a level. Parameters: `run`; `level`; `keep_pos`, one score for every place."""
    point = run.point(len(run.stream.points) - 1)
    places = point.shape[1] if point.ndim == 3 else 1
    rows = point.shape[0] * (places if keep_pos else 1)
    cells = 0
    for write in run.stream.writes:
        sources: tuple[Source, ...] = write.writer.sources if write.writer and applies(write, level) else ()
        cells += sum(parts(source, level, places) for source in sources) or 1
    return cells * rows * run.dtype.itemsize


def parts(source: Source, level: str, places: int) -> int:
    """How many parts a level takes what a source writes into. Parameters: `source`; `level`; `places`, of a prompt."""
    if source.attention is None:
        return prod(source.sizes)
    heads, dims = source.sizes
    return heads * {"edge": places, "dim": dims}.get(level, 1)


def batches(run: Pass, writes: Sequence[Write]) -> Iterator[list[Write]]:
    """Writes grouped so that a pass over one group captures at most half a gigabyte. Parameters: `run`; `writes`."""
    point = run.raw_point(len(run.stream.points) - 1)
    places = point.numel() // run.stream.width
    some: list[Write] = []
    held = 0
    for write in writes:
        wide = sum(4 * prod(s.sizes) if s.attention else s.sizes[-1] for s in write.writer.sources) if write.writer else 0
        taken = places * wide * point.element_size()
        if some and held + taken > _BUDGET:
            yield some
            some, held = [], 0
        some.append(write)
        held += taken
    if some:
        yield some
