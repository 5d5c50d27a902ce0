"""The picture of a trace: its bars are the writes, and they sum to the whole."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from mainstem.view import river
from view._sample import record

MINUS = "\u2212"
SVG = "{http://www.w3.org/2000/svg}"


def bars(svg: str) -> list[float]:
    """The drawn length of every bar, those on the left negative."""
    rects = [r.attrib for r in ET.fromstring(svg).iter(f"{SVG}rect") if r.attrib["class"].startswith("fill")]
    rects = [r for r in rects if (r["width"], r["height"]) != ("10", "10")]  # the legend's
    drawn = [(float(r["x"]), float(r["width"])) for r in rects]
    spine = min(max(x for x, _ in drawn), max(x for x, _ in drawn))
    return [-w if x + w < spine else w for x, w in drawn]


def texts(svg: str) -> list[str]:
    """All words that are drawn."""
    return [t.text or "" for t in ET.fromstring(svg).iter(f"{SVG}text")]


MADE = {"plain": record(), "contrast": record(3, against=True), "deep": record(12, seed=4)}


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
def test_the_bars_sum_to_the_whole(made: dict[str, Any]):
    values, drawn = [w["value"] for w in made["writes"]], bars(river(made))
    scale = max(map(abs, drawn)) / max(map(abs, values))
    assert len(drawn) == len(values)
    assert drawn == pytest.approx([v * scale for v in values], abs=1.0)  # one pixel is the least that is drawn
    assert sum(drawn) / scale == pytest.approx(made["whole"], abs=len(values) / scale)


def test_a_wrong_bar_would_be_seen():
    made = record()
    made["writes"][3]["value"] *= -1
    assert bars(river(made)) != bars(river(record()))


def test_every_label_value_and_sum_is_written():
    made = record()
    words, total = texts(river(made)), 0.0
    for write in made["writes"]:
        total += write["value"]
        assert write["label"] in words
        assert f"{write['value']:+.2f}".replace("-", MINUS) in words
        assert f"{total:.2f}".replace("-", MINUS) in words


def test_a_negative_stretch_has_a_colour_of_its_own():
    made = record()
    made["writes"][0]["value"] = -9.0
    made["whole"] = sum(w["value"] for w in made["writes"])
    kinds = [p.get("class") for p in ET.fromstring(river(made)).iter(f"{SVG}path")]
    assert "ebb" in kinds
    assert "ebb" not in [p.get("class") for p in ET.fromstring(river(record())).iter(f"{SVG}path")]


@pytest.mark.parametrize("text", ["<b>&\"'", "a\x00b\x0b", "\ud800", "\n\t ", "漢字🙂"])
def test_any_text_makes_sound_xml(text: str):
    made = record(2)
    made["target"]["text"] = made["prompt"] = made["writes"][0]["label"] = text
    drawn = "".join(ET.fromstring(river(made).encode()).itertext())
    assert all(c in drawn for c in text if c.isprintable() and not c.isspace())


def test_degenerate_traces_are_drawn():
    made = record(1)
    for write in made["writes"]:
        write["value"] = 0.0
    ET.fromstring(river(made | {"whole": 0.0}))
    ET.fromstring(river({"writes": [], "whole": 0.0, "target": {"id": 0, "text": "cat"}}))
    made["writes"][0]["value"] = float("nan")
    assert "NaN" not in river(made)
