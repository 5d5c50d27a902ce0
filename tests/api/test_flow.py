"""The way along the stream as users ask for it: frames whose numbers are those of the rooms below, on nets and on real models."""

import polars as pl
import pytest
import torch

import mainstem as ms
import nets
import real
from mainstem.core import InputError
from zoo import ZOO

SAID = ["model", "prompt", "position", "token"]


@pytest.fixture(scope="module")
def model():
    return real.model("default")


@pytest.fixture(scope="module")
def trace(model):
    return model.trace(["The capital of France is", "One two"])


def test_a_planted_eraser_is_found_and_caught():
    module, ids = nets.Erasing("eraser").eval(), torch.tensor([[1, 3, 2], [2, 1, 0]])
    planted = ms.load(module)
    planted.map_with(ids)
    trace = planted.trace(ids)
    kept = trace.persistence("L0.mlp.N0", prompt=1)
    assert kept.columns == [*SAID, "component", "point", "layer", "overlap", "kept", "length", "stream"]
    assert kept["kept"].to_list() == pytest.approx([1, 0], abs=1e-6)
    assert kept["layer"].to_list() == [0, 1] and kept["position"].to_list() == [2, 2]
    taken = trace.erased("L0.mlp.N0", prompt=1)
    (row,) = taken.to_dicts()
    assert taken.columns[4:] == [
        "component", "zeroed", "write", "kind", "point", "layer", "share", "without", "caused", "kept", "restored"
    ]  # fmt: skip
    assert (row["write"], row["kept"], row["restored"], row["caused"]) == (
        "L1.mlp",
        *(pytest.approx(x, abs=1e-6) for x in (0, 1, -1)),
    )
    assert dict(trace.erasers().top(9))["L1.mlp.N0"] == pytest.approx(-1)


def test_kept_is_what_caveats_say_of_the_last_point(trace):
    cautions = trace.caveats(" Paris", by="dla", top=4).filter(pl.col("prompt") == 0, pl.col("write").str.starts_with("L"))
    for row in cautions.to_dicts():
        last = trace.persistence(row["component"]).to_dicts()[-1]
        assert last["kept"] == pytest.approx(row["kept"], rel=1e-4, abs=1e-5)
        assert last["overlap"] == pytest.approx(row["overlap"], rel=1e-4, abs=1e-5)


def test_erasers_of_a_model_and_of_prompts(model, trace, tmp_path):
    found = model.erasers()
    frame = found.frame()
    neurons, heads = (frame.filter(pl.col("kind") == kind) for kind in ("neuron", "head"))
    assert len(neurons) == 6 * 768 and len(heads) == 36 and len(found) == len(frame)
    assert frame["score"].is_sorted() and frame["rank"].to_list() == list(range(len(frame)))
    assert neurons["present"].null_count() == len(neurons) and heads["cosine"].null_count() == 36
    assert found.top(3, "head") == [(r["component"], r["score"]) for r in heads.head(3).to_dicts()]
    of_prompts = trace.erasers().frame()
    assert of_prompts.filter(pl.col("kind") == "neuron").equals(
        neurons.drop("rank").join(of_prompts.select("component", "rank"), on="component").select(of_prompts.columns)
    )
    own = trace.pattern(4)[:, 2].diagonal(dim1=1, dim2=2)
    n = [len(tokens) for tokens in model.trace("One two").tokens]
    want = torch.cat([own[0, 1:], own[1, 1 : n[0]]]).mean()
    row = of_prompts.row(by_predicate=pl.col("component") == "L4.attn.H2", named=True)
    assert row["present"] == pytest.approx(float(want), rel=1e-5)
    stored = pl.read_parquet(found.save(tmp_path / "erasers.parquet"))
    assert stored.equals(frame) and "neurons, cos" in repr(found)
    with pytest.raises(InputError, match="neuron, head"):
        found.top(1, "write")


def test_erasers_over_data_are_those_of_all_tokens(model, tmp_path):
    texts = ["The capital of France is", "One two", "Hot", "The opposite of hot is cold, as everyone knows."]
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(texts))
    whole = model.trace(texts).erasers().frame()
    for data, how in ((path, {}), (str(path), {"batch_tokens": 12}), (texts, {"batch_tokens": 14, "length": 12})):
        found = model.erasers(data, **how).frame()
        both = whole.join(found, on=["component", "key"], nulls_equal=True, suffix="_found")
        assert len(both) == len(whole) == len(found) and found["score"].is_sorted()
        for name in ("score", "present", "cosine"):
            torch.testing.assert_close(
                both[name].to_torch(), both[f"{name}_found"].to_torch(), rtol=1e-5, atol=1e-6, equal_nan=True
            )
    ids = model.erasers([model.ids(text) for text in texts[:2]])
    assert len(ids) == len(whole)
    with pytest.raises(InputError, match="there is no file or folder none.txt"):
        model.erasers("none.txt")


