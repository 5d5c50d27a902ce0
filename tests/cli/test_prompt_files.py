"""Prompts that are in files: read where a file is named, and said on stderr, in every command that takes prompts."""

import json
from pathlib import Path

import pytest

from cli._typed import PROMPT, Typed, refusal

pytestmark = pytest.mark.usefixtures("load_once")
TINY = ("--model", "tiny")
COMMANDS = {
    "trace": ("trace", TINY),
    "lens": ("lens", TINY),
    "score": ("score", TINY),
    "queries": ("queries", (*TINY, "--top", "2")),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_of_text_is_the_prompt_that_it_holds(typed: Typed, tmp_path: Path, name: str) -> None:
    path = tmp_path / "a prompt.txt"
    path.write_text(f"{PROMPT}\n")
    command, options = COMMANDS[name]
    said, plain = (typed(command, one, *options, "--json") for one in (path, PROMPT))
    assert (said.code, plain.code, plain.err) == (0, 0, "")
    assert json.loads(said.out) == json.loads(plain.out)
    assert said.err.strip() == f"the prompt is what stands in the file {path}, {len(PROMPT)} characters"


def test_both_prompts_of_patch_may_be_files(typed: Typed, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("clean.txt", "corrupt.txt")]
    for path, text in zip(files, (PROMPT, "The capital of Spain is"), strict=True):
        path.write_text(text)
    said = typed("patch", *files, *TINY, "--positions", "-1", "--json")
    assert said.code == 0 and len(said.err.splitlines()) == 2
    plain = typed("patch", PROMPT, "The capital of Spain is", *TINY, "--positions", "-1", "--json")
    assert json.loads(said.out) == json.loads(plain.out)


def test_a_word_that_a_file_is_called_is_still_a_prompt(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Paris").write_text("something else")
    said = typed("lens", "Paris", *TINY, "--json")
    assert said.code == 0 and json.loads(said.out)["prompt"] == "Paris"
    assert said.err.strip().endswith('though a file here is called so; for what it says: "$(cat Paris)"')


def test_files_that_hold_no_prompt(typed: Typed, tmp_path: Path) -> None:
    kinds = {"empty.txt": b" \n", "odd.txt": b"\xff\xfe\x00", "x.png": b"", "rows.jsonl": b"{}"}
    fixes = {"empty.txt": "is empty", "odd.txt": "UTF-8", "x.png": "--image", "rows.jsonl": "a .txt file"}
    for name, held in kinds.items():
        (tmp_path / name).write_bytes(held)
        assert refusal(typed("trace", tmp_path / name, *TINY), fixes[name])


def test_a_file_of_texts_is_still_data_to_ablate(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("The capital of France is Paris.")
    said = typed("ablate", path, *TINY, "--zero", "L1.mlp", "--json")
    assert (said.code, said.err) == (0, "") and len(json.loads(said.out)["rows"]) == 2
