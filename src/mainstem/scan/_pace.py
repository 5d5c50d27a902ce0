"""How fast a scan goes, in words."""

import time

from ._work import Tick


class Pace:
    """Counts what is through.

    Parameters: `of`, how many examples there are; `before`, how many were through at the start; `expected`, about how many tokens are
    left, 0 where nobody knows.
    """

    def __init__(self, of: int, before: int, expected: int = 0) -> None:
        self.expected = expected
        self.of, self.before, self.examples, self.tokens, self.begun = of, before, 0, 0, time.monotonic()

    def add(self, tick: Tick) -> None:
        """Moves on. Parameters: `tick`."""
        self.examples += tick.examples
        self.tokens += tick.tokens

    def said(self) -> str:
        """Tokens a second and the time left, from this call's own examples."""
        seconds = time.monotonic() - self.begun
        if not self.examples or not seconds:
            return f"scanning about {self.expected:,} tokens" if self.expected else "scanning"
        left = seconds * (self.of - self.before - self.examples) / self.examples
        return f"scanning, {self.tokens / seconds:,.0f} tokens/s, {spell(left)} left"


def spell(seconds: float) -> str:
    """A time as people say it. Parameters: `seconds`."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    return f"{round(seconds / 60)} min" if whole < 90 * 60 else f"{seconds / 3600:.1f} h"
