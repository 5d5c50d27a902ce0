"""Runs that are killed at any moment, full disks, and folders that hold what they should not."""

import errno
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from house._source import ROOT
from mainstem.core import InputError
from mainstem.scan import _store
from scan import killed, toy


def kill(folder: Path, kills: int, how: str = "whole") -> dict[Path, int]:
    """The folders of runs that were killed at every seam and so many times at random, and how many texts each is of."""
    said = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, killed.__file__, str(folder), str(kills), "1", how]
    done = subprocess.run(command, env=said, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    seams, runs, fruitful = map(int, done.stdout.split())
    assert seams >= 4 * killed.pieces(folder / "seams" / str(seams)) >= 8, "a file is made, halved, forced to the disk, renamed"
    assert fruitful >= kills / 5, "most kills came before the work had begun"
    ended = [folder / "seams" / name for name in (*["again"] * (how == "whole"), *map(str, range(seams)))]
    return dict.fromkeys(ended, killed.FEW) | {folder / "random" / str(i): killed.MANY for i in range(runs + 1) if kills}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What comes of runs that nobody kills, by how many texts they are of."""
    folder = tmp_path_factory.mktemp("whole")
    for texts in (killed.FEW, killed.MANY):
        killed.attempt(folder / str(texts), texts)
    return {texts: toy.result(folder / str(texts)) for texts in (killed.FEW, killed.MANY)}


@pytest.mark.slow
def test_kills_at_every_seam_and_at_any_moment_lose_nothing_and_count_nothing_twice(tmp_path, undisturbed):
    runs = kill(tmp_path, 12)
    for folder, texts in runs.items():
        killed.attempt(folder, texts)
        found = toy.result(folder)
        assert toy.same(found, undisturbed[texts])
        assert found.counts["tokens"] == sum(len(text.split()) for text in killed.TEXTS[:texts])


@pytest.mark.slow
def test_a_store_that_writes_in_place_is_caught(tmp_path, undisturbed):
    broken = 0
    for folder, texts in kill(tmp_path, 0, "in-place").items():
        try:
            killed.attempt(folder, texts)
            broken += not toy.same(toy.result(folder), undisturbed[texts])
        except (InputError, json.JSONDecodeError):
            broken += 1
    assert broken


def full(after: int):
    """A disk that is full after some files."""
    count = iter(range(10**6))
    real = _store._to_disk

    def to_disk(path: Path) -> None:
        if path.is_file() and next(count) >= after:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path)

    return to_disk


@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(tmp_path, monkeypatch, after):
    with monkeypatch.context() as patch:
        patch.setattr(_store, "_to_disk", full(after))
        with pytest.raises(InputError, match=f"is full .*: {max(0, after - 2)} pieces are kept"):
            toy.scanned(tmp_path / "run", toy.texts(100))
    assert not list(tmp_path.rglob("*.tmp"))
    toy.scanned(tmp_path / "run", toy.texts(100))
    toy.scanned(tmp_path / "whole", toy.texts(100))
    assert toy.same(toy.result(tmp_path / "run"), toy.result(tmp_path / "whole"))


def test_a_limit_of_the_system_is_met_by_the_real_writers(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(InputError, match="is full .*: 0 pieces are kept"):
            toy.scanned(tmp_path, toy.texts(100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    toy.scanned(tmp_path, toy.texts(100))
    assert toy.result(tmp_path).counts["examples"] == 100


def test_half_written_files_of_killed_runs_go_and_young_ones_stay(tmp_path):
    toy.scanned(tmp_path, toy.texts(30))
    old, young = (tmp_path / "pieces" / "0-of-1" / f".{name}.tmp" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * _store.STALE,) * 2)
    toy.scanned(tmp_path, toy.texts(30))
    assert not old.exists()
    assert young.exists()


def test_broken_and_strange_pieces_are_named(tmp_path):
    toy.scanned(tmp_path / "run", toy.texts(100))
    toy.scanned(tmp_path / "other", toy.texts(100), toy.job(batch_tokens=50))
    piece = tmp_path / "run" / "pieces" / "0-of-1" / "00000003.parquet"
    piece.write_bytes(piece.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"00000003.parquet is broken .* delete it"):
        toy.result(tmp_path / "run")
    piece.write_bytes((tmp_path / "other" / "pieces" / "0-of-1" / piece.name).read_bytes())
    with pytest.raises(InputError, match="is of another run: choices.batch_tokens was 40 and is 50"):
        toy.result(tmp_path / "run")
    piece.unlink()
    toy.scanned(tmp_path / "run", toy.texts(100))
    assert toy.result(tmp_path / "run").counts["examples"] == 100
    with pytest.raises(InputError, match="are not of one run: choices.batch_tokens"):
        toy.result(tmp_path / "run", tmp_path / "other")
    with pytest.raises(InputError, match="no folder of a run"):
        toy.result(tmp_path)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(InputError, match="not empty"):
        toy.scanned(tmp_path, ["the sea"])
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]
