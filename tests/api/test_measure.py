"""Measurements of a model over data: what its own points say, whatever the batches, shards and files on the way."""

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

import mainstem as ms
from mainstem.api._measure import job
from mainstem.measure import measure_named, measures, pairs
from zoo import ZOO, pixels

TEXTS = [
    "The capital of France is Paris.",
    "Once upon a time there was a girl who lived in a wood.",
    "Hot",
    "The opposite of hot is cold, as everyone knows.",
] * 2  # fmt: skip
SAME = {"rtol": 1e-9, "atol": 1e-12}


@cache
def model() -> ms.Model:
    return ms.load("tiny")


@cache
def measured(**choices: Any) -> ms.Measurements:
    return ms.measure(model(), TEXTS, **choices)


def by_hand(point: str) -> Tensor:
    """All tokens of a point, [token, width], prompt by prompt and so without padding."""
    rows = []
    for text in TEXTS:
        trace = model().trace(text)
        t = [p.name for p in trace.stream.points].index(point)
        rows.append(trace.run.face(t)[0].detach())
    return torch.cat(rows).double()


def kurtosis(x: Tensor) -> Tensor:
    moved = x - x.mean(-1, keepdim=True)
    return (moved**4).mean(-1) / (moved**2).mean(-1) ** 2


def assert_same(one: ms.Measurements, other: ms.Measurements, **close: float) -> None:
    mine, theirs = one.frame(), other.frame()
    assert mine.drop("value").equals(theirs.drop("value"))
    torch.testing.assert_close(mine["value"].to_torch(), theirs["value"].to_torch(), equal_nan=True, **(close or SAME))


@pytest.mark.parametrize("point", ["entry", "L0.resid_mid", "L1.resid_post"])
def test_numbers_are_those_of_the_points_of_traces(point):
    found, x = measured(), by_hand(point)
    torch.testing.assert_close(found["kurtosis"][point]["kurtosis"], kurtosis(x).mean(), rtol=1e-5, atol=0)
    torch.testing.assert_close(found["rms"][point]["rms"], x.square().mean(-1).sqrt().mean(), rtol=1e-5, atol=0)
    torch.testing.assert_close(found["variance"][point]["total"], x.var(0, correction=0).sum(), rtol=1e-4, atol=0)
    assert int(found["kurtosis"][point]["tokens"]) == len(x)


@pytest.mark.parametrize("how", [{"batch_tokens": 3}, {"batch_tokens": 40}, {"batch_tokens": 10_000}])
def test_batches_and_their_padding_change_nothing(how):
    assert_same(measured(), measured(**how), rtol=1e-5, atol=1e-6)


def test_what_is_measured_is_what_was_asked_for():
    found = ms.measure(model(), TEXTS, ["rms"], at=("points", "writes"), points=["L*.attn", "entry"])
    assert found.sites == ("entry", "L0.attn", "L1.attn")
    for at, ending in (("values", ".z"), ("pre", ".pre"), ("post", ".post")):
        sites = ms.measure(model(), TEXTS, ["rms"], at=at).sites
        assert sites and all(site.endswith(ending) for site in sites)
    shares = ms.measure(model(), TEXTS, ["outliers"], choices={"outliers": {"thresholds": (1.0, 2.0), "sided": "one"}})
    assert measure_named("outliers", thresholds=(1.0, 2.0), sided="one") in shares.measures.values()


@pytest.mark.parametrize("name", [*measures(), *pairs()])
def test_every_measure_can_be_asked_for_by_its_name(name):
    if name == "coherence":
        pytest.skip("of any two sets of writes, which nothing here names")
    found = ms.measure(model(), TEXTS, [name], at=("points", "writes"))
    frame = found.frame()
    assert set(frame["measure"]) == {name} and frame["value"].is_not_null().all()
    assert all(float(numbers["tokens"]) > 0 for numbers in found[name].values())


