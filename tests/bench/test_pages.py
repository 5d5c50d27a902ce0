"""The benchmark of pages says what was measured, ratios and failures included, and its browser counts what is drawn."""

from pathlib import Path
from typing import Any

import pytest
from benchmarks._browser import drawn
from benchmarks.pages import page

from view._chromium import chromium

FOUND: dict[str, Any] = {
    "rounds": 3,
    "load": 1.5,
    "date": "2026-01-01",
    "machine": "a machine",
    "versions": "python 3",
    "first": {"served": {"first paint": 90.4, "parts": 300.0}, "file": {"first paint": 50.0, "parts": 70.0}},
    "clicks": {"default": {"cell": [41.0, 30.0], "attention": [52.0, 33.0], "MLP": [1063.0, 40.0]}},
    "scroll": {
        "long": {
            "tokens": 2000,
            "points": 13,
            "shown": 4200.0,
            "cells": 230,
            "cpu": 8.25,
            "rest": {"median": 16.7, "p95": 16.8},
            "moved": {"median": 17.0, "p95": 33.4},
        }
    },
    "sizes": {
        "files": {
            "mainstem, trace.html": {"bytes": 200_000, "drawn": 300, "asked": 0},
            "peer, large": {"bytes": 1_300_000, "drawn": 40, "asked": 0},
            "peer, fetched": {"bytes": 20_000, "drawn": 0, "asked": 2},
            "peer, broken": {"failed": "TypeError: no"},
        }
    },
}


def test_the_section_holds_every_number_with_its_ratio():
    lines = page(FOUND).splitlines()
    assert "| `mainstem view` | 90 | 300 |" in lines and "| the offline file | 50 | 70 |" in lines
    assert "| default | 41, 30 | 52, 33 | 1,063, 40 |" in lines
    assert "| long | 2,000 | 13 | 17.0 | 33.4 | 16.7, 16.8 | 8.2 | 230 | 4.2 |" in lines
    assert "| peer, large | 1,300 | 6.50 x | 40 | 0 |" in lines
    assert "| peer, fetched | 20 | 0.10 x | nothing | 2 |" in lines
    assert "| peer, broken | - | - | it raised `TypeError: no` | - |" in lines


@pytest.mark.slow
def test_a_page_that_needs_a_network_is_seen_to_draw_nothing(tmp_path: Path):
    texts = {
        "own": "<ul><li>a<li>b</ul><svg><rect width=9 height=9 /></svg>",
        "fetched": '<div id=x></div><script src="http://elsewhere.test/draw.js"></script>',
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.html").write_text(f"<!doctype html>{text}", encoding="utf-8")
    with chromium() as browser:
        assert drawn(browser, (tmp_path / "own.html").as_uri()) == (3, 0)
        assert drawn(browser, (tmp_path / "fetched.html").as_uri()) == (0, 1)