def test_erasers_as_bars(model):
    pytest.importorskip("altair")
    for kind in ("neuron", "head", None):
        drawn = model.erasers().chart(kind, 5).to_dict()
        assert "Strongest erasers" in str(drawn["title"])
    assert len(drawn["concat"]) == 2


def test_composition_of_heads(model, trace):
    frame = model.composition()
    assert len(frame) == 3 * 36 * (6 * 5 // 2)
    assert frame["baseline"].unique().to_list() == pytest.approx([192**-0.5])
    one = frame.row(
        by_predicate=(pl.col("later") == "L4.attn.H1") & (pl.col("earlier") == "L2.attn.H3") & (pl.col("via") == "value"),
        named=True,
    )
    ov = trace.virtual_weights("L4.attn.H1", "L2.attn.H3", "value")
    assert ov.shape == (32, 32)
    block, first = (model.module.transformer.h[i] for i in (4, 2))
    with torch.no_grad():

        def head(b, h):
            v = b.attn.c_attn.weight[:, 384:].T[32 * h : 32 * h + 32] * b.ln_1.weight
            return b.attn.c_proj.weight[32 * h : 32 * h + 32].double().T @ (v - v.mean(-1, keepdim=True)).double()

        a, b = head(block, 1), head(first, 3)
        assert one["score"] == pytest.approx(float((a @ b).norm() / a.norm() / b.norm()), rel=1e-5)
    assert one["ratio"] == pytest.approx(one["score"] / one["baseline"])


def test_gradients_of_every_token(trace):
    frame = trace.gradients(" Paris")
    real = sum(map(len, (["x"] * 5, trace.tokens[1])))
    assert frame.columns == ["model", "target", *SAID[1:], "point", "layer", "skip", "blocks"]
    last = frame.filter(pl.col("point") == "L5.resid_post")
    assert last["skip"].to_list() == pytest.approx(last["blocks"].to_list())
    assert (last["skip"] > 0).sum() == 2 < len(last) <= real
    assert frame.filter(pl.col("point") == "entry")["skip"].min() > 0


def test_a_change_grows(trace):
    frame = trace.perturbed("L1.resid_post", "L0.mlp", size=0.01, norms=("live", "frozen"))
    assert frame.columns == [*SAID, "direction", "point", "layer", "norms", "size", "growth", "here"]
    first = frame.filter(pl.col("point") == "L1.resid_post")
    x = float(trace.point("L1.resid_post")[0, -1].norm()) if len(trace.tokens[0]) == 5 else 0.0
    assert first["growth"].to_list() == [1.0, 1.0] and first["size"].to_list() == pytest.approx([0.01 * x] * 2, rel=1e-3)
    assert trace.perturbed("entry", seed=1).filter(pl.col("norms") == "absent")["size"].is_finite().all()
    assert not trace.perturbed("entry", seed=1, norms=["live"]).equals(trace.perturbed("entry", seed=2, norms=["live"]))


def test_what_cannot_be_asked_is_said(trace):
    with pytest.raises(InputError, match="no point"):
        trace.perturbed("L9.resid_post")
    with pytest.raises(InputError, match="above zero"):
        trace.perturbed("entry", size=0.0)
    with pytest.raises(InputError, match="direction is zero"):
        trace.perturbed("entry", torch.zeros(192))
    with pytest.raises(InputError, match="last write"):
        trace.erased("L5.mlp")
    with pytest.raises(InputError, match="no prompt"):
        trace.persistence("L0.mlp", prompt=7)


@pytest.mark.parametrize("name", ["resnet", "vit", "t5", "bert", "mixtral", "tabular_linear", "bloom"])
def test_every_make_of_model_is_asked_the_same(name):
    module, args, kwargs = ZOO[name]()
    model = ms.load(module)
    if name.startswith("tabular"):
        model.map_with(*args)
    trace = model.trace(kwargs["input_ids"] if kwargs else args[0], **{k: v for k, v in kwargs.items() if k != "input_ids"})
    label = trace.stream.writes[0].label
    assert trace.persistence(label)["kept"][0] == 1.0
    assert len(trace.erased(label)) >= 1
    assert len(trace.perturbed(trace.stream.points[0].name, norms=("live", "frozen"))) == 2 * len(trace.stream.points)
    if name != "tabular_linear":
        assert trace.gradients(1)["skip"].is_finite().all()
    if name != "resnet":
        assert trace.erasers().frame()["score"].is_between(-1.001, 1.001).all()


@pytest.mark.slow
def test_on_smollm2(real_model):
    model = real.model(real_model("smollm2"))
    trace = model.trace("The capital of France is")
    frame = trace.erasers().frame()
    assert len(frame) == 2 * 30 * 1536 + 270
    assert frame.filter(pl.col("kind") == "head")["eigenvalues"].is_between(-1, 1).all()
    taken = trace.erased("L0.mlp")
    assert taken["kept"][-1] == pytest.approx(trace.persistence("L0.mlp")["kept"][-1], rel=1e-3, abs=1e-3)
    assert trace.gradients(" Paris")["skip"].is_finite().all()
