"""The contract suite for a user's own model, and one prompt's prediction as plain data."""

import json

import pytest
import torch
from torch import Tensor, nn

import mainstem as ms
from zoo import STREAMLESS, ZOO, rows


@pytest.mark.parametrize("name", ["gpt2", "mixtral", "t5", "vit", "resnet"])
def test_models_that_hold(name):
    found = ms.load(ZOO[name]()[0]).verify()
    assert found.ok, str(found)
    checks = [row["check"] for row in found.rows]
    wanted = {"closure float64", "continuity", "cut", "coverage", "response", "writers"}
    prefix = "dec " if name == "t5" else ""
    wanted |= {f"{prefix}carry, float32", f"{prefix}level write", f"{prefix}level neuron", f"{prefix}lens"}
    assert wanted <= set(checks)
    assert (f"{prefix}level edge" in checks) == (name != "resnet")
    assert all(row["value"] <= row["bound"] for row in found.rows if row["bound"] is not None)
    assert json.loads(json.dumps(found.to_dict()))["ok"]
    assert str(found).splitlines()[0].endswith(": verified")


class Beside(nn.Module):
    """A language model whose logits a second network is added to, past the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.body = ZOO["llama"]()[0]
        self.config = self.body.config
        self.embed, self.side = nn.Embedding(50, 8), nn.Linear(8, 50)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.body(input_ids).logits * 2 + self.side(torch.tanh(self.embed(input_ids)))


def test_weights_that_pass_the_stream_by_are_named():
    found = ms.load(Beside().eval()).verify()
    (row,) = [row for row in found.rows if not row["ok"]]
    assert row["check"] == "coverage"
    assert row["note"] == "embed.weight, side.bias, side.weight"
    assert not found.ok


def test_a_check_that_fails_is_said(monkeypatch):
    from mainstem.api import _verify

    def refuse(*_):
        raise ms.NotClosedError("dla: the parts miss the whole by 1, the bound is 0.")

    monkeypatch.setattr(_verify, "direct", refuse)
    found = ms.load(ZOO["llama"]()[0]).verify()
    assert not found.ok
    failed = [row for row in found.rows if not row["ok"]]
    assert {row["check"] for row in failed} == {f"level {level}" for level in ("write", "head", "edge", "dim", "neuron")}
    assert all("miss the whole" in row["note"] for row in failed)
    assert "NOT verified" in str(found)
    assert str(found).count("FAIL ") == 5


def test_a_model_without_a_stream_cannot_be_verified():
    module = STREAMLESS["mlp"]()[0]
    with pytest.raises(ms.NoStreamError):
        ms.load(module).map_with(rows(6, 8))


@pytest.fixture(scope="module")
def trace() -> ms.Trace:
    return ms.load("default").trace(["The opposite of hot is", "The capital of France is"])


def test_a_summary_is_one_prompts_scores(trace):
    found = trace.summary(" Paris", prompt=1)
    assert json.loads(json.dumps(found)) == found
    writes = trace.scores(" Paris").prompt(1)
    assert [(w["label"], w["value"]) for w in found["writes"]] == [
        (label, float(value)) for label, value in zip(writes.labels, writes.tensor[:, 0], strict=True)
    ]
    assert sum(w["value"] for w in found["writes"]) == pytest.approx(found["whole"], abs=writes.bound)
    assert found["prediction"][0]["token"] == found["target"]["text"] == " Paris"
    assert found["prompt"] == "The capital of France is"
    assert "".join(found["tokens"]) == found["prompt"]
    logp = trace.logits[1, -1].log_softmax(-1)
    assert found["prediction"][0]["logprob"] == pytest.approx(float(logp.max()), abs=1e-5)


def test_a_summarys_heads_are_those_of_the_scores(trace):
    found = trace.summary(" Paris", prompt=1, top=4)
    heads, edges = (trace.scores(" Paris", level).prompt(1) for level in ("head", "edge"))
    every = sorted((abs(float(heads[label])) for label in heads.labels if ".H" in label), reverse=True)
    assert [abs(h["value"]) for h in found["heads"]] == pytest.approx(every[:4])
    for head in found["heads"]:
        assert head["value"] == pytest.approx(float(heads[head["label"]]))
        for source in head["sources"]:
            assert source["value"] == pytest.approx(float(edges[f"{head['label']}<-{source['position']}"]))
            assert source["token"] == trace.tokens[1][source["position"]]


def test_a_summarys_neurons_have_their_words(trace):
    found = trace.summary(ms.contrast(" Paris", " London"), prompt=1, top=3)
    assert found["target"]["against"]["text"] == " London"
    neurons = trace.scores(ms.contrast(" Paris", " London"), "neuron").prompt(1)
    for neuron in found["neurons"]:
        assert neuron["value"] == pytest.approx(float(neurons[neuron["label"]]))
        words = trace.words(neuron["label"], 6, 6, prompt=1)
        assert neuron["first"] == [word for word, _ in words.first]
        assert neuron["last"] == [word for word, _ in words.last]
    assert found["closure"]["parts"] == len(neurons)


def test_a_summarys_lens_is_the_lens(trace):
    found, lens = trace.summary(" Paris", prompt=1), trace.lens(" Paris").values
    for i, row in enumerate(found["lens"]):
        assert row["rank"] == int(lens.rank[i, 1, -1])
        assert row["kl"] == pytest.approx(float(lens.kl[i, 1, -1]))
        assert row["token"] == trace.word(int(lens.tokens[i, 1, -1]))
    grid = found["lens_grid"]
    torch.testing.assert_close(torch.tensor(grid["prob"]), lens.top_logprob[:, 1].exp(), rtol=1e-4, atol=1e-6)
