"""Charts as files and in notebooks: what they say they are, whole or not there, with nothing to fetch and nothing to run."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from mainstem.core import InputError
from mainstem.view import Chart
from view._tables import ABOUT, CHARTS, HOSTILE, TITLE, TOKENS, words, written

altair = pytest.importorskip("altair")
pytest.importorskip("vl_convert")
SVG = "{http://www.w3.org/2000/svg}"
DRAWN = {"svg", "g", "path", "text", "tspan", "rect", "line", "title", "defs", "linearGradient", "stop", "clipPath"}


@cache
def chart(name: str) -> Chart:
    return CHARTS[name]()


@cache
def form(name: str, ending: str) -> bytes:
    """A chart as the bytes of a file."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return chart(name).save(Path(folder) / f"chart{ending}").read_bytes()


@pytest.mark.parametrize("name", CHARTS)
def test_a_png_is_one_of_a_size_to_read(name):
    with Image.open(BytesIO(form(name, ".png"))) as picture:
        assert picture.format == "PNG"
        assert 500 <= picture.width <= 3200
        assert 300 <= picture.height <= 2400
        shades = picture.convert("L").histogram()
    assert sum(shades[:128]) > 1000, "no ink"


@pytest.mark.parametrize("name", CHARTS)
def test_an_svg_is_xml_with_text_as_text(name):
    root = ET.fromstring(form(name, ".svg"))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= DRAWN
    shown = " ".join(root.itertext()).replace("\u00a0", " ")
    assert TITLE in shown
    assert all(part in shown for part in re.findall(r"\S+", ABOUT))
    names = {attribute for element in root.iter() for attribute in element.attrib}
    assert not {name for name in names if name.startswith("on") or name.endswith("href")}
    if name in TOKENS:
        assert "</script>" in shown and "&amp;" in shown and "\"'" in shown


def test_marks_of_an_svg_say_their_values():
    root = ET.fromstring(form("layers", ".svg"))
    tips = {title.text for title in root.iter(f"{SVG}title")}
    sums = written().group_by("layer", "kind").agg(pl.col("value").sum())
    placed = {(5, "mlp"): "layer 5, MLP", (0, "attn"): "layer 0, attention", (None, "entry"): "layer entry, entry"}
    for layer, kind, value in sums.iter_rows():
        if (name := placed.pop((layer, kind), None)) is not None:
            assert f"{name}: {value:+.4f}".replace("-", "\u2212") in tips
    assert not placed


