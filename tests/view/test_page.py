"""The page: whole, alone, and deaf to what its tokens say."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mainstem.core import InputError
from mainstem.view import page, river, save_page
from view._sample import record

IMAGE, SCRIPT = "<img src=x onerror=document.title='owned'>", "</script><script>document.title='owned'</script>"
HOSTILE = [IMAGE, SCRIPT, "<!--", "]]>", "&lt;", "\u2028", "\ud83d"]
MAKES_MARKUP = r"innerHTML|insertAdjacentHTML|document\.write|eval\("
FETCHES = r"@import|url\(|<link|<iframe|fetch\(|XMLHttpRequest"
DATA = re.compile(r'<script type="application/json">(.*?)</script>', re.DOTALL)


class Reader(HTMLParser):
    """What a browser would see: the elements in order, and everything that they refer to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


def hostile() -> dict[str, Any]:
    """A trace in which every text of the model or the user is an attack."""
    made = record(3, tokens=HOSTILE)
    made["model"] = made["target"]["text"] = HOSTILE[0]
    for i, write in enumerate(made["writes"]):
        write["label"] = HOSTILE[i % len(HOSTILE)]
    for guess in made["prediction"]:
        guess["token"] = HOSTILE[1]
    made["heads"][0]["sources"][0]["token"] = made["neurons"][0]["first"][0] = HOSTILE[0]
    grid, parts = (answer for _, _, answer in made["look"]["answers"])
    grid["words"] = [HOSTILE[i % len(HOSTILE)] for i in range(len(grid["words"]))]
    grid["points"][1:3] = HOSTILE[:2]
    parts["token"], parts["rows"][0]["component"] = HOSTILE[0], HOSTILE[1]
    made["choices"] = {HOSTILE[0]: HOSTILE[1]}
    return made


@pytest.mark.parametrize("made", [record(), hostile()], ids=["plain", "hostile"])
def test_the_record_stands_in_the_page_once_and_whole(made: dict[str, Any]):
    found = DATA.findall(page(made))
    assert len(found) == 1
    assert json.loads(found[0]) == made


def test_the_page_holds_the_picture():
    assert river(record()) in page(record())


def test_nothing_is_fetched():
    html = page(record())
    assert set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\"\s]*", html)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(f"{FETCHES}|{MAKES_MARKUP}", html)
    assert not {"src", "href", "srcset", "action"} & set(Reader(html).attributes)
    assert "default-src 'none'" in html


def test_hostile_text_makes_no_element():
    plain, attacked = Reader(page(record(3, tokens=list("abcdefg")))), Reader(page(hostile()))
    assert attacked.tags == plain.tags
    assert not [name for name in attacked.attributes if name.startswith("on")]
    assert attacked.tags.count("script") == 2


def test_the_reader_sees_an_attack_that_works():
    assert "img" in Reader(HOSTILE[0]).tags
    assert "onerror" in Reader(HOSTILE[0]).attributes


def test_numbers_that_are_not_finite_become_null():
    made = record(1)
    made["lens"][0]["logprob"], made["look"]["answers"][0][2]["kl"][0][0] = float("-inf"), float("nan")
    found = json.loads(DATA.findall(page(made))[0])
    assert found["lens"][0]["logprob"] is found["look"]["answers"][0][2]["kl"][0][0] is None


def test_save_page_writes_the_page_and_nothing_else(tmp_path: Path):
    place = save_page(record(), tmp_path / "trace.html")
    assert place.read_text(encoding="utf-8") == page(record())
    assert os.listdir(tmp_path) == ["trace.html"]


@pytest.mark.parametrize("step", ["write", "move"])
def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str):
    place = tmp_path / "trace.html"
    place.write_text("before")
    write = Path.write_text

    def full(self: Path, text: str, **options: Any) -> int:
        write(self, text[:100], **options)
        raise OSError("no space left on device")

    def refused(*_: Any) -> None:
        raise OSError("refused")

    if step == "write":
        monkeypatch.setattr(Path, "write_text", full)
    else:
        monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(OSError, match=r"no space|refused"):
        save_page(record(), place)
    monkeypatch.undo()
    assert place.read_text() == "before"
    assert os.listdir(tmp_path) == ["trace.html"]


def test_a_place_that_cannot_be_written_is_named_with_the_fix(tmp_path: Path):
    with pytest.raises(InputError, match="mkdir -p"):
        save_page(record(), tmp_path / "none" / "trace.html")
    with pytest.raises(InputError, match="name a file in it"):
        save_page(record(), tmp_path)
