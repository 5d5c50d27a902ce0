"""Where a model came from and which weights it has, on the model and in everything that is saved of it."""

import json
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import transformers
from safetensors import safe_open

import mainstem as ms
from mainstem.core import Group, Parts
from mainstem.models import _provenance
from zoo import GPT, ZOO, ids

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_the_embedded_model():
    model = ms.load("default")
    found = model.provenance
    versions = {"mainstem": ms.__version__, "torch": torch.__version__, "transformers": transformers.__version__}
    assert found == ms.Provenance(
        name="default",
        origin="embedded",
        source="default",
        revision=None,
        weights=found.weights,
        module="GPT2",
        parameters=sum(p.numel() for p in model.module.parameters()),
        dtype="float32",
        versions=versions,
    )
    assert re.fullmatch("[0-9a-f]{64}", found.weights)
    assert ms.load("default").provenance == found
    assert hash(ms.load("default").provenance) == hash(found)


def test_a_folder_a_hub_id_and_a_module(tmp_path, monkeypatch):
    """The same weights by three ways: other origins, one digest."""
    module = transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT))
    module.save_pretrained(tmp_path / "small")
    hub = tmp_path / "hub" / "models--somebody--small"
    (hub / "refs").mkdir(parents=True)
    (hub / "refs" / "main").write_text(COMMIT)
    module.save_pretrained(hub / "snapshots" / COMMIT)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    here = ms.load(module).provenance
    folder, stored = ms.load(tmp_path / "small").provenance, ms.load("somebody/small").provenance
    assert (here.origin, here.source, here.name, here.revision) == ("module", None, "GPT2LMHeadModel", None)
    assert (folder.origin, folder.source, folder.name) == ("folder", str(tmp_path / "small"), "small")
    assert (stored.origin, stored.source, stored.revision) == ("hub", "somebody/small", COMMIT)
    assert here.weights == folder.weights == stored.weights
    assert {one.parameters for one in (here, folder, stored)} == {module.num_parameters()}
    assert ms.load("somebody/small", revision=COMMIT).provenance == stored
    module.config._commit_hash = COMMIT  # as transformers 4 does
    assert ms.load(module).provenance == replace(here, revision=COMMIT)


def test_the_dtype_is_that_of_the_weights():
    assert ms.load("default", dtype="bfloat16").provenance.dtype == "bfloat16"
    mixed = ZOO["gpt2"]()[0].bfloat16()
    mixed.lm_head.float()
    mixed.transformer.ln_f.double()
    assert ms.load(mixed).provenance.dtype == "bfloat16, float32, float64"
    assert ms.load(torch.nn.ReLU()).provenance.dtype == ""
    assert ms.load("default", dtype="bfloat16").provenance.weights != ms.load("default").provenance.weights


def test_a_model_is_hashed_anew_each_time():
    model = ms.load("default")
    before = model.provenance
    model.module.transformer.ln_f.bias.data[0] += 1
    assert model.provenance.weights != before.weights
    model.module.transformer.ln_f.bias.data[0] -= 1
    assert model.provenance == before


def test_plain_data_and_back():
    found = ms.load("default").provenance
    assert ms.Provenance.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    frame = found.frame()
    assert len(frame) == 1
    assert frame["weights"].item() == found.weights
    assert frame["torch_version"].item() == torch.__version__
    assert "versions" not in frame.columns


def from_parquet(path: Path) -> Any:
    return json.loads(pq.read_schema(path).metadata[b"mainstem"])["provenance"]


def from_json(path: Path) -> Any:
    return json.loads(path.read_text())["provenance"]


def from_safetensors(path: Path) -> Any:
    with safe_open(path, framework="pt") as stored:
        return json.loads(stored.metadata()["provenance"])


READERS: dict[str, Callable[[Path], Any]] = {
    ".parquet": from_parquet,
    ".json": from_json,
    ".safetensors": from_safetensors,
}


