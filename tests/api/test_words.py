"""Words as users hold them: one component or several, of what is written or of the row, as tables and files; before-softmax values."""

import json
from functools import cache

import polars
import pytest
import torch

import mainstem as ms
import real
from zoo import ZOO, pixels, rows

PROMPTS = [[3, 14, 15, 9, 26, 5], [35, 8], [9, 7, 9, 3]]


@cache
def traced(name: str) -> ms.Trace:
    if name == "default":
        return ms.load(name).trace(["The capital of France is", "The opposite of hot is cold and"])
    data = {"vit": pixels(size=16), "resnet": pixels(), "tabular": rows(6, 16)}.get(name, PROMPTS)
    return ms.load(ZOO[name]()[0]).trace(data)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("gpt2", ["L1.mlp.N3", "L0.attn.H2", "L1.attn.H0<-1", "L0.attn", "L0.resid_post", "L1.attn.H1.D3"]),
        ("llama", ["L1.mlp.N3", "L1.attn.H3<-1"]),
        ("mixtral", ["L0.mlp.E1.N3", "L1.mlp"]),
        ("bert", ["L1.mlp.N3", "entry.embed"]),
        ("vit", ["L1.mlp.N3", "L0.attn.H1"]),
        ("resnet", ["L3.conv.N3", "L1.conv"]),
        ("tabular", ["L1.mlp.N3"]),
    ],
)
def test_a_tidy_row_a_word(name, labels):
    found = traced(name).words(labels, 3, 2)
    frame = found.frame()
    assert len(frame) == sum(len(found[label][end]) for label in labels for end in ("first", "last"))
    for label in labels:
        mine = frame.filter(polars.col("component") == label)
        for end in ("first", "last"):
            said = mine.filter(polars.col("end") == end)
            assert list(said.select("word", "value").iter_rows()) == found[label][end]
            assert said["rank"].to_list() == list(range(len(said)))
        alone = traced(name).words(label, 3, 2)
        assert [word for word, _ in alone.first] == [word for word, _ in found[label]["first"]]
        assert alone.first == alone[label]["first"] and alone.last == alone[label]["last"]
        for end, mine in (("first", alone.first), ("last", alone.last)):
            assert [value for _, value in mine] == pytest.approx([value for _, value in found[label][end]], rel=1e-4, abs=1e-6)
    assert frame["model"].n_unique() == 1 and set(frame["of"]) == {"write"}
    if labels[0] == "L1.mlp.N3":
        assert frame.select("write", "layer", "head", "neuron").row(0) == ("L1.mlp", 1, None, 3)


def test_words_of_a_place_have_its_token():
    found = traced("default").words("L3.mlp.N217", prompt=1, position=1)
    assert (found.prompt, found.position, found.token) == (1, 1, " opposite")
    assert set(found.frame()["token"]) == {" opposite"}
    assert "after token 1, ' opposite'" in repr(found)
    assert traced("vit").words("L0.attn").position is None


def test_the_words_of_the_row_have_no_sign():
    trace = traced("default")
    label = "L3.mlp.N217"  # negative here
    written, row = trace.words(label), trace.words(label, of="row")
    assert float((trace[label] * trace.run.module.state_dict()["transformer.h.3.mlp.c_proj.weight"][217]).sum(-1)[0, 4]) < 0
    assert [word for word, _ in written.first] == [word for word, _ in row.last]
    assert row.of == "row" and set(row.frame()["of"]) == {"row"}


def test_several_have_no_first_of_their_own():
    with pytest.raises(ms.InputError, match=r"here are 2 components: take one by its label, such as \['L0.mlp'\]"):
        traced("gpt2").words(["L0.mlp", "L1.mlp"]).first
    with pytest.raises(ms.InputError, match="no words of 'L9.mlp' here; there are L0.mlp, L1.mlp"):
        traced("gpt2").words(["L0.mlp", "L1.mlp"])["L9.mlp"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"component": []}, "words are of one component or more"),
        ({"component": "L0.mlp", "first": -1}, "0 or more at each end"),
        ({"component": "L0.mlp", "of": "key"}, "words are of 'write' or 'row', not of 'key'"),
        ({"component": "L0.mlp", "prompt": 3}, "there is no prompt 3: there are 3"),
        ({"component": "L0.mlp", "position": 99}, "there is no position 99: prompt 0 has"),
    ],
)
def test_what_is_asked_wrongly(asked, said):
    with pytest.raises(ms.InputError, match=said):
        traced("gpt2").words(**asked)


