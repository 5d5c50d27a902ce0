"""The page of architectures: counts, and every row under how it ended."""

from mainstem.view import compatibility

CLOSED = {
    "kind": "causal", "name": "A", "status": "closed", "reason": "", "streams": {"enc": 4, "dec": 6}, "seconds": 1.5,
    "closure": ["float64", 0.0, 1e-12], "own": ["float32", 2e-7, 3e-5], "cut": 1e-15, "bypass": ["x"], "uncovered": [],
    "levels": ["head", "write"],
}  # fmt: skip


def other(name: str, status: str, reason: str) -> dict:
    """A row without numbers."""
    return {"kind": "image", "name": name, "status": status, "reason": reason, "seconds": 0.1}


ROWS = [CLOSED, other("B", "open", "a | b"), other("C", "streamless", "plain"), other("D", "unbuilt", "no library")]
PAGE = compatibility({"versions": {"transformers": "5", "torch": "2"}, "rows": ROWS})


def test_kinds_are_counted():
    assert "| causal language models | 1 | 1 | 0 | 0 | 0 |" in PAGE
    assert "| image classification | 2 | 0 | 1 | 1 | 1 |" in PAGE
    assert "| all | 3 | 1 | 1 | 1 | 1 |" in PAGE


def test_a_closed_row_has_its_numbers():
    assert (
        "| A | causal | enc 4, dec 6 | float64 0 (1e-12) | float32 2e-07 (3e-05) | 1e-15 | 1 | all | head, write | 1.5 |" in PAGE
    )


def test_every_row_stands_under_how_it_ended():
    titles = [
        "## Closed",
        "| A |",
        "## Not closed",
        "| B | image | a \\| b |",
        "## Without a stream",
        "| C |",
        "## Not built",
        "| D |",
    ]
    places = [PAGE.index(title) for title in titles]
    assert places == sorted(places)


def test_what_there_is_none_of_has_no_title():
    assert "## Not closed" not in compatibility({"versions": {}, "rows": [CLOSED]})
