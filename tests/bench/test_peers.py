"""The benchmark's own arithmetic: what it measures, and that a miss does not go unsaid."""

from typing import Any

import pytest
import torch
from benchmarks.peers._measure import compare, peak
from benchmarks.peers._page import page
from benchmarks.peers._rows import GIANT, TooBig, Way, fits

MB = 1_000_000


def test_peak_counts_what_is_held_at_once_and_what_is_returned():
    held = torch.zeros(MB // 4)

    def work() -> torch.Tensor:
        first = torch.zeros(3 * MB // 4)  # 3 MB, gone before the next
        del first
        return torch.cat([held, held]) + 1  # 2 MB each of two at once

    assert peak(work) == pytest.approx(4 * MB, rel=0.001)
    assert peak(lambda: held) == 0


def test_a_way_that_needs_gigabytes_is_named_and_not_run():
    with pytest.raises(TooBig, match="7 GB"):
        fits(7, int(GIANT) // 24)
    ways = {("bare", "forward"): Way(lambda _: 1), ("peer", "neurons"): Way(lambda _: fits(36864, 1024, 768))}
    found = compare(ways, 2, lambda said: None)
    assert found["peer", "neurons"] == {"refused": "116 GB"}
    assert found["bare", "forward"]["seconds"] >= 0


def test_the_work_gets_what_was_run_before_it_and_both_count_as_memory():
    seen: list[torch.Tensor] = []
    way = Way(lambda held: (seen.append(held), held), lambda: torch.zeros(MB // 4))
    found = compare({("bare", "forward"): way}, 1, lambda said: None)
    assert found["bare", "forward"]["mb"] == pytest.approx(1, rel=0.001)
    assert len(seen) == 3  # two runs for memory, one for time


def found(ours: float, peer: float, ours_mb: float = 5.0) -> dict[str, Any]:
    def record(tool: str, row: str, ratio: float, mb: float) -> dict[str, Any]:
        return {"size": "1x64", "tool": tool, "row": row, "ratio": ratio, "mb": mb}

    records = [record("bare", "forward", 1, 9), record("bare", "last_logits", 0.6, 4)]
    records += [record("mainstem", "last", ours, ours_mb), record("nnsight", "last", peer, 6)]
    env = {"versions": {"torch": "0"}, "records": records}
    return {"date": "2026-01-01", "machine": "a machine", "now": env, "then": {"versions": {}, "records": []}}


def test_the_page_says_what_is_missed():
    good = page(found(0.7, 0.8))
    assert "| every point and every write, last position | 0.75 | 0.70, 5 | - | - | - | 0.80, 6 |" in good
    assert "no peer is below mainstem" in good
    assert "0.80 is above the target of 0.75" in page(found(0.8, 0.9))
    assert "nnsight takes 0.86 of its time" in page(found(0.7, 0.6))
    assert "nnsight takes 0.75 of its memory" in page(found(0.7, 0.8, ours_mb=8.0))