def test_words_are_stored_with_the_model_they_are_of(tmp_path):
    found = traced("default").words(["L3.mlp.N217", "L2.attn.H1"], 4, 2)
    csv = polars.read_csv(found.save(tmp_path / "words.csv"))
    assert csv.columns == found.frame().columns
    assert csv.select("component", "word", "value").equals(found.frame().select("component", "word", "value"))
    stored = polars.read_parquet(found.save(tmp_path / "words.parquet"))
    assert stored.equals(found.frame())
    import pyarrow.parquet

    about = json.loads(pyarrow.parquet.read_schema(tmp_path / "words.parquet").metadata[b"mainstem"])
    assert about["of"] == "write" and about["provenance"]["name"] == "default"
    with pytest.raises(ms.InputError, match="cannot store as"):
        found.save(tmp_path / "words.txt")


def test_words_as_plain_data():
    record = traced("default").words("L3.mlp.N217", 2, 1).to_dict()
    assert json.loads(json.dumps(record)) == record
    assert [len(record["words"][0][end]) for end in ("first", "last")] == [2, 1]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_low_precision_says_nearly_the_same(dtype):
    full = real.model("default").trace("The capital of France is").bs("L5.mlp")
    low = ms.load("default", dtype=dtype).trace("The capital of France is").bs("L5.mlp")
    assert low.dtype == torch.float32
    assert float((full - low).abs().max()) < {"float32": 1e-5}.get(dtype, 0.05) * float(full.abs().max())


def test_values_add_up_and_order_the_words():
    trace = traced("default")
    one, two = trace.bs(["L3.mlp", "L2.attn.H1"])
    word = trace.index(" Paris")
    both = trace[("mlp_out", 3)][0, 4] + trace["L2.attn.H1"][0, 4]
    torch.testing.assert_close(trace.bs(both), one + two, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(trace.bs(torch.stack([both, 2 * both]))[1], 2 * (one + two), rtol=1e-4, atol=1e-5)
    assert [trace.word(int(i)) for i in one.topk(3).indices] == [w for w, _ in trace.words("L3.mlp", 3).first]
    assert float(one[word]) == pytest.approx(float(trace.scores(" Paris")["L3.mlp"][0]), rel=1e-4)


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "bert", "resnet", "vit"])
def test_values_are_direct_logit_attribution_word_by_word(name):
    trace = traced(name)
    label = trace.stream.writes[-1].label
    values = trace.bs(label)
    for word in (0, 2):
        assert float(values[word]) == pytest.approx(float(trace.scores(word)[label][0]), rel=1e-3, abs=1e-6)


def test_values_of_vectors_entering_anywhere():
    trace = traced("bert")
    vector = torch.randn(32)
    late, early = trace.bs(vector), trace.bs(vector, at="L0.resid_mid")
    assert late.shape == early.shape == (50,) and not torch.allclose(late, early, rtol=1e-2)
    with pytest.raises(ms.InputError, match="no point 'L9.resid_post'"):
        trace.bs(vector, at="L9.resid_post")
    with pytest.raises(ms.InputError, match="vectors of 31 numbers"):
        trace.bs(vector[:31])
    image = traced("resnet")
    assert image.bs(image.point("L3.resid_post", "sum")[:1]).shape == (1, 5)


def test_gradients_flow_into_values():
    trace = ms.load(ZOO["gpt2"]()[0]).trace(PROMPTS[0], grad=True)
    trace.bs("L0.mlp.N3")[5].backward()
    grad = trace.run.module.transformer.h[0].mlp.c_proj.weight.grad
    assert float(grad[3].abs().max()) > 0 and float(grad[4].abs().max()) > 0
