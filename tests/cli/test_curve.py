"""`mainstem curve`: the numbers of the library, files, and what it refuses."""

import json
from pathlib import Path

import polars as pl
import pytest

import mainstem as ms
from cli._typed import Typed, refusal

pytestmark = pytest.mark.usefixtures("load_once")
LINES = ["The capital of France is Paris.", "Once upon a time there was a girl.", "Hot is the opposite of cold."]
TINY = ("--model", "tiny")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("\n\n".join(LINES))
    return path


def test_what_is_printed_is_what_the_library_says(typed: Typed, data: Path) -> None:
    found = ms.ablation_curve(ms.load("tiny"), LINES, "head")
    said = typed("curve", data, *TINY, "--side", "head")
    assert (said.code, said.err) == (0, "")
    assert [line.split()[:4] for line in said.out.splitlines()] == [line.split()[:4] for line in repr(found).splitlines()]
    first = found.of()[0]
    assert f"{first['value']:.4f}  [{first['low']:.4f}, {first['high']:.4f}]" in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    record = json.loads(typed("curve", data, *TINY, "--side", "head", "--metric", "accuracy", "--json").out)
    assert [row["value"] for row in record["rows"]] == pytest.approx(found.values("accuracy"))


def test_choices_and_files(typed: Typed, data: Path, tmp_path: Path) -> None:
    files = {"--save": "c.json", "--csv": "c.csv", "--parquet": "c.parquet", "--svg": "c.svg", "--html": "c.html"}
    options = [word for option, name in files.items() for word in (option, tmp_path / name)]
    more = ("--norm", "final", "--places", "last", "--resamples", "50", "--seed", "2", "--alone", "--batch-tokens", "64")
    said = typed("curve", data, *TINY, *options, *more)
    assert said.code == 0 and all(f"wrote {tmp_path / name}" in said.err for name in files.values())
    held = ms.AblationCurve.load(tmp_path / "c.json")
    assert held.choices["norm"] == "final" and held.about["places"] == len(LINES) and not held.about["together"]
    assert pl.read_parquet(tmp_path / "c.parquet").equals(held.frame())


def test_what_cannot_be_is_refused_in_a_line(typed: Typed, data: Path, tmp_path: Path) -> None:
    assert refusal(typed("curve", data, *TINY, "--metric", "f1"), "there are loss, accuracy")
    assert refusal(typed("curve", data, *TINY, "--labels", "label"), "have no columns")
    assert refusal(typed("curve", tmp_path / "none.txt", *TINY), "there is no file")
    assert refusal(typed("curve", data, *TINY, "--stream", "other"), "no stream 'other'")
    assert refusal(typed("curve", data, *TINY, "--resamples", "1000000000"), "--resamples", "up to 100,000")
    assert refusal(typed("curve", data, *TINY, "--resamples", "1e9"), "--resamples", "up to 100,000")
    assert refusal(typed("curve", data, *TINY, "--length", "1"), "length=1 is too small", "two tokens")
    assert "[" not in refusal(typed("curve", "The capital of France", *TINY), "there is no file or folder")
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{}\n")
    assert "unreadable" not in refusal(typed("curve", bad, *TINY), "1 of 1 rows cannot be read", "leave them out")


def test_few_examples_come_with_a_caution(typed: Typed, data: Path) -> None:
    said = typed("curve", data, *TINY)
    assert said.code == 0 and "caution: 3 examples are few" in said.out
    assert json.loads(typed("curve", data, *TINY, "--json").out)["about"]["caution"].startswith("3 examples are few")
