"""The work on one piece, the same in every engine."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mainstem.core import versions
from mainstem.measure import Measure

from ._batches import Batch, Batching, batches
from ._gather import Gather, Point, Related, States, choices_of
from ._rows import Example
from ._survey import Piece, refuse

Run = Callable[[Batch], Iterable[Any]]


@dataclass(frozen=True)
class Job:
    """What is done with data.

    Parameters: `load`, makes what a batch is run by, once in every process: a callable from a `Batch` to points, (site, values
    [batch, pos, width], which places count), and to Arrow tables of rows that are stored as they are; `batching`; `measures`;
    `pairs`, measures of two sites, each with the sites that it relates; `model`, what identifies the model, plain
    data; `choices`, what else the results depend on, plain data; `size`, about how many bytes are stored of a piece, 0 where nobody knows.
    """

    load: Callable[[], Run]
    batching: Batching
    measures: Sequence[Measure] = ()
    pairs: Sequence[Related] = ()
    model: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    size: int = 0

    def plain(self) -> dict[str, Any]:
        """All that the results depend on but the data and the model."""
        return {
            "measures": [choices_of(m) for m in self.measures],
            "pairs": [{**choices_of(pair), "sites": [list(both) for both in sites]} for pair, sites in self.pairs],
            "batch_tokens": self.batching.batch_tokens,
            "pack": self.batching.pack,
            "pad": self.batching.pad,
            **self.choices,
        }


@dataclass(frozen=True)
class Tick:
    """How far work has come since the last one. Parameters: `examples`, finished; `tokens`, run."""

    examples: int
    tokens: int


@dataclass(frozen=True)
class Done:
    """What a piece came to. Parameters: `piece`; `states`, by measure and site; `rows`, Arrow tables; `counts`; `faults`; `versions`."""

    piece: Piece
    states: States
    rows: tuple[Any, ...]
    counts: dict[str, int]
    faults: tuple[tuple[str, str], ...]
    versions: dict[str, str]
    seconds: float


def work(job: Job, run: Run, piece: Piece, examples: Sequence[Example], unreadable: str) -> Iterator[Tick | Done]:
    """Ticks, and then what the piece came to.

    Parameters: `job`; `run`, what it loaded; `piece`; `examples`, its own; `unreadable`, "stop" or "skip" those that no batch
    can be made of. Raises `InputError` for the first of them where it is to stop.
    """
    faults: list[tuple[str, str]] = []
    rows: list[Any] = []
    gather, tokens, finished, begun = Gather(job.measures, job.pairs), 0, 0, time.monotonic()

    def fault(example: Example, why: str) -> None:
        faults.append((example.place, why))
        if unreadable == "stop":
            refuse(faults, piece.examples)

    with torch.no_grad():
        for batch in batches(examples, job.batching, fault):
            gather.add(batch, _points(run(batch), rows))
            tokens += batch.tokens
            finished += batch.finished
            yield Tick(batch.finished, batch.tokens)
    if faults:
        yield Tick(len(faults), 0)
    counts = {"examples": finished, "tokens": tokens, "unreadable": len(faults)}
    yield Done(piece, gather.states(), tuple(rows), counts, tuple(faults), versions(), time.monotonic() - begun)


def _points(shown: Iterable[Any], rows: list[Any]) -> Iterator[Point]:
    """The points; tables of rows are put aside."""
    for one in shown:
        if isinstance(one, tuple):
            yield one
        else:
            rows.append(one)
