"""`mainstem view`: it says its address, serves until it is interrupted, and refuses what cannot be."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli._typed import PROMPT, Typed, refusal
from mainstem.cli._files import not_missing

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


@pytest.mark.slow
def test_it_serves_a_prompt_of_a_file_until_it_is_interrupted(tmp_path: Path):
    (tmp_path / "prompt.txt").write_text(PROMPT, encoding="utf-8")
    call = [sys.executable, "-m", "mainstem", "view", tmp_path / "prompt.txt", "--model", "tiny", "--no-browser"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ran:
        assert ran.stdout
        address = ran.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/#prompt\?prompt=The\+capital\+of\+France\+is", address)
        assert "mainstem · tiny" in httpx.get(address.partition("#")[0]).text
        ran.send_signal(signal.SIGINT)
        assert ran.wait(20) == 130
        assert ran.stderr and "Traceback" not in ran.stderr.read()


def test_what_cannot_be_served_is_refused(typed: Typed, tmp_path: Path):
    assert refusal(typed("view", "--port", "70000", "--no-browser"), "port")
    (tmp_path / "image.bin").write_bytes(b"\xff\xfe\x00")
    assert refusal(typed("view", tmp_path / "image.bin"), "UTF-8")


@pytest.mark.parametrize("text", ['{"form": "patching 1", "mod', "{}", "", '{"form": "patching 1"}'])
def test_a_file_of_results_that_cannot_be_read_is_no_page(typed: Typed, tmp_path: Path, text: str):
    (tmp_path / "results.json").write_text(text, encoding="utf-8")
    assert refusal(typed("view", tmp_path / "results.json", "--model", "tiny", "--no-browser"), "results.json")


@pytest.mark.parametrize("name", ["nofile.json", "nofile.TXT", "no/folder"])
@pytest.mark.parametrize("command", [["view", "--no-browser"], ["trace"], ["shift", "--types"]])
def test_a_name_of_no_file_is_no_prompt(typed: Typed, command: list[str], name: str):
    assert refusal(typed(*command, name), f"there is no file {name}")


@pytest.mark.parametrize("prompt", ["The file x.json", "</s>", "word", "a/b or c", "e.g."])
def test_a_prompt_is_no_name_of_a_file(prompt: str):
    assert not_missing(prompt) == prompt
