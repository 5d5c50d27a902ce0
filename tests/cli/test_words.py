"""`mainstem words`: what is printed, stored and completed, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import polars
import pytest
from typer.testing import CliRunner

import mainstem as ms
from cli._typed import PROMPT, Said, Typed, left_behind, refusal
from mainstem.cli import app

pytestmark = pytest.mark.usefixtures("load_once")
NEURON = "L3.mlp.N217"


def record(said: Said) -> Any:
    """What was printed as JSON, and nothing else was printed."""
    assert (said.code, said.err) == (0, ""), said
    return json.loads(said.out)


def said_of(one: dict[str, Any], end: str) -> list[str]:
    return [word["word"] for word in one[end]]


def test_one_component_is_a_table_of_words(typed: Typed) -> None:
    said = typed("words", NEURON, PROMPT, "--top", "3")
    assert (said.code, said.err) == (0, "")
    assert '  what is added raises and lowers most, after token 4, " is"' in said.out
    wanted = ms.load("default").trace(PROMPT).words(NEURON, 3, 3)
    rows = re.findall(r'^  "(.*?)" +([+-][\d.]+) +"(.*?)" +([+-][\d.]+)$', said.out, re.MULTILINE)
    assert [(up, down) for up, _, down, _ in rows] == [
        (up.replace("\n", "\\n"), down.replace("\n", "\\n")) for (up, _), (down, _) in zip(wanted.first, wanted.last, strict=True)
    ]
    assert [float(row[1]) for row in rows] == pytest.approx([value for _, value in wanted.first], abs=6e-4)
    assert "\x1b" not in said.out


def test_several_components_are_a_row_each(typed: Typed) -> None:
    said = typed("words", f"{NEURON}, L5.attn,L5.resid_post", PROMPT)
    assert re.findall(r"^  (L\S+) +\"", said.out, re.MULTILINE) == [NEURON, "L5.attn", "L5.resid_post"]
    assert re.search(r'^  L5.resid_post +" Paris"', said.out, re.MULTILINE)


def test_the_row_has_the_words_the_other_way_round(typed: Typed) -> None:
    written, row = (record(typed("words", NEURON, PROMPT, "--json", "--of", of))["words"][0] for of in ("write", "row"))
    assert said_of(written, "first") == said_of(row, "last") and said_of(written, "last") == said_of(row, "first")
    assert "the row of weights raises and lowers most" in typed("words", NEURON, PROMPT, "--of", "row").out


def test_several_prompts_are_one_table(typed: Typed, tmp_path: Path) -> None:
    prompts, files = (PROMPT, "The opposite of hot is"), (tmp_path / "x.parquet", tmp_path / "x.csv")
    said = typed("words", f"{NEURON},L2.attn", *prompts, "--top", "2", "--parquet", files[0], "--csv", files[1], "--json")
    assert said.err.splitlines() == [f"wrote {path}" for path in files]
    found = json.loads(said.out)
    assert [one["prompt"] for one in found] == list(prompts)
    assert found[0]["provenance"]["name"] == "default" and found[0]["token"] == " is"
    for frame in (polars.read_parquet(files[0]), polars.read_csv(files[1])):
        assert len(frame) == 2 * 2 * 2 * 2
        for i, one in enumerate(found):
            mine = frame.filter((polars.col("prompt") == i) & (polars.col("end") == "first"))
            assert mine["word"].to_list() == [word for each in one["words"] for word in said_of(each, "first")]


def test_another_place_and_another_stream(typed: Typed) -> None:
    first = record(typed("words", "L0.mlp", PROMPT, "--position", "0", "--json"))
    assert (first["position"], first["token"]) == (0, "The")
    last, without = (record(typed("words", "L3.mlp", PROMPT, "--json", *more)) for more in ((), ("--zero", "L0.mlp")))
    assert said_of(last["words"][0], "first") != said_of(without["words"][0], "first")


def test_classes_of_an_image(typed: Typed, seeing: Path, picture: Path) -> None:
    found = record(typed("words", "L1.mlp.N3", "--image", picture, "-m", seeing, "--json"))
    assert sorted(said_of(found["words"][0], "first")) == ["cat", "dog, hound", "fish"]
    assert (found["position"], found["token"]) == (None, None)


TYPED = {
    "no component": (["words"], ["COMPONENT", "mainstem words --help"]),
    "an empty component": (["words", " , ", PROMPT], ["there is no component", "L0.attn.H0"]),
    "no prompt": (["words", NEURON], ["give a prompt"]),
    "a layer that is not there": (["words", "L99.mlp", PROMPT], ["no write 'L99.mlp'", "L0.attn, L0.mlp"]),
    "a neuron that is not there": (["words", "L1.mlp.N999", PROMPT], ["no neuron 999", "768, counted from 0"]),
    "a row of a layer": (["words", "L1.mlp", PROMPT, "--of", "row"], ["L1.mlp has no row of its own", "L0.mlp.N0"]),
    "the prompt first": (["words", PROMPT, NEURON], ["no write 'The capital of France is'"]),
    "words of something else": (["words", NEURON, PROMPT, "--of", "key"], ["'--of'", "'write', 'row'"]),
    "a place behind the end": (["words", NEURON, PROMPT, "--position", "5"], ["no position 5", "5 tokens"]),
}


@pytest.mark.parametrize("name", TYPED)
def test_it_is_refused(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, fixes = TYPED[name]
    assert refusal(typed(*arguments), *fixes)
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("mainstem words L3", ["L3.attn", "L3.mlp"]),
        ("mainstem words L0.mlp,L3", ["L0.mlp,L3.attn", "L0.mlp,L3.mlp"]),
        ("mainstem words --model tiny L1", ["L1.attn", "L1.mlp"]),
        ("mainstem words L3.mlp hi --of r", ["row"]),
    ],
)
def test_the_shell_completes_labels(words: str, offered: list[str]) -> None:
    asked = {"_MAINSTEM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    assert CliRunner().invoke(app, [], prog_name="mainstem", env=asked).output.split() == offered
