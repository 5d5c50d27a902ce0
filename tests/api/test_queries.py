"""Queries as users hold them: tables that sum, files that say what they are of, and the positions of padded prompts."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet
import pytest
import torch

import mainstem as ms
import real
from mainstem.find import find
from mainstem.view._theme import NAMES
from zoo import ZOO, ids

PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def trace() -> ms.Trace:
    return real.model("default").trace(PROMPT)


@pytest.fixture(scope="module")
def found(trace: ms.Trace) -> ms.QueriesResult:
    return trace.queries(" Paris", top=6)


def test_credits_of_the_frame_sum_to_the_values_scores(found):
    frame, total = found.frame(), sum(found.values.values())
    assert len(found.values) == 12
    assert frame["credit"].sum() == pytest.approx(total, rel=1e-4)
    assert float(found.credit.whole) == pytest.approx(total, rel=1e-5)
    by_value = frame.group_by("value", "score").agg(pl.col("credit").sum())
    for label, score, credit in by_value.iter_rows():
        assert score == pytest.approx(found.values[label], rel=1e-5)
        assert credit == pytest.approx(score, rel=1e-3, abs=1e-5)


def test_shares_of_every_key_sum_to_its_activation(found):
    for _, share, activation in (
        found.frame()
        .group_by("value", "key")
        .agg(pl.col("share").sum(), pl.col("activation").first())
        .select("value", "share", "activation")
        .iter_rows()
    ):
        assert share == pytest.approx(activation, rel=1e-4, abs=1e-4)


def test_a_short_frame_keeps_the_rest_as_one_row(found):
    short, whole = found.frame(3), found.frame()
    assert short.columns == whole.columns
    assert len(short) == 4 * len(found.values)
    assert short["credit"].sum() == pytest.approx(whole["credit"].sum(), rel=1e-4)
    assert short.filter(pl.col("query") == "others").height == len(found.values)
    first = whole.filter(pl.col("value") == next(iter(found.values))).sort(pl.col("share").abs(), descending=True)
    assert short["query"][:3].to_list() == first["query"][:3].to_list()


@pytest.mark.parametrize("role", ["value", "query"])
@pytest.mark.parametrize("level", ["write", "head", "neuron"])
def test_bins_sum_to_the_total(trace, role, level):
    found = trace.queries(" Paris", top=4, level=level)
    bins = found.histogram(k=50).filter(pl.col("role") == role)
    assert bins["score"].sum() == pytest.approx(sum(found.values.values()), rel=1e-4)
    queries = len(found.top(50))
    assert bins["count"].sum() == (len(found.values) if role == "value" else queries)
    assert bins.select("layer", "kind").n_unique() == len(bins)
    assert queries == {"write": 13, "head": 36, "neuron": 50}[level]


def test_values_of_attention_are_read_at_their_key_position(found, trace):
    frame = found.frame()
    rows = frame.filter(pl.col("value_kind") == "attn").select("value", "read_position", "token").unique()
    assert len(rows) == 6
    for value, position, token in rows.iter_rows():
        assert f"<-{position}." in value
        assert token == trace.tokens[0][position]
    assert frame.filter(pl.col("value_kind") == "mlp")["read_position"].unique().to_list() == [4]
    assert frame["position"].unique().to_list() == [4]


def test_each_value_gives_its_own_result(found):
    label = next(iter(found.values))
    (result,) = found[label].values()
    rows = found.frame().filter(pl.col("value") == label)
    assert list(result.labels) == rows["query"].to_list()
    torch.testing.assert_close(result.tensor[:, 0].double(), torch.tensor(rows["share"].to_list(), dtype=torch.float64))
    with pytest.raises(ms.InputError, match=r"is none of the values here; there are L5.mlp"):
        found["L0.mlp.N0"]


def test_query_value_neurons_are_both(found):
    both = found.both(200)
    assert both
    credited = [label for label, _ in found.top(200)]
    assert all(label in found.values and label in credited for label in both)
    role = found.histogram(200).filter(pl.col("role") == "query-value")
    assert role["count"].sum() == len(both)


def test_the_chart_shows_the_histogram(found):
    pytest.importorskip("altair")
    drawn = json.dumps(found.chart(40).to_dict())
    roles = {"value": "values", "query": "queries", "query-value": "values that are queries too"}
    rows = found.histogram(40)
    for role, layer, kind, count in rows.filter(pl.col("count") != 0).select("role", "layer", "kind", "count").iter_rows():
        place = "entry" if layer is None else layer
        assert f'{roles[role]}, layer {place}, {NAMES.get(kind, kind)}: {count}"' in drawn
    title = found.chart(40).to_dict()["title"]
    assert title["text"][-1].endswith("'\u00a0Paris'") and "40\u00a0queries\u00a0counted" in title["subtitle"][-1]
    assert rows.filter(pl.col("role") == "query")["count"].sum() == 40


def test_top_is_of_the_level(trace):
    assert all(".N" in label for label, _ in trace.queries(" Paris", top=3).top(20))
    heads = trace.queries(" Paris", top=3, level="head").top(20)
    assert all(".H" in label for label, _ in heads)
    writes = dict(trace.queries(" Paris", top=3, level="write").top(30))
    assert "entry.embed" in writes and "L0.attn" in writes and "key.bias" not in writes
    values = list(trace.queries(" Paris", top=3, level="write").top(5))
    assert values == sorted(values, key=lambda row: -row[1])


def test_it_reads_well(found):
    text = repr(found)
    assert text.startswith("what switched on the 12 best values; logit of ' Paris', by dla\n  L")
    assert "most credited (error" in text and "key.bias" in text
    assert max(map(len, text.splitlines())) < 120


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".json"])
def test_files(found, tmp_path, ending):
    path = found.save(tmp_path / f"q{ending}")
    if ending == ".json":
        held = json.loads(path.read_text(encoding="utf-8"))
        assert held["choices"]["target"] == "logit of ' Paris'" and held["choices"]["level"] == "neuron"
        assert [v["component"] for v in held["values"]] == list(found.values)
        assert held["closure"]["error"] <= held["closure"]["bound"]
        assert held["provenance"]["weights"] and held["total"] == pytest.approx(sum(found.values.values()), rel=1e-5)
        return
    frame = pl.read_parquet(path) if ending == ".parquet" else pl.read_csv(path, schema=found.frame().schema)
    assert frame.equals(found.frame()) or (frame["credit"] - found.frame()["credit"]).abs().max() < 1e-12
    if ending == ".parquet":
        about = json.loads(pyarrow.parquet.read_schema(path).metadata[b"mainstem"])
        assert about["by"] == "dla" and about["provenance"]["weights"] and about["error"] <= about["bound"]


def test_a_frame_too_large_is_refused(found):
    with pytest.raises(ms.InputError, match=r"rows: frame\(k=20\) takes the strongest"):
        found.frame(limit=100)


def test_the_choices_are_written_down(trace):
    found = trace.queries(" Paris", top=2, by="logprob_increase", norm="final", norm_bias=False)
    assert found.choices["by"] == "logprob_increase"
    assert found.choices["target"] == "logprob increase of ' Paris'"
    assert list(found.values)[:2] == [
        label for label, _ in trace.scores(" Paris", "neuron", "logprob_increase", norm="final", norm_bias=False, top=2).top()
    ]
    with pytest.raises(ms.InputError, match="'dla' has no choice of norm"):
        trace.queries(" Paris", norm="final")


def test_a_neuron_alone(trace):
    result = trace.activation("L5.mlp.N3")
    assert result.target == "key of L5.mlp.N3" and result.choices["by"] == "activation"
    assert result.error <= result.bound and float(result.sum()) == pytest.approx(float(result.whole), abs=1e-4)
    hidden = trace.run.module.get_submodule("transformer.h.5.mlp.c_fc")
    kept: list[torch.Tensor] = []
    hook = hidden.register_forward_hook(lambda m, a, out: kept.append(out))
    with torch.no_grad():
        trace.run.module(*trace.run.args, **trace.run.kwargs)
    hook.remove()
    assert float(result.whole) == pytest.approx(float(kept[0][0, -1, 3]), abs=1e-5)
    assert float(trace.activation("L5.mlp.N3", position=1).whole) == pytest.approx(float(kept[0][0, 1, 3]), abs=1e-5)


def test_keys_are_vectors_on_the_stream(trace):
    """GPT-2's shape: the centred key over the norm's scale, and the bias, give every neuron at every place."""
    keys, x = trace.keys("L5.mlp"), trace["resid_mid", 5]
    norm = trace.run.module.get_submodule("transformer.h.5.ln_2")
    made = x @ keys.centred.T / (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt() + keys.bias
    torch.testing.assert_close(keys.activation, made, rtol=1e-3, atol=1e-4)
    assert keys.point == "L5.resid_mid" and keys.raw.shape == keys.centred.shape == (768, 192)
    assert float(keys.activation[0, -1, 3]) == pytest.approx(float(trace.activation("L5.mlp.N3").whole), abs=1e-5)


def test_a_trace_of_one_position_gives_the_same():
    model = real.model("default")
    one, all_of_them = model.trace(PROMPT, positions=-1), model.trace(PROMPT)
    a, b = one.queries(" Paris", top=3), all_of_them.queries(" Paris", top=3)
    assert list(a.values) == list(b.values)
    torch.testing.assert_close(a.credit.tensor, b.credit.tensor, rtol=1e-4, atol=1e-5)
    x, y = one.activation("L5.mlp.N3"), all_of_them.activation("L5.mlp.N3")
    torch.testing.assert_close(x.tensor, y.tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("padding", ["left", "right"])
def test_prompts_of_a_batch_are_as_if_alone(padding):
    """Padded on either side: the same values and the same numbers; key positions count the padding on the left."""
    model = real.model("default")
    prompts = [PROMPT, "The capital of the country called Italy is"]
    both = model.trace(prompts, padding=padding)
    for i, (prompt, target) in enumerate(zip(prompts, (" Paris", " Rome"), strict=True)):
        alone, held = (
            model.trace(prompt).queries(target, top=4, level="write"),
            both.queries(target, top=4, level="write", prompt=i),
        )
        neurons = [[label for label in q.values if ".N" in label] for q in (alone, held)]
        assert neurons[0] == neurons[1]
        torch.testing.assert_close(held.credit.tensor, alone.credit.tensor, rtol=1e-3, atol=1e-4)
        one, two = model.trace(prompt).activation("L5.mlp.N3"), both.activation("L5.mlp.N3", prompt=i)
        torch.testing.assert_close(one.whole, two.whole, rtol=1e-4, atol=1e-5)


def test_edits_are_rows_like_others():
    trace = real.model("default").trace(PROMPT, edits=ms.zero("L2.mlp") + ms.zero("L1.resid_post"))
    found = trace.queries(" Paris", top=3, level="write")
    assert float(found.credit["L2.mlp"].abs().max()) == 0
    assert any(label.endswith(".edit") for label in found.credit.labels)
    assert found.error <= found.bound


def zoo(name: str) -> ms.Trace:
    module, args, kwargs = ZOO[name]()
    model = ms.load(module)
    return model.trace(args[0] if args else kwargs["input_ids"], **{k: v for k, v in kwargs.items() if k != "input_ids"})


@pytest.mark.parametrize(
    ("name", "ask", "said"),
    [
        ("llama", lambda t: t.queries(3, top=0), "top is 1 or more, not 0"),
        ("llama", lambda t: t.queries(3, prompt=2), "there is no prompt 2: there are 2"),
        ("llama", lambda t: t.queries(3, position=9), "there is no position 9"),
        ("llama", lambda t: t.queries(3, level="rows"), "no level 'rows'"),
        ("llama", lambda t: t.queries(3, by="fame"), "no score 'fame'"),
        ("llama", lambda t: t.activation("L1.mlp.N3"), "has the keys 'gate' and 'up'"),
        ("llama", lambda t: t.activation("L1.mlp.N3", key="up", prompt=-1), "there is no prompt -1"),
        ("mamba", lambda t: t.queries(3), "nothing that counts here has a key to ask for"),
        ("mamba", lambda t: t.activation("L1.mixer.N3"), "has no key"),
        ("vit", lambda t: t.queries(1), "this model's output has no positions"),
        ("vit", lambda t: t.activation("L1.mlp.N3"), "name a position"),
        ("tabular", lambda t: t.activation("L1.mlp.N3", position=1), "no positions to choose from"),
    ],
)
def test_what_cannot_be_asked(name: str, ask: Callable[[ms.Trace], object], said: str):
    with pytest.raises(ms.InputError, match=said):
        ask(zoo(name))


def test_gate_and_up_are_both_reported():
    found = zoo("llama").queries(3, top=4)
    keys = found.frame().filter(pl.col("value_kind") == "mlp").group_by("value").agg(pl.col("key").unique().sort())
    assert keys["key"].to_list() == [["gate", "up"]] * len(keys)
    assert len(keys) == 4


def test_patches_and_rows_of_tables_have_their_activations():
    vit, table = zoo("vit"), zoo("tabular")
    assert vit.activation("L1.mlp.N3", position=0).error < 1e-4
    assert float(vit.activation("L1.mlp.N3", position=-1).whole) != float(vit.activation("L1.mlp.N3", position=0).whole)
    found = table.queries(0, top=3, prompt=2)
    assert found.values and found.choices["position"] is None
    assert found.frame()["read_position"].null_count() == len(found.frame())
    assert float(found.credit.whole) == pytest.approx(sum(found.values.values()), rel=1e-4)


def test_another_way_through_the_experts_is_mapped_anew():
    """A loop over experts makes other calls where another input chooses others: the trace maps that input itself."""
    module, args, _ = ZOO["experts"]()
    trace = ms.load(module).trace(ids(1, 3, 20))
    found = trace.queries(3, top=3)
    assert found.values and found.error <= found.bound
    assert find(module, *args).main.width == trace.stream.width


def test_saved_numbers_name_the_model(found, tmp_path: Path):
    assert found.provenance.name == "default"
    assert found.credit.provenance.weights == found.provenance.weights
