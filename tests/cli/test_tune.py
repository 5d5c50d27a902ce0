"""`mainstem tune` stores a lens, `mainstem lens --tuned` reads through it, and both say in a line what cannot be."""

import json
from pathlib import Path

import polars
import pytest
from typer.testing import CliRunner

import mainstem as ms
from cli._typed import PROMPT, Typed, left_behind, refusal
from mainstem.cli import app

pytestmark = pytest.mark.usefixtures("load_once")
FEW = ("--steps", "2", "--batch", "16", "--model", "tiny")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """A file of five lines, one of them empty."""
    path = tmp_path / "prompts.txt"
    path.write_text(f"{PROMPT} Paris.\nOnce upon a time\n\nThe opposite of hot is cold.\nA red ball and a blue one\n")
    return path


@pytest.fixture
def lens(typed: Typed, prompts: Path, tmp_path: Path) -> Path:
    """A lens of the smallest embedded model."""
    path = tmp_path / "lens.safetensors"
    assert typed("tune", prompts, "--out", path, *FEW).code == 0
    return path


def test_a_lens_is_stored_and_its_worth_shown(typed: Typed, prompts: Path, tmp_path: Path) -> None:
    path = tmp_path / "lens.safetensors"
    said = typed("tune", prompts, "--lines", "--out", path, *FEW, "--held", "0.3")
    note = "note: 36 tokens to learn from for a stream of width 48: the lens knows little else; give more.\n"
    assert (said.code, said.err) == (0, f"{note}wrote {path}\n")
    stored = ms.TunedLens.load(path, ms.load("tiny"))
    assert stored.choices["steps"] == 2
    rows = [line.split() for line in said.out.splitlines() if line.startswith(("  entry", "  L"))]
    assert [row[0] for row in rows] == list(stored.points)
    assert stored.held is not None
    assert [float(row[2]) for row in rows] == pytest.approx(stored.held[1].tolist(), abs=1e-3)


def test_lines_are_prompts_and_else_the_file_is_one_text(typed: Typed, prompts: Path, tmp_path: Path) -> None:
    at = ("tune", prompts, "--out", tmp_path / "lens.safetensors", *FEW, "--held", "0", "--json")
    whole, lines = (json.loads(typed(*at, *more).out) for more in ([], ["--lines"]))
    model = ms.load("tiny")
    wanted = [len(model.ids(line)) for line in prompts.read_text().splitlines() if line]
    assert lines["choices"]["tokens"] == sum(wanted)
    assert whole["choices"]["tokens"] == len(model.ids(prompts.read_text()))
    assert whole["provenance"] == model.provenance.to_dict()
    assert whole["points"][-1] == {"point": "L1.resid_post", "logit_lens": None, "tuned_lens": None, "last_step": 0.0}


def test_the_lens_command_reads_through_it(typed: Typed, lens: Path, tmp_path: Path) -> None:
    path = tmp_path / "lens.parquet"
    at = ("lens", PROMPT, "--model", "tiny")
    said = typed(*at, "--tuned", lens, "--json", "--parquet", path)
    found = json.loads(said.out)
    assert (found["lens"], found["tuned"]["steps"]) == ("tuned lens", 2)
    model = ms.load("tiny")
    wanted = model.trace(PROMPT).lens(tuned=ms.TunedLens.load(lens, model)).to_dict()
    assert found["kl"][0] == pytest.approx(wanted["kl"][0])
    assert set(polars.read_parquet(path)["lens"]) == {"tuned lens"}
    assert "\ntuned lens  likeliest token at every point, own norm" in typed(*at, "--tuned", lens).out
    assert "\nlogit lens  likeliest token at every point, own norm" in typed(*at).out


def test_a_lens_of_another_model_is_refused(typed: Typed, lens: Path) -> None:
    assert refusal(typed("lens", PROMPT, "--tuned", lens), "this lens is of", "fit one for this model")


def test_files_that_are_no_lens(typed: Typed, lens: Path, prompts: Path, tmp_path: Path) -> None:
    lens.write_bytes(lens.read_bytes()[:1000])
    at = ("lens", PROMPT, "--model", "tiny", "--tuned")
    assert refusal(typed(*at, lens), "broken or half-written")
    assert refusal(typed(*at, prompts), "broken or half-written")
    assert refusal(typed(*at, tmp_path / "none"), "'--tuned'", "does not exist")


def test_the_last_norm_goes_with_the_logit_lens_only(typed: Typed, lens: Path) -> None:
    assert refusal(typed("lens", PROMPT, "-m", "tiny", "--tuned", lens, "--norm", "final"), "leave norm out")


def test_what_cannot_be_learned_from(typed: Typed, prompts: Path, tmp_path: Path) -> None:
    empty, latin = tmp_path / "empty.txt", tmp_path / "latin.txt"
    empty.write_text(" \n\n")
    latin.write_bytes(b"caf\xe9")
    out = ("--out", tmp_path / "lens.safetensors")
    before = left_behind(tmp_path)
    assert refusal(typed("tune", empty, *out), "holds no text")
    assert refusal(typed("tune", latin, *out), "no text in UTF-8")
    assert refusal(typed("tune", tmp_path / "none.txt", *out), "does not exist")
    assert refusal(typed("tune", prompts, "--out", tmp_path / "lens.pt"), "does not end with .safetensors")
    assert refusal(typed("tune", prompts), "--out")
    assert refusal(typed("tune", prompts, *out, "--steps", "-1"), "'--steps'")
    assert refusal(typed("tune", prompts, *out, "--rate", "0", "-m", "tiny"), "give a rate above 0")
    assert left_behind(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("mainstem tune x --start r", ["regression"]),
        ("mainstem tune x --model ti", ["tiny"]),
        ("mainstem tu", ["tune"]),
    ],
)
def test_the_shell_completes(words: str, offered: list[str]) -> None:
    asked = {"_MAINSTEM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    assert CliRunner().invoke(app, [], prog_name="mainstem", env=asked).output.split() == offered
