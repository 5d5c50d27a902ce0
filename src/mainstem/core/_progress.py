"""How far long work has come: said by whoever loops, shown by whoever listens, on a terminal by default."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")
Hears = Callable[[str, int, int], None]  # what is done, how many of it are, out of how many (0 where nobody knows)
PATIENCE = 1.0  # seconds before a bar is shown: what ends sooner shows none


class _State(threading.local):
    """Of a thread: who listens, None for a bar on a terminal; whether a loop is being told of, in which others are silent; who may give work up."""

    hears: Hears | None = None
    busy: bool = False
    check: Callable[[], None] | None = None


_STATE = _State()


@contextmanager
def listening(hears: Hears) -> Iterator[None]:
    """Hears how far work has come, in this thread, in place of the bar on stderr.

    Parameters: `hears`, called with what is being done, how many of it are done, and out of how many.
    """
    before, _STATE.hears = _STATE.hears, hears
    try:
        yield
    finally:
        _STATE.hears = before


@contextmanager
def heeding(check: Callable[[], None]) -> Iterator[None]:
    """Work in this thread may be given up from outside, also in the middle of a forward pass.

    Parameters: `check`, called often; what it raises where nobody waits any more should be no `Exception`, since some of those are
    taken for an answer on the way.
    """
    before, _STATE.check = _STATE.check, check
    try:
        yield
    finally:
        _STATE.check = before


def go_on() -> None:
    """Gives up, by what `heeding` was told, where nobody waits any more: said at every call of a module that is watched, and between steps of other long work."""
    if _STATE.check is not None:
        _STATE.check()


def tracked(items: Iterable[T], what: str | Callable[[], str], of: int) -> Iterator[T]:
    """The same items, and whoever listens hears how many are done; of loops inside each other the outermost is told of.

    With nobody listening a bar is shown on stderr after a second, on a terminal and in a notebook only.

    Parameters: `items`; `what`, in a few words, or what says them anew after each item; `of`, how many items there are, 0 where
    that is not known.
    """
    if _STATE.busy:
        yield from items
        return
    _STATE.busy = True
    said = what if callable(what) else lambda: what
    shown = None if _STATE.hears or not _seen() else _Bar(said(), of)
    hears = _STATE.hears or (shown.hears if shown else _deaf)
    try:
        hears(said(), 0, of)
        for done, item in enumerate(items, 1):
            yield item
            hears(said(), done, of)
    finally:
        _STATE.busy = False
        if shown:
            shown.close()


def _deaf(what: str, done: int, of: int) -> None:
    pass


def _notebook() -> bool:
    """Whether this is a notebook's kernel, whose stderr is shown though it is no terminal."""
    return "ipykernel" in sys.modules and type(sys.stderr).__module__.startswith("ipykernel")


def _seen() -> bool:
    return _notebook() or bool(sys.stderr and sys.stderr.isatty())


class _Bar:
    """A bar on stderr that appears when the work has gone on for a while, and is gone when it ends."""

    def __init__(self, what: str, of: int) -> None:
        self.at, self.lock, self.closed = (what, 0, of), threading.Lock(), False
        self.shown: Any = None
        self.timer = threading.Timer(PATIENCE, self._show)
        self.timer.daemon = True
        self.timer.start()

    def hears(self, what: str, done: int, of: int) -> None:
        """Moves on. Parameters: `what`; `done`; `of`."""
        with self.lock:
            self.at = what, done, of
            if self.shown is not None:
                self.shown.update(self.shown.task_ids[0], description=what, completed=done, total=of or None)

    def close(self) -> None:
        """Takes the bar away."""
        self.timer.cancel()
        with self.lock:
            self.closed = True
            if self.shown is not None:
                self.shown.stop()

    def _show(self) -> None:
        with self.lock:
            if not self.closed:
                what, done, of = self.at
                self.shown = progress_bar(what, done, of or None)
                self.shown.start()


def progress_bar(what: str, done: int = 0, of: int | None = None) -> Any:
    """A rich progress on stderr with one task, not started. Parameters: `what`; `done`; `of`, None shows a spinner and no bar."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Bar(BarColumn):
        def render(self, task: Task) -> Any:
            return Text() if task.total is None else super().render(task)

    class Count(TextColumn):
        def render(self, task: Task) -> Text:
            return Text() if task.total is None else Text(f"{task.completed:,.0f} of {task.total:,.0f}", "dim")

    note: dict[str, Any] = {"force_jupyter": False, "force_terminal": True, "width": 80} if _notebook() else {}
    text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
    console = Console(stderr=True, **note)
    shown = Progress(SpinnerColumn("dots", "dim"), text, Bar(bar_width=24), Count(""), console=console, transient=True)
    shown.add_task(what, total=of, completed=done)
    return shown
