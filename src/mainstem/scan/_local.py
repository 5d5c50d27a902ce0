"""One process, one piece after the other."""

from collections.abc import Iterator, Sequence

from ._reader import Reader
from ._survey import Piece
from ._work import Done, Job, Tick, work


def local(job: Job, reader: Reader, pieces: Sequence[Piece], unreadable: str) -> Iterator[Tick | Done]:
    """Works through pieces in this process. Parameters: `job`; `reader`; `pieces`; `unreadable`, "stop" or "skip"."""
    run = job.load() if pieces else None
    for piece in pieces:
        assert run is not None
        yield from work(job, run, piece, reader.examples(piece), unreadable)
