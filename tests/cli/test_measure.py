"""`mainstem measure`, `scan` and `merge`: the numbers of the library, files, and what they refuse."""

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import mainstem as ms
from cli._typed import Said, Typed, refusal
from cli.test_process import COMMAND, environment
from scan.toy import until

pytestmark = pytest.mark.usefixtures("load_once")
LINES = ["The capital of France is Paris.", "Once upon a time there was a girl.", "Hot is the opposite of cold."]
TINY = ("--model", "tiny")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "lines.txt"
    path.write_text("\n\n".join(LINES))
    return path


def record(said: Said) -> Any:
    assert (said.code, said.err) == (0, ""), said
    return json.loads(said.out)


def test_the_table_holds_the_numbers_of_the_library(typed: Typed, data: Path) -> None:
    found = ms.measure(ms.load("tiny"), LINES)
    said = typed("measure", data, *TINY).out
    for site in found.sites:
        (line,) = [line for line in said.splitlines() if line.startswith(f"  {site} ")]
        assert f"{float(found['kurtosis'][site]['kurtosis']):.4g}" in line.split()
    assert "share above 4, 6, 10" in said and re.search(r"^\d+ tokens$", said, re.MULTILINE)
    rows = record(typed("measure", data, *TINY, "--json"))["rows"]
    assert len(rows) == len(found.frame()) and {row["site"] for row in rows} == set(found.sites)


def test_choices_reach_the_measures(typed: Typed, data: Path) -> None:
    choices = ("--choice", "outliers.thresholds=[1.0, 2.5]", "--choice", "outliers.sided=one")
    said = record(typed("measure", data, *TINY, "--by", "outliers", *choices, "--at", "writes", "--points", "L*.mlp", "--json"))
    assert said["choices"]["choices"]["measures"][0]["choices"] == {"thresholds": [1.0, 2.5], "sided": "one"}
    assert {row["site"] for row in said["rows"]} == {"L0.mlp", "L1.mlp"}


def test_a_scan_is_gone_on_with_and_merged_and_stored(typed: Typed, data: Path, tmp_path: Path) -> None:
    whole = record(typed("scan", data, *TINY, "--out", tmp_path / "run", "--json"))
    assert record(typed("scan", data, *TINY, "--out", tmp_path / "run", "--json")) == whole
    assert record(typed("merge", tmp_path / "run", "--json"))["rows"] == whole["rows"]
    for i in range(2):
        said = typed("scan", data, *TINY, "--out", tmp_path / f"s{i}", "--shard", f"{i}/2", "--piece", "20")
        assert said.code == 0 and said.out.startswith(f"shard {i}/2 is done")
    files = {"--save": "all.safetensors", "--parquet": "all.parquet", "--csv": "all.csv"}
    options = [word for option, name in files.items() for word in (option, tmp_path / name)]
    said = typed("merge", tmp_path / "s0", tmp_path / "s1", *options)
    assert said.code == 0 and all(f"wrote {tmp_path / name}" in said.err for name in files.values())
    assert len(pl.read_parquet(tmp_path / "all.parquet")) == len(whole["rows"])
    assert ms.Measurements.load(tmp_path / "all.safetensors").counts["examples"] == len(LINES)


def test_scores_are_stored_as_rows(typed: Typed, data: Path, tmp_path: Path) -> None:
    asked = ("--score", "dla", "--score", "logprob_increase:neuron:3")
    said = typed("scan", data, *TINY, "--out", tmp_path / "run", "--by", "rms", *asked)
    assert said.code == 0, said
    rows = ms.merge(tmp_path / "run").rows().collect()
    assert len(rows.filter(rows["by"] == "logprob_increase")) == 3 * len(LINES)
    for wrong in ("dla:head:x", "dla:head:0", "dla:head:3:4"):
        assert refusal(typed("scan", data, *TINY, "--out", tmp_path / "other", "--score", wrong), "BY:LEVEL:TOP")


@pytest.mark.parametrize("command", ["measure", "scan"])
def test_rows_that_cannot_be_read_are_named(typed: Typed, tmp_path: Path, command: str) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_text('{"text": "Hot"}\n{"text": 5}\nno json\n{"text": "The capital of France"}\n')
    more = ("--out", tmp_path / "run") if command == "scan" else ()
    assert refusal(typed(command, path, *TINY, *more), "2 of 4 rows cannot be read", "--unreadable skip")
    said = typed(command, path, *TINY, *more, "--unreadable", "skip")
    assert said.code == 0 and said.out.count("passed over: ") == 2 and "2 rows passed over" in said.out


def test_what_is_refused_leaves_the_folder_as_it_was(typed: Typed, data: Path, tmp_path: Path) -> None:
    assert refusal(typed("scan", data, *TINY, "--out", tmp_path / "run", "--score", "dla:foo"), "no level 'foo'")
    assert not (tmp_path / "run").exists() and typed("scan", data, *TINY, "--out", tmp_path / "run").code == 0
    (tmp_path / "run" / "run.json").write_text("{")
    for command in (("merge", tmp_path / "run"), ("scan", data, *TINY, "--out", tmp_path / "run")):
        assert refusal(typed(*command), "run.json is broken")


def test_rows_say_how_long_they_are(typed: Typed, data: Path) -> None:
    assert ", packed into rows of 64" in typed("measure", data, *TINY, "--pack").out
    assert ", packed into rows of 7" in typed("measure", data, *TINY, "--pack", "--length", "7").out
    assert "packed" not in typed("measure", data, *TINY).out


