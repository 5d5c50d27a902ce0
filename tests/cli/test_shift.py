"""`mainstem shift`: the numbers of the library for both questions, files, and what it refuses."""

import json
from pathlib import Path

import polars as pl
import pytest

import mainstem as ms
from cli._typed import PROMPT, Typed, refusal

pytestmark = pytest.mark.usefixtures("load_once")
LINES = ["The capital of France is Paris.", "Once upon a time there was a girl.", "Hot is the opposite of cold."]

TWO = ("--removed", "2")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("\n\n".join(LINES))
    return path


def test_shifts_are_what_the_library_says(typed: Typed, data: Path) -> None:
    found = ms.input_shift(ms.load("default"), LINES, [1, ms.zero("L3.mlp")], "full")
    asked = ("shift", data, "--removed", "1", "--zero", "L3.mlp", "--full")
    record = json.loads(typed(*asked, "--json").out)
    for one, want in zip(record["ratios"], found.ratios, strict=True):
        assert (one["removed"], one["write"]) == (want["removed"], want["write"])
        assert one["output"] == pytest.approx(want["output"], rel=1e-4, abs=1e-6)
    assert len(record["sites"]) == len(found.rows) and record["provenance"]["name"] == "default"
    said = typed(*asked).out
    for one in record["ratios"]:
        ratio = "-" if one["ratio"] is None else f"{one['ratio']:.2f}"
        row = [*one["removed"].split(), one["write"], f"{one['input']:.4f}", f"{one['output']:.4f}", ratio]
        assert any(line.split() == row for line in said.splitlines()), (row, said)


def test_few_places_are_refused_or_cautioned(typed: Typed, data: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.txt"
    one.write_text("a")
    for more in ((), ("--full",)):
        assert refusal(typed("shift", one, *more), "a Gaussian is fitted to two places or more", "has 1")
    assert "places are few for whole covariances of 192 features" in typed("shift", data, "--full").out
    assert "caution" not in typed("shift", data).out


def test_blocks_that_are_named_twice_are_removed_once(typed: Typed, data: Path) -> None:
    once, twice = (json.loads(typed("shift", data, *asked, "--json").out) for asked in (TWO, TWO * 2))
    assert twice["ratios"] == once["ratios"] and twice["about"] == once["about"]


def test_types_are_those_of_the_trace(typed: Typed, tmp_path: Path) -> None:
    want = ms.load("default").trace(PROMPT).type_change().to_dicts()
    record = json.loads(typed("shift", PROMPT, "--types", "--json").out)
    assert [one["write"] for one in record["rows"]] == [one["write"] for one in want]
    assert [one["ratio"] for one in record["rows"]] == pytest.approx([one["ratio"] for one in want], rel=1e-5)
    last = json.loads(typed("shift", PROMPT, "--types", "--position", "-1", "--json").out)["rows"]
    assert {one["position"] for one in last} == {-1} and last[0]["ratio"] != record["rows"][0]["ratio"]
    prompt = tmp_path / "prompt.txt"
    prompt.write_text(PROMPT)
    said = typed("shift", prompt, "--types").out
    assert f"{want[0]['ratio']:.3g}" in said and "L5" in said


def test_files_and_charts(typed: Typed, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("altair")
    for what, more in ((data, ()), (PROMPT, ("--types",))):
        files = {f"--{ending}": tmp_path / f"{len(more)}.{ending}" for ending in ("csv", "parquet", "png", "svg", "html")}
        said = typed("shift", what, *more, *(word for pair in files.items() for word in pair))
        assert said.code == 0 and all(f"wrote {path}" in said.err for path in files.values()), said
        assert len(pl.read_csv(files["--csv"])) == len(pl.read_parquet(files["--parquet"])) > 5
        assert files["--png"].read_bytes().startswith(b"\x89PNG") and b"<svg" in files["--svg"].read_bytes()


def test_what_cannot_be_is_refused_in_a_line(typed: Typed, data: Path, tmp_path: Path) -> None:
    assert refusal(typed("shift", tmp_path / "none.txt"), "there is no file")
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{}\n")
    assert "unreadable" not in refusal(typed("shift", bad), "1 of 1 rows cannot be read", "leave them out")
    assert refusal(typed("shift", data, "--removed", "6"), "of 6 blocks the first 1 to 5 can be removed")
    assert refusal(typed("shift", data, "--zero", "L3.mpl"), "Did you mean L3.mlp")
    assert refusal(typed("shift", PROMPT, "--types", "--full"), "leave out --removed, --zero and --full")
    assert refusal(typed("shift", data, "--position", "1"), "--position is of --types")
    assert refusal(typed("shift", PROMPT, "--types", "--position", "99"), "99")
