"""What is said where someone interrupts a command that can be gone on with."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SAID: list[str] = []


@contextmanager
def goes_on(text: str) -> Iterator[None]:
    """Inside, an interruption says this on stderr. Parameters: `text`, a line."""
    _SAID[:] = [text]
    try:
        yield
    except Exception:
        _SAID.clear()
        raise
    _SAID.clear()  # after an interruption it is still there, for `interrupted`


def interrupted(code: int) -> int:
    """Says what is to be said of an interruption, if anything, and gives the exit code back. Parameters: `code`."""
    if _SAID:
        print(f"\n{_SAID.pop()}", file=sys.stderr, flush=True)
    return code