class Tags(HTMLParser):
    """Every tag of a page with its attributes, the scripts, and the text that is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag
        self.inside.setdefault(tag, []).append("")

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside[self._open][-1] += data


@pytest.mark.parametrize("name", CHARTS)
def test_a_page_fetches_nothing(name):
    page = Tags(form(name, ".html").decode())
    tags = [tag for tag, _ in page.tags]
    assert tags == ["html", "head", "meta", "meta", "meta", "title", "style", "body", "main", "noscript", "script", "script"]
    assert not [attrs for _, attrs in page.tags if {"src", "href", "srcset", "data", "action"} & set(attrs)]
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "http" not in policy and "unsafe-eval" not in policy and "*" not in policy
    assert not re.findall(r"url\(|@import", page.inside["style"][0])


@pytest.mark.parametrize("name", CHARTS)
def test_a_page_holds_the_chart_as_data(name):
    page = Tags(form(name, ".html").decode())
    held = page.inside["script"][0]
    assert not {"<", ">", "&"} & set(held)
    spec = chart(name).to_dict()
    del spec["$schema"]
    assert json.loads(held) == json.loads(json.dumps(spec))
    assert "http" not in held.replace("http://a.b/c", "")
    assert TITLE in page.inside["title"][0]


@pytest.mark.parametrize("name", CHARTS)
def test_json_is_the_specification(name):
    assert json.loads(form(name, ".json")) == json.loads(json.dumps(chart(name).to_dict()))


@pytest.mark.parametrize("name", ["heads", "neurons"])
@pytest.mark.parametrize("ending", [".png", ".svg", ".html", ".json"])
def test_the_same_chart_is_the_same_file(ending, name, tmp_path):
    again = CHARTS[name]().save(tmp_path / f"again{ending}")
    assert again.read_bytes() == form(name, ending)


def test_an_ending_in_capitals_and_a_larger_picture(tmp_path):
    place = chart("heads").save(tmp_path / "chart.PNG", scale=4)
    with Image.open(place) as large, Image.open(BytesIO(form("heads", ".png"))) as usual:
        assert large.width == pytest.approx(2 * usual.width, abs=2)


@pytest.mark.parametrize(("name", "said"), [("chart.gif", "use .png, .svg, .html, .json"), ("chart", "cannot draw as 'chart'")])
def test_an_unknown_ending_is_told_the_known_ones(name, said, tmp_path):
    with pytest.raises(InputError, match=re.escape(said)):
        chart("heads").save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_and_a_scale_that_is_none(tmp_path):
    with pytest.raises(InputError, match="mkdir -p"):
        chart("heads").save(tmp_path / "none" / "chart.svg")
    with pytest.raises(InputError, match="at most 20"):
        chart("heads").save(tmp_path / "chart.png", scale=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [".png", ".svg", ".html"])
def test_a_drawing_that_fails_leaves_what_was_there(ending, tmp_path, monkeypatch):
    place = tmp_path / f"chart{ending}"
    place.write_text("before")
    names = {".png": "vegalite_to_png", ".svg": "vegalite_to_svg", ".html": "javascript_bundle"}

    def fails(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(f"vl_convert.{names[ending]}", fails)
    with pytest.raises(MemoryError):
        chart("heads").save(place)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


@pytest.mark.parametrize("package", ["altair", "vl_convert"])
def test_an_absent_package_is_named_with_its_install_line(package, monkeypatch, tmp_path):
    made = chart("heads")
    monkeypatch.setitem(sys.modules, package, None)
    for ask in CHARTS.values() if package == "altair" else [lambda: made.save(tmp_path / "chart.svg"), made._repr_mimebundle_]:
        with pytest.raises(InputError, match=re.escape("pip install 'mainstem[view]'")):
            ask()
    assert not list(tmp_path.iterdir())


def test_json_needs_no_drawing(monkeypatch, tmp_path):
    made = chart("heads")
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert json.loads(made.save(tmp_path / "chart.json").read_text())["config"]["background"]


def test_a_newer_altair_is_drawn_with_what_there_is(monkeypatch):
    monkeypatch.setattr(altair, "SCHEMA_VERSION", "v99.1.0")
    assert ET.fromstring(chart("heads")._svg()).tag == f"{SVG}svg"


def test_nothing_is_imported_before_a_chart_is_made():
    code = "import sys, mainstem, mainstem.view, mainstem.api; print({'altair', 'vl_convert'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_a_notebook_gets_a_picture_with_names_of_its_own():
    shown = [chart(name)._repr_mimebundle_() for name in ("heads", "sources")]
    marks = [set(re.findall(r'\bid="([^"]+)"', each["text/html"])) for each in shown]
    used = [set(re.findall(r"url\(#([^)]+)\)", each["text/html"])) for each in shown]
    assert all(marks) and not marks[0] & marks[1]
    assert all(re.fullmatch(r"ms[0-9a-f]{8}-\d+", mark) for mark in marks[0] | marks[1])
    assert all(u <= m for u, m in zip(used, marks, strict=True))
    for each in shown:
        assert set(each) == {"text/html", "image/svg+xml", "text/plain"}
        assert "<script" not in each["text/html"]
        assert ET.fromstring(each["image/svg+xml"]).tag == f"{SVG}svg"


def test_a_chart_says_what_it_is():
    assert repr(chart("heads")).startswith(f"Chart({TITLE!r};")


def test_charts_can_be_put_side_by_side(tmp_path):
    both = Chart(chart("layers").altair | chart("heads").altair)
    root = ET.fromstring(both.save(tmp_path / "both.svg").read_bytes())
    assert " ".join(root.itertext()).count(TITLE) == 2


def test_hostile_text_is_hostile():
    assert {"</script>", "\n", "\x00\x1b"} <= set(HOSTILE) and "\ud800" in words([""])[0]