def test_an_interrupted_scan_says_that_it_goes_on(tmp_path: Path) -> None:
    text = tmp_path / "long.txt"
    text.write_text("\n".join(LINES * 3000))
    words = [*COMMAND, "scan", text, *TINY, "--piece", "2000", "--out", tmp_path / "run"]
    running = subprocess.Popen(
        list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    until(tmp_path / "run" / "pieces" / "0-of-1" / "00000000.parquet")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert err.strip() == f"interrupted: what is done is kept in {tmp_path / 'run'}, and the same command goes on from there."


def test_a_broken_image_is_named_without_an_address(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image at all")
    said = refusal(typed("measure", tmp_path, "--model", "default-image"), "a.png", "in no format that is known")
    assert "0x" not in said and "BytesIO" not in said


def test_erasers_of_data_are_listed_and_stored(typed: Typed, data: Path, tmp_path: Path) -> None:
    found = ms.load("tiny").erasers(data)
    said = typed("erasers", data, *TINY, "--top", "3")
    assert said.code == 0 and f"attention over {data}" in said.out.replace("\n", "")
    for kind in ("neuron", "head"):
        for label, score in found.top(3, kind):
            assert re.search(rf"^  {label} +{score:+.3f} ", said.out, re.MULTILINE)
        assert found.top(4, kind)[3][0] not in said.out
    files = {name: tmp_path / f"e.{name}" for name in ("parquet", "csv", "html")}
    told = typed(
        "erasers", data, *TINY, "--kind", "head", "--json", *(x for name, path in files.items() for x in (f"--{name}", path))
    )
    rows = json.loads(told.out)["rows"]
    assert [(row["component"], row["score"]) for row in rows] == found.top(10, "head")
    assert pl.read_parquet(files["parquet"]).equals(found.frame()) and len(pl.read_csv(files["csv"])) == len(found)
    assert "<html" in files["html"].read_text()


def test_the_measures_are_listed(typed: Typed) -> None:
    from mainstem.measure import measures, pairs

    said = typed("measure", "--list")
    assert said.code == 0 and all(re.search(rf"^{name} ", said.out, re.MULTILINE) for name in [*measures(), *pairs()])


def test_figures_and_the_outlier_report_are_written(typed: Typed, data: Path, tmp_path: Path) -> None:
    said = typed("figures", data, *TINY, "--png", tmp_path / "f.png", "--html", tmp_path / "f.html")
    assert (
        said.code == 0
        and (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
        and "<html" in (tmp_path / "f.html").read_text()
    )
    said = typed("outliers", data, *TINY, "--magnitude", "1", "--html", tmp_path / "o.html", "--parquet", tmp_path / "o.parquet")
    assert said.code == 0 and "LLM.int8's rule" in said.out
    assert "<html" in (tmp_path / "o.html").read_text() and len(pl.read_parquet(tmp_path / "o.parquet"))
    assert refusal(typed("figures", data, *TINY), "name where to draw")


REFUSED = {
    "no data": (("measure",), "name what is to be measured"),
    "data that are not there": (("measure", "nowhere.txt"), "there is no file or folder nowhere.txt"),
    "an unknown measure": (("measure", "lines.txt", "--by", "luck"), "no measure 'luck'"),
    "a choice that is none": (("measure", "lines.txt", "--choice", "luck"), "MEASURE.NAME=VALUE"),
    "an unknown choice": (("measure", "lines.txt", "--by", "rms", "--choice", "rms.luck=1"), "has no choice of luck"),
    "a shard that is none": (("scan", "lines.txt", "--out", "run", "--shard", "2/2"), "I/N"),
    "a shard's chart": (("scan", "lines.txt", "--out", "run", "--shard", "0/2", "--png", "x.png"), "no result of its own"),
    "a folder of no run": (("merge", "."), "is no folder of a run"),
    "another ending": (("measure", "lines.txt", "--save", "x.pt"), ".safetensors"),
    "text for images": (
        ("measure", "lines.txt", "--model", "default-image"),
        "default-image reads images: give a folder of images",
    ),
    "a choice of what is not asked for": (
        ("measure", "lines.txt", "--by", "rms", "--choice", "outliers.sided=one"),
        "choices of 'outliers', which is not asked for",
    ),
    "a column of text": (("measure", "lines.txt", "--column", "text"), "lines.txt has none: leave it out"),
    "erasers of no file": (("erasers", "nowhere.txt"), "there is no file or folder nowhere.txt"),
    "erasers of a picture": (("erasers", "--model", "default-image"), "no weights of this model can be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(typed: Typed, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(data.parent)
    words, fix = REFUSED[name]
    model = () if words[0] == "merge" or "--model" in words else TINY
    assert refusal(typed(*words, *model), fix)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lines.txt"], "nothing is left behind"


def test_another_run_in_the_same_folder_is_refused(typed: Typed, data: Path, tmp_path: Path) -> None:
    assert typed("scan", data, *TINY, "--out", tmp_path / "run").code == 0
    assert refusal(
        typed("scan", data, *TINY, "--out", tmp_path / "run", "--by", "rms"), "choices.measures", "name another folder"
    )
    assert refusal(typed("scan", data, *TINY, "--out", tmp_path / "run", "--no-resume"), str(tmp_path / "run"))
