"""A bar for work that takes its time."""

import sys
import time
from types import TracebackType
from typing import Any

_PATIENCE = 2.0  # seconds


class Bar:
    """A bar on stderr, shown once the work has taken two seconds; nothing where stderr is no terminal.

    Parameters: `text`, what is done; `total`, how many steps there are.
    """

    def __init__(self, text: str, total: float) -> None:
        self.text, self.total, self.done = text, total, 0.0
        self.start, self.shown = time.monotonic(), None  # type: float, Any

    def step(self, by: float = 1.0) -> None:
        """Says that more was done. Parameters: `by`, how many steps."""
        self.done = min(self.done + by, self.total)
        if self.shown is None and time.monotonic() - self.start > _PATIENCE and sys.stderr.isatty():
            self.shown = _opened(self.text, self.total)
        if self.shown is not None:
            self.shown.update(self.shown.task_ids[0], completed=self.done)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.shown is not None:
            self.shown.stop()


def _opened(text: str, total: float) -> Any:
    from rich.console import Console
    from rich.progress import Progress

    found = Progress(console=Console(stderr=True), transient=True)
    found.add_task(text, total=total)
    found.start()
    return found
