"""Many machines: a model in each of many Ray actors, one piece in the hands of each, the work of those that fail done by others.

Actors are used rather than Ray Data, because the unit that is done once, stored once and gone on with is the piece, not the block of rows.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mainstem.core import InputError

from ._reader import Reader
from ._rows import Example
from ._survey import Piece
from ._work import Done, Job, Run, Tick, work


@dataclass(frozen=True)
class Ray:
    """An engine on a Ray cluster: the one that this process is connected to, or that RAY_ADDRESS names, or one on this machine.

    Only this process reads the data and writes the run's folder. It gives an actor the next piece when the last one is back, so
    that no more than a piece for each actor is on its way. A piece whose actor or node dies is done by another actor; one that was on
    its way at several such deaths stops the run, since it is likely to be their cause.

    Parameters: `workers`, how many actors, None for one for each GPU of the cluster, or each `cpus` processors where there are no
    GPUs; `cpus`, that each of them is given, and as many threads; `gpus`, None for one where the cluster has any; `tries`, how often
    a piece may lose its actor.
    """

    workers: int | None = None
    cpus: float = 1
    gpus: float | None = None
    tries: int = 3

    def __call__(self, job: Job, reader: Reader, pieces: Sequence[Piece], unreadable: str) -> Iterator[Tick | Done]:
        """Works through pieces, in no order. Parameters: `job`; `reader`; `pieces`; `unreadable`, "stop" or "skip"."""
        if not pieces:
            return
        ray = _ray()
        ours = not ray.is_initialized()
        if ours:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
        crew = _Crew(ray, self, job, unreadable)
        try:
            yield from crew.through(reader, pieces)
        finally:
            crew.leave()
            if ours:
                ray.shutdown()


class _Worker:
    """What an actor is: a model, and the work on one piece after another."""

    job: Job
    run: Run

    def load(self, job: Job) -> None:
        """Loads the model: here and not at the start, so that its errors come back as what they are. Parameters: `job`."""
        self.job, self.run = job, job.load()

    def do(self, piece: Piece, examples: list[Example], unreadable: str) -> list[Tick | Done]:
        """All that the work on a piece gives. Parameters: `piece`; `examples`; `unreadable`."""
        return list(work(self.job, self.run, piece, examples, unreadable))


class _Crew:
    """Actors, what each of them is at, and what is left."""

    def __init__(self, ray: Any, how: Ray, job: Job, unreadable: str) -> None:
        self.ray, self.how, self.unreadable = ray, how, unreadable
        self.gpus = how.gpus if how.gpus is not None else float(ray.cluster_resources().get("GPU", 0) >= 1)
        self.at: dict[Any, tuple[Any, tuple[Piece, list[Example]] | None]] = {}  # by the reference of what an actor will answer
        self.back: deque[tuple[Piece, list[Example]]] = deque()  # pieces that lost their actors
        self.lost: dict[int, int] = {}
        try:
            self.job = ray.put(job)
        except TypeError as error:
            raise InputError(f"what the scan is to do cannot be sent to other processes: {error}") from error
        self.actor = ray.remote(_Worker).options(num_cpus=how.cpus, num_gpus=self.gpus, max_restarts=0)

    def through(self, reader: Reader, pieces: Sequence[Piece]) -> Iterator[Tick | Done]:
        """Works through pieces. Parameters: `reader`; `pieces`."""
        coming = iter(pieces)
        for _ in range(min(self._size(), len(pieces))):
            self._hire()
        left = len(pieces)
        while left:
            for answer in self.ray.wait(list(self.at))[0]:
                actor, had = self.at.pop(answer)
                found = self._answer(answer, had)
                if found is not None:
                    yield from found
                    left -= had is not None
                    self._next(actor, reader, coming)

    def leave(self) -> None:
        """Ends all actors."""
        for actor, _ in self.at.values():
            self.ray.kill(actor)

    def _size(self) -> int:
        has = self.ray.cluster_resources()
        fit = has.get("GPU", 0) // self.gpus if self.gpus else has.get("CPU", 0) // self.how.cpus if self.how.cpus else 1
        return self.how.workers or max(1, int(fit))

    def _hire(self) -> None:
        actor = self.actor.remote()
        self.at[actor.load.remote(self.job)] = actor, None

    def _next(self, actor: Any, reader: Reader, coming: Iterator[Piece]) -> None:
        """Gives an actor a piece that lost its own, or the next one; lets it go where there is none."""
        piece = None if self.back else next(coming, None)
        had = self.back.popleft() if self.back else None if piece is None else (piece, reader.examples(piece))
        if had is not None:
            self.at[actor.do.remote(*had, self.unreadable)] = actor, had

    def _answer(self, answer: Any, had: tuple[Piece, list[Example]] | None) -> list[Tick | Done] | None:
        """What an actor gave; None where it is no more, and another takes its place."""
        from ray.exceptions import RayError, RayTaskError

        try:
            return self.ray.get(answer) or []
        except RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else error from None
        except RayError as error:  # the actor, its worker or its node died, or its answer was lost with them
            number = -1 if had is None else had[0].number
            self.lost[number] = self.lost.get(number, 0) + 1
            if self.lost[number] >= self.how.tries * (1 if had else self._size()):
                what = (
                    "actors end before they have loaded the model"
                    if had is None
                    else f"piece {number} lost its actor {self.lost[number]} times"
                )
                raise InputError(
                    f"{what}: {error}. Is there too little memory? Then lower batch_tokens, or give each actor more."
                ) from error
            if had is not None:
                self.back.append(had)
            self._hire()
            return None


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError('the Ray engine needs ray: pip install "mainstem[scan]"') from error
    return ray
