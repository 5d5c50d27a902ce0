"""Frozen dataclasses to plain JSON types and back; bounds; names of calls."""

import errno
import json
import math
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mainstem.core import InputError, Key, Site, bound, error, finite, from_plain, show, to_plain, whole_file
from mainstem.find import StreamMap
from stream._runs import mapped


@dataclass(frozen=True)
class Leaf:
    name: str
    at: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Tree:
    sites: tuple[Site, ...]
    leaf: Leaf | None
    keys: frozenset[Key]
    pair: tuple[str, int]


KEYS = st.tuples(st.text(max_size=5), st.integers(0, 9), st.text(max_size=5), st.integers(0, 9))
PATHS = st.lists(st.one_of(st.integers(0, 9), st.text(max_size=3)), max_size=3).map(tuple)
SITES = st.builds(Site, KEYS, st.sampled_from(["arg", "out"]), PATHS)
TREES = st.builds(
    Tree,
    st.lists(SITES, max_size=3).map(tuple),
    st.one_of(st.none(), st.builds(Leaf, st.text(max_size=5), PATHS)),
    st.frozensets(KEYS, max_size=3),
    st.tuples(st.text(max_size=3), st.integers()),
)


@given(TREES)
def test_there_and_back(tree):
    again = from_plain(Tree, json.loads(json.dumps(to_plain(tree))))
    assert again == tree
    assert all(isinstance(site, Site) for site in again.sites)
    assert to_plain(again) == to_plain(tree)


@pytest.mark.parametrize("name", ["gpt2", "mixtral", "t5", "resnet"])
def test_a_map_is_plain_data(name):
    found = mapped(name)
    assert StreamMap.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_the_bound_is_64_eps_of_the_size():
    size = torch.tensor([1.0, 3.0, 2.0])
    assert bound(torch.float64, size) == 64 * 2.0**-52 * 3
    assert bound(torch.float32, size) == 64 * 2.0**-23 * 3
    assert math.isnan(bound(torch.float32, torch.tensor([1.0, math.nan])))


def test_the_error_is_in_float64():
    assert error(torch.tensor([1.0]), torch.tensor([1.0 + 2.0**-20])) == 2.0**-20
    assert error(torch.tensor([2.0**127]), torch.tensor([-(2.0**127)])) == 2.0**128
    assert error(torch.zeros(0), torch.zeros(0)) == 0.0
    assert math.isnan(error(torch.tensor([math.nan]), torch.tensor([0.0])))


@pytest.mark.parametrize(
    ("key", "text"),
    [(("h.0.mlp", 0, "add", 0), "h.0.mlp/add"), (("", 0, "add", 2), "(root)/add#2"), (("block", 3, "mul", 1), "block@3/mul#1")],
)
def test_names_of_calls(key, text):
    assert show(key) == text


def test_a_file_is_whole_or_not_there(tmp_path):
    place = tmp_path / "a.txt"
    with whole_file(place) as half:
        half.write_text("one")
        assert not place.exists()
    assert place.read_text() == "one"
    with pytest.raises(ZeroDivisionError), whole_file(place) as half:
        half.write_text("two")
        raise ZeroDivisionError
    assert place.read_text() == "one"
    with whole_file(place) as half:
        half.write_text("three")
    assert place.read_text() == "three"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_places_where_no_file_can_be(tmp_path):
    for place, said in ((tmp_path, "is a folder"), (tmp_path / "no" / "a.txt", "there is no folder")):
        with pytest.raises(InputError, match=said), whole_file(place):
            pass


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder here that takes no files of anyone")
def test_a_folder_that_takes_no_files():
    with (
        pytest.raises(InputError, match=r"^cannot write /proc/x.html: its folder /proc takes no files"),
        whole_file("/proc/x.html"),
    ):
        raise AssertionError("never begun")


def test_a_full_disk_is_said_as_such(tmp_path, monkeypatch):
    def touch(self: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "touch", touch)
    with pytest.raises(OSError, match="No space left"), whole_file(tmp_path / "a.txt"):
        raise AssertionError("never begun")


def test_json_knows_no_infinity() -> None:
    assert finite({"a": [float("inf"), (float("nan"), 1.5)]}) == {"a": [None, [None, 1.5]]}
