"""Data through measures and scores: what is left of a run is done, piece by piece, and stored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstem.core import InputError, tracked

from ._local import local
from ._pace import Pace
from ._reader import Reader
from ._store import Store
from ._survey import Piece, Survey
from ._work import Done, Job, Tick


@dataclass(frozen=True)
class Summary:
    """What one call did. Parameters: `folder`; `pieces`, of this shard; `before`, those that were done already; `examples` and `tokens`, now."""

    folder: Path
    pieces: int
    before: int
    examples: int
    tokens: int


def scan(
    job: Job,
    survey: Survey,
    out: str | Path,
    engine: Any = local,
    resume: bool = True,
    shard: tuple[int, int] = (0, 1),
    unreadable: str = "stop",
) -> Summary:
    """Does what is left of a run, and stores each piece once it is done. `merge` gives the result.

    A run that was killed goes on where it stopped: a piece is done when its file is there, and files come whole by renaming.

    Parameters: `job`; `survey`, of the data; `out`, the run's folder; `engine`, what works through pieces: `local`, or `Ray(...)`;
    `resume`, False to refuse a folder with a run; `shard`, (i, n) for the i-th of n parts of the pieces, from 0; `unreadable`,
    "stop" or "skip" examples that no batch can be made of. Raises `InputError` where the folder holds a run of another model,
    other data or other choices, and where the disk is full, or too small: by the job's own estimate before anything is run, and by
    what the first piece took.
    """
    pieces = part(survey.pieces, shard)
    identity = {"model": job.model, "data": survey.about, "choices": job.plain() | {"piece": survey.piece}}
    store = Store(Path(out), identity, shard)
    store.enough(survey, len([p for p in pieces if p.number not in store.done()]), job.size)
    store.begin(survey, resume)
    done = store.done()
    left = [p for p in pieces if p.number not in done]
    expected = survey.tokens(job.batching.tokenize) if job.batching.tokenize and survey.about["size"] else 0
    expected = round(expected * sum(p.size for p in left) / max(1, survey.about["size"]))
    pace = Pace(sum(p.examples for p in pieces), sum(p.examples for p in pieces if p.number in done), expected)
    events = engine(job, Reader(survey), left, unreadable)
    for _ in tracked(_kept(events, store, pace, len(left)), pace.said, pace.of):
        pass
    return Summary(Path(out), len(pieces), len(pieces) - len(left), pace.examples, pace.tokens)


def part(pieces: Sequence[Piece], shard: tuple[int, int]) -> Sequence[Piece]:
    """The i-th of n runs of pieces. Parameters: `pieces`; `shard`, (i, n). Raises `InputError` where i is not below n."""
    i, n = shard
    if not 0 <= i < n:
        raise InputError(f"shard is (i, n) with i from 0 to n - 1, not {shard}.")
    return pieces[i * len(pieces) // n : (i + 1) * len(pieces) // n]


def _kept(events: Iterator[Tick | Done], store: Store, pace: Pace, left: int) -> Iterator[None]:
    """Stores what is done; an item for each example that is through."""
    yield from (None for _ in range(pace.before))
    checked = False
    for event in events:
        if isinstance(event, Done):
            store.keep(event)
            left -= 1
            if not checked:
                store.room(left)
                checked = True
        else:
            pace.add(event)
            yield from (None for _ in range(event.examples))
