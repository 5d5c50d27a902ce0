"""The diagram of a map names every block, or the fold that it is in."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache

import pytest

from mainstem.find import Point, StreamMap, find
from mainstem.view import diagram
from zoo import ZOO

TIMES = "\u00d7"
SVG = "{http://www.w3.org/2000/svg}"


@cache
def mapped(name: str) -> StreamMap:
    """The map of a model of the zoo. Parameters: `name`."""
    module, args, kwargs = ZOO[name]()
    return find(module, *args, **kwargs)


def deep(layers: int = 14) -> StreamMap:
    """The map of a deep model, made from a shallow one's by repeating its last block. Parameters: `layers`."""
    found = mapped("gpt2")
    block = [p for p in found.main.points if p.block == 1]
    points = [found.main.points[0], *(moved(p, i) for i in range(layers) for p in block)]
    points = [replace(p, onward=found.main.points[0].onward) for p in points[:-1]] + points[-1:]
    paths = tuple(f"transformer.h.{i}" for i in range(layers))
    return replace(found, streams=(replace(found.main, points=tuple(points), blocks=paths),))


def moved(point: Point, block: int) -> Point:
    """A point of block 1 as it would be in another. Parameters: `point`; `block`."""
    writes = [
        replace(w, label=w.label.replace("L1.", f"L{block}."), module=w.module.replace("h.1.", f"h.{block}."), block=block)
        for w in point.writes
    ]
    return replace(point, block=block, name=point.name.replace("L1.", f"L{block}."), writes=tuple(writes))


def texts(svg: str) -> list[str]:
    """All words that are drawn."""
    return [t.text or "" for t in ET.fromstring(svg).iter(f"{SVG}text")]


def shown(words: list[str], kind: str) -> list[int]:
    """The blocks that are drawn or in a fold. Parameters: `words`; `kind`, the blocks' class."""
    found: list[int] = []
    for word in words:
        if one := re.fullmatch(rf"{kind} (\d+)", word):
            found.append(int(one[1]))
        if many := re.fullmatch(rf"{kind} (\d+) to (\d+)", word):
            found += range(int(many[1]), int(many[2]) + 1)
    return found


@pytest.mark.parametrize("name", ["gpt2", "t5", "resnet", "bert", "granite", "cifar", "neox"])
def test_every_block_write_and_point_is_drawn(name: str):
    found = mapped(name)
    words = texts(diagram(found))
    expected = [i for s in found.streams for i in range(len(s.blocks))]
    assert shown(words, found.main.block_kind) == expected
    for stream in found.streams:
        assert {w.label for w in (*stream.entry, *stream.writes)} <= set(words)
        assert not stream.name or stream.name in words
    assert any(w.startswith("holds: ") for w in words)


def test_a_long_model_is_folded():
    words = texts(diagram(deep()))
    assert "… 10 more like this …" in words
    assert shown(words, "GPT2Block") == list(range(14))
    assert not {"L2.attn", "L11.attn"} & set(words)


def test_blocks_that_differ_are_never_folded():
    found = deep()
    points = list(found.main.points)
    at = next(i for i, p in enumerate(points) if p.block == 6)
    odd = replace(points[at].writes[0], kind="mixer")
    points[at] = replace(points[at], writes=(odd, *points[at].writes[1:]))
    words = texts(diagram(replace(found, streams=(replace(found.main, points=tuple(points)),))))
    assert "GPT2Block 6" in words
    assert shown(words, "GPT2Block") == list(range(14))


def test_stages_show_their_shapes_and_transports():
    words = texts(diagram(mapped("resnet")))
    assert {f"8 of 16{TIMES}16", f"16 of 8{TIMES}8", f"32 of 4{TIMES}4"} <= set(words)
    assert "conv2d → batch_norm" in words
    assert words.count("read through relu") == 4


def test_cross_attention_is_linked_to_the_encoder():
    links = ET.fromstring(diagram(mapped("t5"))).iter(f"{SVG}path")
    assert sum(path.get("class") == "link" for path in links) == 1 + 2


def test_a_map_without_proof_says_so():
    assert "not proved" in texts(diagram(replace(mapped("gpt2"), proof=None)))


def test_names_are_text():
    drawn = diagram(replace(mapped("gpt2"), module="<script>&"))
    assert "<script>&" in texts(drawn)
    assert not list(ET.fromstring(drawn).iter(f"{SVG}script"))
