"""How far work has come is said once, to whoever listens; a bar is shown on a terminal only, and only when it takes its time."""

import io
import sys
import time

import pytest

from mainstem.core import _progress, listening, tracked


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_items_are_the_same_and_every_one_is_told_of():
    heard = []
    with listening(lambda *said: heard.append(said)):
        assert list(tracked("abc", "reading", 3)) == ["a", "b", "c"]
    assert heard == [("reading", done, 3) for done in range(4)]


def test_what_is_said_may_change_and_the_end_may_be_unknown(monkeypatch):
    heard, done = [], []
    with listening(lambda *said: heard.append(said)):
        for n in tracked(range(2), lambda: f"at {len(done)}", 0):
            done.append(n)
    assert heard == [("at 0", 0, 0), ("at 1", 1, 0), ("at 2", 2, 0)]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(_progress, "PATIENCE", 0.0)
    done.clear()
    for n in tracked(range(2), lambda: f"at {len(done)}", 0):
        done.append(n)
        time.sleep(0.3)
    assert "at 0" in sys.stderr.getvalue()
    assert " of 0" not in sys.stderr.getvalue()


def test_loops_inside_another_are_silent_and_the_next_one_is_not():
    heard = []
    with listening(lambda *said: heard.append(said)):
        assert [list(tracked(range(n), "inside", n)) for n in tracked((1, 2), "outside", 2)] == [[0], [0, 1]]
        list(tracked((), "after", 0))
    assert [said[0] for said in heard] == ["outside"] * 3 + ["after"]


def test_a_loop_that_is_left_by_an_error_leaves_nothing_behind():
    heard = []
    with listening(lambda *said: heard.append(said)):
        with pytest.raises(ZeroDivisionError):
            for n in tracked((1, 0), "dividing", 2):
                1 / n
        list(tracked((), "after", 0))
    assert heard[-1] == ("after", 0, 0)
    list(tracked((1,), "unheard", 1))
    assert heard[-1] == ("after", 0, 0)


def test_a_bar_appears_where_it_takes_its_time(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(_progress, "PATIENCE", 0.0)
    for _ in tracked(range(2), "working hard", 2):
        time.sleep(0.3)
    shown = sys.stderr.getvalue()
    assert "working hard" in shown
    assert "1 of 2" in shown


def test_none_appears_for_what_is_quick_nor_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    list(tracked(range(2), "working", 2))
    assert sys.stderr.getvalue() == ""
    monkeypatch.setattr(_progress, "PATIENCE", 0.0)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    for _ in tracked(range(2), "working", 2):
        time.sleep(0.1)
    assert sys.stderr.getvalue() == ""


def test_the_command_line_shows_it_beside_its_spinner(monkeypatch):
    from mainstem.cli._terminal import busy

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with busy("taking it apart"):
        time.sleep(0.2)
        for _ in tracked(range(3), "scoring", 3):
            time.sleep(0.2)
    shown = sys.stderr.getvalue()
    assert "taking it apart" in shown
    assert "scoring" in shown
    assert "1 of 3" in shown
