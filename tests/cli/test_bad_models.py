"""Folders that cannot be used: one line with the fix, exit code 2, nothing written."""

import shutil
from pathlib import Path

import pytest

from cli._folders import BROKEN, gpt2, pickled, truncate
from cli._typed import PROMPT, Said, Typed, left_behind, refusal


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_refused(typed: Typed, small: Path, tmp_path: Path, name: str) -> None:
    breaks, fixes = BROKEN[name]
    folder = Path(shutil.copytree(small, tmp_path / "model"))
    breaks(folder)
    assert refusal(typed("trace", PROMPT, "--model", folder, "--html", tmp_path / "page.html"), *fixes)
    assert left_behind(tmp_path) == ["model"]


@pytest.mark.parametrize("command", ["find", "verify", "lens"])
def test_every_command_refuses_it(typed: Typed, small: Path, tmp_path: Path, command: str) -> None:
    folder = Path(shutil.copytree(small, tmp_path / "model"))
    truncate(folder / "model.safetensors")
    assert refusal(typed(command, *(["-m", folder, PROMPT] if command == "lens" else [folder])), "half-written")


def test_whole_folders_are_taken(typed: Typed, small: Path, tmp_path: Path) -> None:
    assert typed("trace", PROMPT, "--model", small).code == 0
    folder = Path(shutil.copytree(small, tmp_path / "model"))
    pickled(folder)
    assert typed("trace", PROMPT, "--model", folder, "--pickles").code == 0
    (folder / "pytorch_model.bin").write_bytes(b"not a pickle")
    assert refusal(typed("trace", PROMPT, "--model", folder, "--pickles"), "pickled checkpoint is broken")


@pytest.mark.parametrize("where", ["/no/such/folder", "./nothing", "a/b/c"])
def test_a_missing_folder(typed: Typed, where: str) -> None:
    assert refusal(typed("trace", PROMPT, "--model", where), f"no folder {where}", "check the path")


def test_a_name_that_no_hub_knows(typed: Typed) -> None:
    assert refusal(typed("find", "no-such-model"), "cannot load 'no-such-model'", "./model")


def test_a_file_instead_of_a_folder(typed: Typed, small: Path) -> None:
    assert refusal(typed("find", small / "model.safetensors"), "is a file", "name the folder")


def test_a_tokenizer_of_another_model(typed: Typed, tmp_path: Path) -> None:
    folder = gpt2(tmp_path / "model", vocabulary=50)
    assert refusal(typed("trace", PROMPT, "-m", folder), "ids up to 4095", "only 50 embeddings", "model's own tokenizer")


def test_code_of_its_own_is_not_run(typed: Typed, plain: Path) -> None:
    assert refusal(typed("verify", plain), "code of its own", "--trust-remote-code")


def test_a_model_without_a_stream(typed: Typed, plain: Path) -> None:
    assert refusal(typed("verify", plain, "--trust-remote-code"), "No residual stream")


def test_a_refusal_can_fail() -> None:
    good = Said(2, "", "error: there is no folder x: check the path.\n")
    assert refusal(good, "check the path")
    for bad in (
        Said(1, "", good.err),
        Said(2, "half a result", good.err),
        Said(2, "", f"a warning\n{good.err}"),
        Said(2, "", "ValueError: x\n"),
        Said(2, "", "error: no.\n"),
    ):
        with pytest.raises(AssertionError):
            assert refusal(bad, "check the path")
