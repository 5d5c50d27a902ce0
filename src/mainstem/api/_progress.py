"""A progress bar for what takes more than two seconds."""

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 2.0  # seconds that nobody minds


def tracked(items: Iterable[T], total: int, text: str, shown: bool = True) -> Iterator[T]:
    """The same items; a bar on stderr, in a terminal or a notebook, once they have taken two seconds.

    Parameters: `items`; `total`, how many; `text`, what is going on; `shown`, False for no bar.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not shown or not (console.is_terminal or console.is_jupyter):
        yield from items
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=console, transient=True)
    task, begun, on = bar.add_task(text, total=total), time.monotonic(), False
    try:
        for item in items:
            yield item
            bar.advance(task)
            if not on and time.monotonic() - begun > PATIENCE:
                bar.start()
                on = True
    finally:
        if on:
            bar.stop()
