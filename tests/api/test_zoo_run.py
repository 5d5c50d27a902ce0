"""The zoo's runs: one process each, a limit of time, taken up again, files whole."""

import json
from pathlib import Path
from typing import Any

import pytest

import planted_zoo
from mainstem.api import verify_zoo
from mainstem.core import InputError

TWO = ["LlamaForCausalLM", "GPT2LMHeadModel"]


def run(out: Path, build: Any, **more: Any) -> list[dict[str, Any]]:
    """The rows of two architectures."""
    return list(verify_zoo(out, only=TWO, kinds=["causal"], workers=1, build=build, **more))


def stored(out: Path) -> list[dict[str, Any]]:
    """The rows in the file."""
    return json.loads((out / "compatibility.json").read_text())["rows"]


def reasons(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Why each came out as it did."""
    return {row["name"]: row["reason"] for row in rows}


def test_each_architecture_has_a_process_of_its_own_and_is_not_done_twice(tmp_path):
    first = reasons(run(tmp_path, planted_zoo.tells_process))
    assert set(first) == set(TWO) and len(set(first.values())) == 2
    assert reasons(run(tmp_path, planted_zoo.tells_process)) == first
    assert not set(reasons(run(tmp_path, planted_zoo.tells_process, fresh=True)).values()) & set(first.values())


def test_rows_of_other_versions_are_done_again_and_others_stay(tmp_path):
    first = reasons(run(tmp_path, planted_zoo.tells_process))
    path = tmp_path / "compatibility.json"
    record = json.loads(path.read_text())
    for row in record["rows"]:
        row["state"] = "older"
    path.write_text(json.dumps(record))
    again = list(verify_zoo(tmp_path, only=TWO[:1], workers=1, build=planted_zoo.tells_process))
    assert again[0]["reason"] != first[TWO[0]]
    assert reasons(stored(tmp_path))[TWO[1]] == first[TWO[1]]


def test_what_takes_too_long_is_ended(tmp_path):
    rows = run(tmp_path, planted_zoo.sleeps, limit=1.0)
    assert {row["status"] for row in rows} == {"unbuilt"}
    assert set(reasons(rows).values()) == {"not done after 1 s"}
    assert all(row["seconds"] < 60 for row in rows)


def test_a_process_that_dies_is_a_row(tmp_path):
    assert set(reasons(run(tmp_path, planted_zoo.dies)).values()) == {"its process died with exit code 7"}


@pytest.mark.parametrize(
    ("build", "status", "said"),
    [
        (planted_zoo.adds, "closed", ""),
        (planted_zoo.plain, "open", "No residual stream"),
        (planted_zoo.broken, "unbuilt", "cannot be run: RuntimeError"),
    ],
)
def test_how_a_row_ends(tmp_path, build, status, said):
    row = next(verify_zoo(tmp_path, only=TWO[:1], workers=1, build=build))
    assert row["status"] == status
    assert row["reason"].startswith(said) and bool(row["reason"]) == bool(said)
    assert row["parameters"] > 0 and row["seconds"] > 0
    if status == "closed":
        assert row["closure"][1] <= row["closure"][2] and row["streams"]


def test_files_are_whole_after_every_row(tmp_path):
    rows = verify_zoo(tmp_path, only=TWO, kinds=["causal"], workers=1, build=planted_zoo.tells_process)
    next(rows)
    assert len(stored(tmp_path)) == 1
    assert "| causal language models | 0 | 0 | 0 | 0 | 1 |" in (tmp_path / "compatibility.md").read_text()
    rows.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["compatibility.json", "compatibility.md"]


@pytest.mark.parametrize(
    ("more", "said"),
    [({"kinds": ["tables"]}, "no kind 'tables'"), ({"only": ["Nothing"]}, "called 'Nothing'")],
)
def test_unknown_names_are_named(tmp_path, more, said):
    with pytest.raises(InputError, match=said):
        next(verify_zoo(tmp_path, **more))


def test_a_missing_folder_and_a_broken_record_are_named(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        next(verify_zoo(tmp_path / "nowhere", only=TWO[:1], build=planted_zoo.plain))
    (tmp_path / "compatibility.json").write_text("{")
    with pytest.raises(InputError, match="is no record of mainstem"):
        next(verify_zoo(tmp_path, only=TWO[:1], build=planted_zoo.plain))