@pytest.mark.parametrize("ending", READERS)
def test_a_file_says_which_weights_it_is_of(tmp_path, ending):
    model = ms.load("default")
    trace = model.trace("The capital of France is")
    for result in (trace.scores(" Paris"), trace.scores(" Paris", "head").sum("head").prompt(0), trace.carry("L0.resid_mid")):
        path = result.save(tmp_path / f"scores{ending}")
        assert ms.Provenance.from_dict(READERS[ending](path)) == model.provenance == result.provenance == trace.provenance


def test_so_do_a_lens_and_a_page(tmp_path):
    model = ms.load("default")
    trace = model.trace("The capital of France is")
    lens = trace.lens()
    assert lens.provenance == model.provenance
    assert from_parquet(lens.save(tmp_path / "lens.parquet")) == model.provenance.to_dict()
    page = trace.html(tmp_path / "trace.html").read_text()
    record = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1])
    assert ms.Provenance.from_dict(record["provenance"]) == model.provenance


def test_values_of_no_run_have_none(tmp_path):
    values = torch.arange(3.0)[:, None]
    result = ms.Result(Parts((Group("L0.mlp", "mlp", values, ("neuron",)),), values.sum(0), ("batch",), 0.0, 1.0), "m", "t")
    assert result.provenance is None
    assert [read(result.save(tmp_path / f"a{ending}")) for ending, read in READERS.items()] == [None] * 3


def test_weights_changed_since_are_not_said_to_be_those_of_the_run(tmp_path):
    module, _, _ = ZOO["gpt2"]()
    model = ms.load(module)
    trace = model.trace(ids())
    scores, lens, before = trace.scores(3), trace.lens(), model.provenance
    assert scores.provenance == before
    with torch.no_grad():
        module.lm_head.weight[0, 0] += 1
    assert model.provenance.weights not in (None, before.weights)
    for one in (trace, scores, lens):
        assert one.provenance == replace(before, weights=None)
    assert from_parquet(scores.save(tmp_path / "a.parquet"))["weights"] is None
    assert model.trace(ids()).scores(3).provenance == model.provenance


def test_weights_that_cannot_be_hashed_lose_no_result(tmp_path, monkeypatch):
    def refuse(_: Any) -> str:
        raise ms.LoadError("weight x is a DTensor")

    model = ms.load("default")
    monkeypatch.setattr(_provenance, "digest", refuse)
    with pytest.raises(ms.LoadError, match="weight x is a DTensor"):
        model.provenance
    stored = from_parquet(model.trace("The capital of France is").scores(" Paris").save(tmp_path / "a.parquet"))
    assert (stored["weights"], stored["module"]) == (None, "GPT2")


def test_runs_leave_the_weights_as_they_are():
    model = ms.load("default")
    before = model.provenance
    trace = model.trace("The capital of France is", edits=ms.zero("L1.mlp"), grad=True)
    trace.logits.sum().backward()
    trace.scores(" Paris", "neuron")
    model.verify()
    assert trace.provenance == model.provenance == before


def test_nothing_is_hashed_before_it_is_asked_for(tmp_path, monkeypatch):
    def refuse(*_: Any) -> str:
        raise AssertionError("weights were hashed")

    model = ms.load("default")
    monkeypatch.setattr(_provenance, "digest", refuse)
    trace = model.trace("The capital of France is")
    trace.lens().save(tmp_path / "lens.csv")
    trace.scores(" Paris", "neuron").save(tmp_path / "scores.csv")
    trace.summary(" Paris")
    with pytest.raises(AssertionError, match="weights were hashed"):
        trace.scores(" Paris").save(tmp_path / "scores.json")


def test_a_pickled_result_knows_its_weights_without_the_model():
    model = ms.load("default")
    scores = model.trace("The capital of France is").scores(" Paris")
    stored = pickle.dumps(scores)
    assert len(stored) < 100_000, "the model went along"
    found = pickle.loads(stored)
    assert found.provenance == model.provenance
    assert torch.equal(found.tensor, scores.tensor)
    assert pickle.loads(pickle.dumps(found)).provenance == model.provenance
