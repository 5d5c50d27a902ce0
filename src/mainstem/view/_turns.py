"""Questions of the page, answered one after the other; one that a newer one has taken the place of is given up."""

import sys
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

from mainstem.core import MainstemError, heeding, listening

Asked = Mapping[str, Any]
Put = Callable[[dict[str, Any] | None], None]


class Superseded(BaseException):
    """Raised in an answer that nobody waits for any more; no `Exception`, so that nothing on the way takes it for what a module says."""


class Turn:
    """One question in the making. Parameters: `current`, whether it is still the newest of its lane; `put`, sends a line to the page."""

    def __init__(self, current: Callable[[], bool], put: Put) -> None:
        self._current, self._put = current, put

    def check(self) -> None:
        """Gives up, by `Superseded`, where a newer question has come or the page has gone. Called at every module of a forward pass
        that runs for the answer, and to be called between other steps that take time."""
        if not self._current():
            raise Superseded

    def say(self, what: str, done: int = 0, of: int = 0) -> None:
        """Tells the page how far the answer is, and checks.

        Parameters: `what`, in a few words; `done`, how many steps are; `of`, how many there are, 0 where that is not known.
        """
        self.check()
        self._put({"progress": {"what": what, "done": done, "of": of}})


Answer = Callable[[Asked, Turn], Any]


class Turns:
    """A counter for every lane of every page, and one thread, since there is one model."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], int] = {}
        self._numbers = count()
        self._thread = ThreadPoolExecutor(1, "mainstem view")

    def take(self, lane: tuple[str, str], answer: Answer, asked: Asked, put: Put) -> Callable[[], None]:
        """Queues a question. Returns what gives it up, for when nobody listens any more.

        Parameters: `lane`, page and kind: a newer question of the same lane supersedes this one; `answer`; `asked`; `put`, given
        every line of the reply, None at its end.
        """
        number = next(self._numbers)
        self._newest.pop(lane, None)  # the newest stands last
        self._newest[lane] = number
        while len(self._newest) > _LANES:
            del self._newest[next(iter(self._newest))]
        dropped = False

        def current() -> bool:
            return not dropped and self._newest.get(lane) == number

        def drop() -> None:
            nonlocal dropped
            dropped = True

        self._thread.submit(answered, answer, asked, Turn(current, put), put)
        return drop

    def close(self) -> None:
        """Gives up everything and takes no more."""
        self._newest.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)


_LANES = 1000  # the oldest is forgotten, and whoever still waits on it asks again


def answered(answer: Answer, asked: Asked, turn: Turn, put: Put) -> None:
    """Whatever comes of it, the page hears of it and the thread lives on. Parameters: as of `Turns.take`; `turn`."""
    try:
        turn.check()
        with listening(turn.say), heeding(turn.check):
            put({"answer": answer(asked, turn)})
    except Superseded:
        put({"superseded": True})
    except MainstemError as error:
        put({"error": str(error)})
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        put({"error": f"{type(error).__name__}: {error}. This is a fault of mainstem; the terminal shows where."})
    finally:
        put(None)
