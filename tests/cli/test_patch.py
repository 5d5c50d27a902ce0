"""`mainstem patch` and `mainstem ablate`: what they show, what they store, what they refuse."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import mainstem as ms
from cli._typed import PROMPT, Said, Typed, left_behind, refusal

pytestmark = pytest.mark.usefixtures("load_once")
OTHER = "The capital of Italy is"
PATCH, ABLATE = ("patch", PROMPT, OTHER, "-t", " Paris"), ("ablate", PROMPT)


def record(said: Said) -> Any:
    """What was printed as JSON, and nothing else was printed."""
    assert (said.code, said.err) == (0, ""), said
    return json.loads(said.out)


def test_patches_are_shown_as_they_are_in_the_json(typed: Typed) -> None:
    found = record(typed(*PATCH, "--json", "--top", "3"))
    first = found["parts"][0]
    assert (first["component"], first["token"]) == ("entry.embed", " Italy") and first["recovery"] == pytest.approx(1, abs=1e-4)
    assert found["choices"]["clean"] == [PROMPT] and found["provenance"]["name"] == "default"
    said = typed(*PATCH, "--top", "3").out
    for part in found["parts"]:
        row = rf"^  {part['component']} +{part['position']} \"{part['token']}\" +\+{part['effect']:.3f} +{100 * part['recovery']:.1f}%"
        assert re.search(row, said, re.MULTILINE), said
    assert f"{found['clean']:.4f}" in said and f"{found['corrupt']:.4f}" in said


def test_estimates_with_what_was_patched(typed: Typed, tmp_path: Path) -> None:
    pytest.importorskip("altair")
    files = [tmp_path / f"heads.{ending}" for ending in ("csv", "parquet", "png", "svg", "html")]
    options = [word for path in files for word in (f"--{path.suffix[1:]}", path)]
    said = typed(*PATCH, "--level", "head", "--attribution", "--recheck", "4", "--noise", *options)
    assert said.code == 0 and "rank correlation" in said.out and "patched" in said.out, said
    frame = pl.read_csv(files[0])
    assert len(frame) == 6 * 6 * 5 and len(frame) - frame["exact"].null_count() == 4
    assert frame.equals(pl.read_parquet(files[1]).cast(dict(frame.schema)))
    assert files[2].read_bytes().startswith(b"\x89PNG") and b"L3.attn.H5" in files[3].read_bytes()


def test_a_token_that_is_named_twice_is_patched_once(typed: Typed) -> None:
    once, twice = (record(typed(*PATCH, "--json", "--positions", where)) for where in ("-1", "-1,4"))
    assert twice["parts"] == once["parts"]


def test_an_edit_is_shown_both_ways(typed: Typed, tmp_path: Path) -> None:
    vector = tmp_path / "v.pt"
    torch.save(torch.ones(192), vector)
    more = ("--zero", "L3.mlp", "--scale", "L2.attn=0.5", "--steer", f"{vector}@L3.resid_post=0.1", "--generate", "3")
    found = record(typed(*ABLATE, *more, "--json"))
    assert found["edit"].startswith("zero L3.mlp + scale L2.attn by 0.5 + steer L3.resid_post by 0.1 x |13.86|")
    assert found["target"] == "' Paris'" and found["divergence"] > 0 and found["before"]["text"].startswith(" Paris")
    said = typed(*ABLATE, *more).out
    before, after = (found[name]["logprob"] for name in ("before", "after"))
    assert f"{before:.4f} -> {after:.4f}" in said and f"{found['divergence']:.4f} nats" in said


def test_over_a_file_the_loss_is_shown(typed: Typed, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("The capital of France is Paris.\n\nThe capital of Italy is Rome.\n", encoding="utf-8")
    found = record(typed("ablate", texts, "--mean", f"L1.mlp={texts}", "--json"))
    none, one = found["rows"]
    assert one["increase"] == pytest.approx(one["loss"] - none["loss"], abs=1e-5) and none["increase"] == 0
    said = typed("ablate", texts, "--mean", f"L1.mlp={texts}", "--csv", tmp_path / "loss.csv").out
    assert f"{none['loss']:.4f}" in said and f"{one['loss']:.4f}" in said
    assert pl.read_csv(tmp_path / "loss.csv")["loss"].to_list() == pytest.approx([none["loss"], one["loss"]])


REFUSED = {
    "prompts of different lengths": (["patch", PROMPT, f"I know: {OTHER}"], ["5 in the other", "--positions -1"]),
    "the same prompt twice": (["patch", PROMPT, PROMPT], ["both prompts are the same"]),
    "one prompt": (["patch", PROMPT], ["CORRUPT"]),
    "an unknown label": ([*PATCH, "--of", "L9.mlp"], ["no write 'L9.mlp'", "L5.mlp"]),
    "a label of another level": ([*PATCH, "--of", "L1.mlp", "--level", "head"], ["nothing at level 'head'"]),
    "a target of several tokens": (["patch", PROMPT, OTHER, "-t", " Zanzibar"], ["one token"]),
    "positions that are none": ([*PATCH, "--positions", "last"], ["each, all, or numbers"]),
    "a position behind the end": ([*PATCH, "--positions", "7"], ["no position 7", "5 tokens"]),
    "a recheck of nothing estimated": ([*PATCH, "--recheck", "3"], ["--recheck is of --attribution"]),
    "an empty prompt": (["ablate", "", "--zero", "L1.mlp"], ["the prompt is empty"]),
    "no edit": ([*ABLATE], ["there is no edit", "--zero L3.mlp"]),
    "edits that contradict": ([*ABLATE, "--zero", "L1.mlp", "--scale", "L1.mlp=2", "--zero", "L1"], ["contradict each other"]),
    "an edit of nothing": ([*ABLATE, "--zero", "L3.mpl"], ["no write 'L3.mpl'", "Did you mean"]),
    "a scale without a number": ([*ABLATE, "--scale", "L1.mlp"], ["L2.attn=0.5"]),
    "a scale that is none": ([*ABLATE, "--scale", "L1.mlp=much"], ["takes a number"]),
    "a vector that is not there": ([*ABLATE, "--steer", "no.pt@L1.mlp"], ["no file no.pt"]),
    "a vector of another kind": ([*ABLATE, "--steer", "no.txt@L1.mlp"], [".safetensors", "no.txt"]),
    "a vector nowhere": ([*ABLATE, "--steer", "no.pt"], ["FILE@LABEL"]),
    "means of a file that is not there": ([*ABLATE, "--mean", "L1.mlp=no.safetensors"], ["no file no.safetensors"]),
    "a target over a file": (["ablate", "texts.txt", "--zero", "L1.mlp", "-t", " Paris"], ["over a file", "no --target"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("A text.", encoding="utf-8")
    arguments, fixes = REFUSED[name]
    assert refusal(typed(*arguments), *fixes)
    assert left_behind(tmp_path) == ["texts.txt"]


def test_a_result_that_is_stored_is_read_again(typed: Typed, tmp_path: Path) -> None:
    said = typed(*PATCH, "--save", tmp_path / "p.json")
    assert said.code == 0 and "p.json" in said.out + said.err, said
    back = ms.PatchingResult.load(tmp_path / "p.json")
    assert back.top(1)[0][:1] == ("entry.embed",)
    refused = refusal(typed(*PATCH, "--save", tmp_path / "p.txt"))
    assert "does not end with .json" in refused
