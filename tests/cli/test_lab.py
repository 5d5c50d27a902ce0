"""`mainstem lab`: what is listed, run, swept, compared, and refused."""

import json
from pathlib import Path

import pytest

from cli._typed import Typed, refusal
from mainstem.cli import _complete
from mainstem.lab import recipes

pytest.importorskip("sklearn", reason="the extra lab is not installed")
QUICK = ("--set", "training.steps=3", "--set", "training.watch=1", "--seeds", "2")
TWO = ("--only", "wine, residual", "--only", "wine, plain")


def test_recipes_are_listed_with_their_questions(typed: Typed) -> None:
    said = typed("lab", "list")
    assert (said.code, said.err) == (0, "")
    assert all(f"{name}  " in said.out for name in recipes())
    assert said.out.count("?") >= len(recipes())
    assert max(map(len, said.out.splitlines())) <= 80
    listed = json.loads(typed("lab", "list", "--json").out)
    assert [one["name"] for one in listed] == list(recipes()) and "diabetes, plain" in listed[2]["variants"]


def test_a_recipe_runs_goes_on_and_is_compared(typed: Typed, tmp_path: Path) -> None:
    stored = tmp_path / "found.parquet"
    said = typed("lab", "run", "residual-table", *QUICK, *TWO, "--out", tmp_path / "runs", "--parquet", stored)
    assert said.code == 0, said
    words = " ".join(said.out.split())
    assert "wine, residual - wine, plain" in words and "mse" in words
    again = typed("lab", "run", "residual-table", *QUICK, *TWO, "--out", tmp_path / "runs", "--json")
    found = json.loads(again.out)
    assert [one["variant"] for one in found["variants"]] == ["wine, residual", "wine, plain"]
    assert found["comparisons"][0]["seeds"] == 2 and found["failed"] == []
    other = json.loads(typed("lab", "compare", stored, "--number", "r2", "--json").out)
    assert other["number"] == "r2" and [one["seeds"] for one in other["variants"]] == [2, 2]
    assert json.loads(typed("lab", "compare", stored, "--json").out) == found


def test_runs_that_fail_are_shown(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr("mainstem.lab._train_table.TableNet.points", fails)
    assert refusal(typed("lab", "run", "residual-table", *QUICK, *TWO), "all failed: RuntimeError: planted")


@pytest.mark.parametrize(
    ("recipe", "choice", "said"), [("resnet-norm", "images", "holds no images"), ("data-lane", "text", "no plain text")]
)
def test_data_that_cannot_be_read_stop_it_before_any_run(
    typed: Typed, tmp_path: Path, recipe: str, choice: str, said: str
) -> None:
    bad = tmp_path / "bad.jpg"
    asked = ("lab", "run", recipe, "--seeds", "1", "--out", tmp_path / "runs", "--set")
    assert "no " in refusal(typed(*asked, f"data.{choice}={bad}"), str(bad))
    bad.write_bytes(b"\xff\xd8\xff no image")
    line = refusal(typed(*asked, f"data.{choice}={bad}"), f"{bad}", said)
    assert "pickle" not in line and ".." not in line and not (tmp_path / "runs").exists()


def test_one_seed_has_no_interval_and_says_so(typed: Typed) -> None:
    said = typed("lab", "run", "residual-table", *QUICK[:-1], "1", *TWO)
    assert said.code == 0 and "nan" not in said.out and said.out.count("one value, no interval") == 2, said
    assert "Holm" not in said.out, "there is nothing to compare"


def test_a_sweep_is_a_grid(typed: Typed) -> None:
    axes = ("--axis", "training.steps=1,2", "--axis", "model.width=4")
    said = typed("lab", "sweep", "residual-table", *axes, "--set", "training.lr=0.5", "--seeds", "2", "--json")
    assert [one["variant"] for one in json.loads(said.out)["variants"]] == ["steps=1, width=4", "steps=2, width=4"]


def test_variants_are_drawn(typed: Typed, tmp_path: Path) -> None:
    pytest.importorskip("altair")
    said = typed("lab", "run", "residual-table", *QUICK, *TWO, "--svg", tmp_path / "found.svg")
    assert said.code == 0, said
    drawn = (tmp_path / "found.svg").read_text(encoding="utf-8")
    assert "wine, residual" in drawn and "2 seeds" in drawn


def test_the_ledger_is_printed_and_written(typed: Typed, tmp_path: Path) -> None:
    said = typed("lab", "run", "residual-table", *QUICK, *TWO, "--parquet", tmp_path / "found.parquet")
    assert said.code == 0, said
    page = typed("lab", "ledger", tmp_path).out
    assert page.startswith("# The ledger") and "### residual-table, small" in page
    typed("lab", "ledger", tmp_path, "--out", tmp_path / "ledger.md")
    assert (tmp_path / "ledger.md").read_text(encoding="utf-8").strip() == page.strip()
    rows = json.loads(typed("lab", "ledger", tmp_path, "--json").out)
    verdicts = {row["verdict"].split(" as")[0] for row in rows if row["ours"] or row["verdict"] == "not judged"}
    assert verdicts == {"confirmed", "not confirmed", "not judged"}, "shortened runs are not judged, what is exact is"


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (("run", "lane"), "there are data-lane"),
        (("run", "data-lane", "--set", "steps"), "write it as training.lr=0.01"),
        (("run", "data-lane", "--set", "steps=3"), "name it with its part"),
        (("run", "data-lane", "--only", "x"), "no variant 'x'"),
        (("run", "data-lane", "--set", "model.colour=3"), "no choice model.colour"),
        (("sweep", "data-lane", "--axis", "training.lr"), "write it as training.lr=0.01"),
        (("sweep", "data-lane", "--axis", "training.optimizer=lion"), "choose sgd"),
        (("compare", "none.parquet"), "none.parquet"),
        (("ledger", "none"), "none"),
    ],
)
def test_what_cannot_be_done_is_one_line(typed: Typed, arguments: tuple[str, ...], fix: str) -> None:
    assert refusal(typed("lab", *arguments), fix)


def test_a_file_of_something_else_is_refused(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "other.parquet").write_bytes(b"PAR1")
    assert refusal(typed("lab", "compare", tmp_path / "other.parquet"), "holds no findings of the lab")


def test_recipes_are_offered_after_a_tab() -> None:
    assert list(_complete.recipes("")) == list(recipes())
    assert list(_complete.recipes("res")) == ["residual-table", "residual-text", "resnet-norm"]