def test_parts_merge_to_the_whole_and_stored_ones_come_back(tmp_path):
    one, other = ms.measure(model(), TEXTS[:3]), ms.measure(model(), TEXTS[3:])
    both = one.merge(other)
    assert_same(both, measured(), rtol=1e-5, atol=1e-6)
    assert [part["examples"] for part in both.identity["data"]["parts"]] == [3, 5]
    path = both.save(tmp_path / "both.safetensors")
    read = ms.Measurements.load(path)
    assert_same(read, both)
    assert read.identity == both.identity and read.provenance == both.provenance
    assert pl.read_parquet(both.save(tmp_path / "both.parquet")).equals(both.frame())
    with pytest.raises(ms.InputError, match="were not made alike: choices.measures is kurtosis.* here and rms in the other"):
        one.merge(ms.measure(model(), TEXTS[3:], ["rms"]))
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:200])
    for bad in (tmp_path / "cut.safetensors", tmp_path / "none.safetensors"):
        with pytest.raises(ms.InputError, match=str(bad)):
            ms.Measurements.load(bad)


def test_two_data_sets_side_by_side():
    found = measured().compare(ms.measure(model(), TEXTS[:1]))
    assert len(found) == len(measured().frame())
    torch.testing.assert_close((found["other"] - found["value"]).to_torch(), found["difference"].to_torch(), equal_nan=True)
    with pytest.raises(ms.InputError, match="nothing|no measure"):
        ms.measure(model(), TEXTS[:1], ["rms"]).compare(ms.measure(model(), TEXTS[:1], ["kurtosis"]))


def test_a_scan_is_the_same_and_goes_on_and_shards_are_put_together(tmp_path):
    whole = ms.scan(model(), TEXTS, out=tmp_path / "run", piece=40)
    assert_same(whole, measured(), rtol=1e-5, atol=1e-6)
    assert whole.counts["examples"] == len(TEXTS) and whole.counts["pieces"] > 3
    first = next((tmp_path / "run").glob("pieces/*/*.parquet"))
    first.unlink()
    with pytest.raises(ms.InputError, match="1 of .* pieces are missing"):
        ms.merge(tmp_path / "run")
    assert_same(ms.scan(model(), TEXTS, out=tmp_path / "run", piece=40), whole)
    folders = [tmp_path / f"shard{i}" for i in range(2)]
    for i, folder in enumerate(folders):
        assert ms.scan(model(), TEXTS, out=folder, piece=40, shard=(i, 2)) is None
    assert_same(ms.merge(folders), whole)
    with pytest.raises(ms.InputError, match="choices"):
        ms.scan(model(), TEXTS, ["rms"], out=tmp_path / "run", piece=40)


def test_images_are_measured_place_by_place():
    from PIL import Image

    pictures = [Image.new("RGB", (32, 32), color) for color in ("red", "green", "blue")]
    found = ms.measure(ms.load("default-image"), pictures, ["rms", "kurtosis"])
    assert {int(numbers["tokens"]) for numbers in found["rms"].values()} == {3 * 16 * 16, 3 * 8 * 8, 3 * 4 * 4}
    module, _, _ = ZOO["cifar"]()
    with pytest.raises(ms.InputError):
        ms.measure(ms.load(module), pixels())


REFUSED = {
    "an unknown measure": ({"names": ["luck"]}, "no measure 'luck'; there are"),
    "an unknown choice": ({"names": ["rms"], "choices": {"rms": {"luck": 1}}}, "has no choice of luck"),
    "an unknown basis": ({"at": "logits"}, "nothing is looked at under the name 'logits'"),
    "an unknown point": ({"points": ["L9.*"]}, "nothing here is called 'L9.*'"),
    "no measure": ({"names": []}, "there is nothing to measure"),
    "an unknown stream": ({"stream": "other"}, "there is no stream 'other'"),
    "no window": ({"length": 0}, "length is how many tokens"),
    "nothing at all": ({"at": []}, "there is nothing to look at"),
    "a threshold that is none": (
        {"names": ["outliers"], "choices": {"outliers": {"thresholds": "abc"}}},
        "thresholds of outliers is a list, each a number",
    ),
    "no budget": ({"batch_tokens": 0}, "batch_tokens is a whole number from 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name):
    choices, said = REFUSED[name]
    with pytest.raises(ms.InputError) as error:
        ms.measure(model(), TEXTS, **choices)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"scores": [{"by": "dla", "level": "foo"}]}, "no level 'foo'"),
        ({"scores": [{"foo": 1}]}, "not by 'foo'"),
        ({"scores": [{"by": "dla", "top": 0}]}, "a whole number from 1, not 0"),
        ({"shard": "0/2"}, "shard is"),
        ({"engine": "cloud"}, "no engine 'cloud'; there are local, ray"),
    ],
)
def test_a_scan_is_refused_before_its_folder_is_made(tmp_path, more, said):
    with pytest.raises(ms.InputError, match=said):
        ms.scan(model(), TEXTS, ["rms"], out=tmp_path / "run", **more)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ms.InputError, match=r"ms.load\('tiny'\)"):
        ms.measure("tiny", TEXTS)


