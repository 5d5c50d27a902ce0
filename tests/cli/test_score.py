"""`mainstem score`: rows that sum, best parts with their certificate, files, and what it refuses."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from cli._typed import PROMPT, Said, Typed, left_behind, refusal
from mainstem.cli._app import app

pytestmark = pytest.mark.usefixtures("load_once")

PARIS = ("score", PROMPT, "--target", " Paris")
NEURONS = (*PARIS, "--level", "neuron", "--by", "logprob_increase", "--norm", "final")


def record(said: Said) -> Any:
    """What was printed as JSON, and nothing else was printed."""
    assert (said.code, said.err) == (0, ""), said
    return json.loads(said.out)


@pytest.mark.parametrize("by", ["dla", "logprob_increase", "prob_increase", "path"])
def test_writes_are_all_shown_and_sum(typed: Typed, by: str) -> None:
    found = record(typed(*PARIS, "--by", by, "--json"))
    assert abs(sum(part["value"] for part in found["parts"]) - found["sum"]) <= 2 * found["bound"]
    assert max(abs(part["value"]) for part in found["parts"]) > 2 * found["bound"], "a part that is lost would go unnoticed"
    said = typed(*PARIS, "--by", by).out
    assert all(re.search(rf"^  {part['component']} +[+-]\d", said, re.MULTILINE) for part in found["parts"])
    assert re.search(r"^closed  \d+ parts sum to ", said, re.MULTILINE)


def test_the_best_neurons_are_certified_and_have_words(typed: Typed) -> None:
    found = record(typed(*NEURONS, "--top", "5", "--json"))
    values = [part["value"] for part in found["parts"]]
    assert values == sorted(values, reverse=True) and len(values) == 5 and found["next"] <= values[-1]
    assert found["choices"]["norm"] == "final" and found["choices"]["worked_out"] < found["choices"]["of"] / 10
    assert all(len(part["words"]) == 5 for part in found["parts"]) and found["provenance"]["name"] == "default"
    said = typed(*NEURONS, "--top", "5").out
    assert re.search(rf"^  {found['parts'][0]['component']} +\{values[0]:+.3f} ", said, re.MULTILINE)
    assert re.search(r"^certified  every other part is at most [+-]\d", said, re.MULTILINE)


def test_all_parts_of_a_level_sum_and_hold_the_best(typed: Typed, tmp_path: Path) -> None:
    best = record(typed(*NEURONS, "--top", "3", "--json"))["parts"]
    path = tmp_path / "all.parquet"
    said = typed(*NEURONS, "--all", "--top", "3", "--json", "--parquet", path, "--csv", path.with_suffix(".csv"))
    assert said.err.count("wrote") == 2
    found = json.loads(said.out)
    by_size = sorted((part for part in found["parts"] if ".N" in part["component"]), key=lambda part: -part["value"])
    assert [part["component"] for part in by_size[:3]] == [part["component"] for part in best]
    assert by_size[0]["value"] == pytest.approx(best[0]["value"], abs=found["choices"]["within"])
    stored = pl.read_parquet(path)
    assert len(stored) == len(found["parts"]) == len(pl.read_csv(path.with_suffix(".csv")))
    assert abs(stored["value"].sum() - found["sum"]) <= 2 * found["bound"]


def test_several_targets_are_alternatives_and_a_rival_makes_odds(typed: Typed) -> None:
    either = record(typed(*PARIS, "--target", " London", "--by", "logprob_increase", "--json"))
    assert "' Paris'" in either["choices"]["target"] and "' London'" in either["choices"]["target"]
    one, other = (record(typed("score", PROMPT, "-t", word, "--json"))["sum"] for word in (" Paris", " London"))
    odds = record(typed(*PARIS, "--against", " London", "--json"))
    assert odds["sum"] == pytest.approx(one - other, abs=1e-3)


def test_a_sequence_is_scored_behind_the_prompt(typed: Typed) -> None:
    found = record(typed("score", "The capital of France", "--sequence", "--target", " is Paris", "--json"))
    assert abs(sum(part["value"] for part in found["parts"]) - found["sum"]) <= 2 * found["bound"]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("every", [(), ("--all",)])
def test_the_best_of_every_prompt_have_words(typed: Typed, side: str, every: tuple[str, ...]) -> None:
    asked = ("score", "Hot", "Once upon a time there was", "--level", "head", "--top", "2", "--padding", side, *every)
    for found, prompt in zip(record(typed(*asked, "--json")), ("Hot", "Once upon a time there was"), strict=True):
        rows = {part["component"]: part for part in found["parts"]}
        alone = record(typed("score", prompt, "--level", "head", "--top", "2", *every, "--json"))
        assert len(found["best"]) == 2 and all(".H" in label for label in found["best"])
        assert [rows[label]["words"] for label in found["best"]] == [
            {part["component"]: part for part in alone["parts"]}[label]["words"] for label in alone["best"]
        ]
        assert all(len(rows[label]["words"]) == 5 for label in found["best"])


@pytest.mark.parametrize("width", [40, 60, 100])
def test_labels_and_numbers_are_whole_on_narrow_terminals(typed: Typed, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for options in ((), ("--level", "neuron", "--top", "3"), ("--caveats", "--top", "3")):
        said = typed(*PARIS, *options).out
        rows = [line for line in said.splitlines() if line.startswith("  L")]
        assert rows and all(re.match(r"  L\d\.\w+(\.N\d+)? +[+-]\d+\.\d\d", line) for line in rows), said


def test_prompts_and_images(typed: Typed, seeing: Path, picture: Path) -> None:
    assert len(record(typed("score", PROMPT, "The capital of Germany is", "--json"))) == 2
    assert "sum" in typed("score", "--image", picture, "-m", seeing, "--by", "logprob_increase").out


@pytest.mark.parametrize("level", ["write", "head", "edge", "neuron"])
def test_charts(typed: Typed, tmp_path: Path, level: str) -> None:
    paths = [tmp_path / f"chart.{ending}" for ending in ("html", "svg", "png")]
    options = [word for path in paths for word in (f"--{path.suffix[1:]}", path)]
    said = typed(*PARIS, "--level", level, "--top", "4", *options)
    assert said.code == 0, said
    html, svg, png = (path.read_bytes() for path in paths)
    assert b"<html" in html and b'src="http' not in html and b"<svg" in svg[:500] and png.startswith(b"\x89PNG")


def test_the_scores_are_listed_and_completed(typed: Typed) -> None:
    from mainstem.score import scores

    listed = typed("score", "--list")
    assert listed.code == 0 and all(re.search(rf"^{name} ", listed.out, re.MULTILINE) for name in scores())
    asked = {"_MAINSTEM_COMPLETE": "complete_bash", "COMP_WORDS": "mainstem score hi --by log", "COMP_CWORD": "4"}
    assert CliRunner().invoke(app, [], prog_name="mainstem", env=asked).output.split() == ["logprob_increase"]


REFUSED = {
    "an unknown score": (["--by", "luck"], ["no score 'luck'", "logprob_increase"]),
    "a choice that is not of the score": (["--norm", "final"], ["by='dla' has no choice of norm"]),
    "a rival without a target": (["--against", " Rome"], ["--target"]),
    "a sequence without a text": (["--sequence"], ["--sequence needs one --target"]),
    "the same twice": (["-t", " Paris", "-t", " Paris"], ["names ' Paris' twice"]),
    "a target held against itself": (["-t", " Paris", "--against", " Paris"], ["two different"]),
    "an unknown token": (["-t", " Zanzibar"], ["one token"]),
    "a tolerance of the best": (["--level", "neuron", "--within", "1"], ["--all"]),
    "a tolerance below zero": (["--within", "-1"], ["'--within'"]),
    "none of the best": (["--level", "neuron", "--top", "0"], ["'--top'"]),
    "a chart of two prompts": (["another prompt", "--html", "x.html"], ["one prompt"]),
    "a folder that is not there": (["--png", "no/x.png"], ["mkdir -p no"]),
    "another ending": (["--svg", "x.png"], [".svg"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    options, fixes = REFUSED[name]
    assert refusal(typed("score", PROMPT, *options), *fixes)
    assert left_behind(tmp_path) == []


def test_caveats_stand_beside_the_best(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "caveats.parquet"
    asked = (*PARIS, "--level", "head", "--by", "logprob_increase", "--caveats", "--top", "4")
    found = json.loads(typed(*asked, "--json", "--parquet", path, "--csv", path.with_suffix(".csv")).out)
    best = record(typed(*PARIS, "--level", "head", "--by", "logprob_increase", "--top", "4", "--json"))["parts"]
    assert [row["component"] for row in found] == [part["component"] for part in best]
    assert all(row["repair"] == pytest.approx(row["live"] - row["frozen"]) for row in found)
    assert len(pl.read_parquet(path)) == len(pl.read_csv(path.with_suffix(".csv"))) == 4
    said = typed(*asked).out
    assert all(re.search(rf"^  {row['component']} +\{row['dla']:+.2f} ", said, re.MULTILINE) for row in found)
    assert "kept" in said and max(map(len, said.splitlines())) <= 80
    assert "--caveats goes with" in refusal(typed(*asked, "--all"))


def test_ablation_here_and_the_path_of_a_write_are_choices(typed: Typed) -> None:
    choices = [
        record(typed(*PARIS, *more, "--json"))["choices"]
        for more in (("--by", "ablation", "--zeroed", "here"), ("--by", "path", "--base", "before"))
    ]
    assert choices[0]["zeroed"] == "here" and choices[1]["base"] == "before"
    assert "by='dla' has no choice of zeroed" in refusal(typed(*PARIS, "--zeroed", "here"))
