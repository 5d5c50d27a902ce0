"""What patching found, stored and read again: every number, the table, the chart, the page of charts."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import mainstem as ms
import real
from mainstem.api._charting import Charting

CLEAN, CORRUPT = "The capital of France is", "The capital of Italy is"
ASKED = {
    "writes": lambda m: ms.activation_patching(m, CLEAN, CORRUPT, " Paris"),
    "all at once": lambda m: ms.activation_patching(m, CLEAN, CORRUPT, " Paris", positions="all", side="noise"),
    "estimates": lambda m: ms.attribution_patching(m, CLEAN, CORRUPT, " Paris", "head", recheck=5),
    "pairs": lambda m: ms.activation_patching(m, [CLEAN, "Rome is the"], [CORRUPT, "Oslo is the"], " Paris", positions=[-1, 0]),
}


class _Turn:
    def check(self) -> None: ...
    def say(self, said: str) -> None: ...


@pytest.mark.parametrize("name", ASKED)
def test_what_is_read_is_what_was_stored(name: str, tmp_path: Path) -> None:
    found: ms.PatchingResult = ASKED[name](real.model("default"))
    back = ms.PatchingResult.load(found.save(tmp_path / "p.json"))
    assert back.frame().equals(found.frame()) and len(back) == len(found)
    assert repr(back) == repr(found) and back.agreement == found.agreement and back.top(3) == found.top(3)
    assert torch.equal(back.clean, found.clean.double()) and torch.equal(back.corrupt, found.corrupt.double())
    assert back.choices == found.choices and back.provenance == found.provenance
    assert json.loads(json.dumps(back.to_dict())) == json.loads(json.dumps(found.to_dict()))
    again = ms.PatchingResult.load(back.save(tmp_path / "q.json"))
    assert (tmp_path / "p.json").read_bytes() == (tmp_path / "q.json").read_bytes() and repr(again) == repr(found)
    assert pl.read_parquet(back.save(tmp_path / "p.parquet")).equals(found.frame())


@pytest.mark.parametrize("name", ["estimates", "pairs"])
def test_the_charts_page_opens_it(name: str, tmp_path: Path) -> None:
    pytest.importorskip("altair")
    found: ms.PatchingResult = ASKED[name](real.model("default"))
    found.save(tmp_path / "p.json")
    page, turn = Charting(tmp_path / "p.json"), _Turn()
    listed = page.listed({}, turn)["items"]
    assert [(one["name"], one["kind"]) for one in listed] == [("p.json", "patching")]
    opened: dict[str, Any] = page.opened({"name": "p.json"}, turn)
    assert opened["picture"].startswith("data:image/svg+xml;base64,") and opened["count"] == len(found.frame())
    shown = opened["choices"]["measure"]["options"]
    assert shown == ["recovery", "effect", *(["exact"] if name == "estimates" else [])]
    pictures = {page.opened({"name": "p.json", "measure": by}, turn)["picture"] for by in shown}
    assert len(pictures) == len(shown)
    if name == "pairs":
        assert opened["choices"]["number"]["options"] == ["1", "2"]
        assert page.opened({"name": "p.json", "number": "2"}, turn)["picture"] != opened["picture"]


def test_the_charts_page_opens_a_curve(tmp_path: Path) -> None:
    pytest.importorskip("altair")
    curve = ms.ablation_curve(ms.load("tiny"), [CLEAN, CORRUPT], resamples=0)
    curve.save(tmp_path / "c.json")
    page, turn = Charting(tmp_path), _Turn()
    assert [(one["name"], one["kind"]) for one in page.listed({}, turn)["items"]] == [("c.json", "curve")]
    opened = page.opened({"name": "c.json"}, turn)
    assert opened["choices"]["measure"]["options"] == list(curve.metrics) and opened["count"] == len(curve.frame())


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("{}", "is no result of patching that this version reads"),
        ("[", "cannot be read as a result of patching"),
        ('{"form": "patching 1"}', "is no whole result of patching: 'parts'"),
        ('{"form": "ablation curve 1"}', "is no result of patching"),
    ],
)
def test_other_files_are_refused(held: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(held)
    with pytest.raises(ms.InputError, match=said):
        ms.PatchingResult.load(tmp_path / "x.json")
    with pytest.raises(ms.InputError, match="cannot be read"):
        ms.PatchingResult.load(tmp_path / "none.json")