def test_a_disk_that_is_too_small_is_named_before_anything_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    monkeypatch.setattr("mainstem.api._looked.Looks.__call__", lambda self: pytest.fail("the model was run"))
    with pytest.raises(ms.InputError, match=r"1 pieces are left, which take some .* and the disk of .*run has 0\.0"):
        ms.scan(model(), TEXTS, out=tmp_path / "deep" / "run")
    assert not (tmp_path / "deep").exists()


def test_a_pieces_size_is_told_beforehand(tmp_path):
    found = ms.scan(model(), TEXTS, ["kurtosis", "outliers", "rms", "variance"], out=tmp_path / "run")
    states = sum(value.numel() * value.element_size() for state in found.states.values() for value in state.values())
    assert job(model(), ["kurtosis", "outliers", "rms", "variance"]).size == states


def test_a_piece_in_anothers_place_is_noticed(tmp_path):
    ms.scan(model(), TEXTS, ["rms"], out=tmp_path / "run", piece=40)
    first, *_, last = sorted((tmp_path / "run").glob("pieces/*/*.parquet"))
    last.write_bytes(first.read_bytes())
    with pytest.raises(ms.InputError, match="holds piece 0, not"):
        ms.merge(tmp_path / "run")


def flipped(path: Path, bit: int) -> Path:
    """A copy with one bit turned round. Parameters: `path`; `bit`, counted from the start."""
    held = bytearray(path.read_bytes())
    held[bit // 8] ^= 1 << bit % 8
    copy = path.with_name(f"flipped{path.suffix}")
    copy.write_bytes(held)
    return copy


def test_a_flipped_bit_of_a_stored_file_is_refused(tmp_path):
    path = ms.measure(model(), TEXTS[:2], ["rms"]).save(tmp_path / "rms.safetensors")
    bits = torch.randint(8 * path.stat().st_size, (300,)).tolist()
    for bit in [*bits, 8 * path.stat().st_size - 1]:
        with pytest.raises(ms.InputError):
            ms.Measurements.load(flipped(path, bit))


def test_a_flipped_bit_of_a_scans_numbers_is_refused_where_they_are_merged(tmp_path):
    whole = ms.scan(model(), TEXTS[:2], ["rms"], out=tmp_path / "run")
    (path,) = (tmp_path / "run").glob("pieces/*/*.parquet")
    held = Path(shutil.copy(path, tmp_path / "held.parquet"))
    refused = 0
    for bit in torch.randint(8 * held.stat().st_size, (200,)).tolist():
        shutil.copy(flipped(held, bit), path)
        try:
            assert_same(ms.merge(tmp_path / "run"), whole)  # a bit that nothing is read from
        except ms.InputError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("data", [[], ["", "  "], Path("nowhere.txt"), 3, [1, 2]])
def test_data_that_are_none_are_refused(data):
    with pytest.raises(ms.InputError):
        ms.measure(model(), data)


def test_scores_of_a_corpus_are_those_of_its_prompts(tmp_path):
    asked = [{"by": "dla"}, {"by": "logprob_increase", "level": "neuron", "top": 3}]
    found = ms.scan(model(), TEXTS[:4], ["rms"], out=tmp_path / "run", piece=40, scores=asked)
    rows = found.rows().collect()
    assert rows["example"].unique().sort().to_list() == [0, 1, 2, 3] and set(rows["by"]) == {"dla", "logprob_increase"}
    for number, text in enumerate(TEXTS[:4]):
        trace = model().trace(text)
        here = rows.filter(rows["example"] == number)
        best = here.filter(here["by"] == "logprob_increase")
        assert best["component"].to_list() == [label for label, _ in trace.scores(**asked[1]).top()]
        whole = here.filter(here["by"] == "dla")["value"].sum()
        assert whole == pytest.approx(float(trace.logits[0, -1].max()), rel=1e-4)
        assert set(here["place"]) == {len(trace.tokens[0]) - 1}
    with pytest.raises(ms.InputError, match="no score 'luck'"):
        ms.scan(model(), TEXTS, ["rms"], out=tmp_path / "other", scores=["luck"])
    with pytest.raises(ms.InputError, match="there are no rows of scores"):
        measured().rows()
