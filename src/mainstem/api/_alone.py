"""A turn where no page waits."""


class Alone:
    """Answers are made for a file: no newer question comes, and nobody is told how far they are."""

    def check(self) -> None:
        """Goes on."""

    def say(self, what: str, done: int = 0, of: int = 0) -> None:
        """Goes on. Parameters: `what`; `done`; `of`, as of a turn of the page."""
