"""Curves as users hold them: tidy frames whose columns charts read, of the target and place that were asked for."""

from functools import cache
from pathlib import Path

import polars as pl
import pytest
import torch

import mainstem as ms
import real
from zoo import ZOO, pixels, rows

PROMPTS = [[3, 14, 15, 9, 26, 5], [35, 8, 4], [9, 7, 9, 3]]


@cache
def traced(name: str) -> ms.Trace:
    if name == "default":
        return ms.load(name).trace(["The capital of France is", "The opposite of hot is cold and"])
    data = {"vit": pixels(size=16), "resnet": pixels(), "tabular": rows(6, 16)}.get(name, PROMPTS)
    return ms.load(ZOO[name]()[0]).trace(data)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "bert", "vit", "resnet", "mamba"])
def test_a_curve_for_what_every_layer_reads(name):
    """Where nothing is added, the lens; at the last point the model itself; each curve a sigmoid in what is added."""
    trace = traced(name)
    frame = trace.lower_layer_curve(2, added=[-1.0, 0.0, 2.0], prompt=1)
    blocks = len(trace.stream.blocks)
    assert frame["layer"].to_list() == [layer for layer in range(blocks + 1) for _ in range(3)]
    still = frame.filter(pl.col("added") == 0)
    lens = trace.lens(2)
    place = (1,) if still["position"][0] is None else (1, still["position"][0])
    for point, logprob in still.select("point", "logprob").iter_rows():
        assert logprob == pytest.approx(float(lens.values.logprob[lens.points.index(point)][place]), abs=1e-5)
    assert still["logprob"][-1] == pytest.approx(float(trace.logits[place].log_softmax(-1)[2]), abs=1e-5)
    for added, p, q, logprob in (
        frame.join(still.select("layer", q="probability"), on="layer").select("added", "probability", "q", "logprob").iter_rows()
    ):
        grown = q * torch.tensor(added, dtype=torch.float64).exp().item()
        assert p == pytest.approx(grown / (grown + 1 - q), rel=1e-5)
        assert p == pytest.approx(torch.tensor(logprob, dtype=torch.float64).exp().item(), rel=1e-12)
    assert frame["slope"].to_list() == pytest.approx([1 - p for p in frame["probability"]], abs=1e-9)
    assert frame["times"].null_count() == len(frame)


def test_along_a_component_once_is_the_component():
    """Added once, the last write's vector gives what it gives: the point before it becomes the last one, but for the scale."""
    trace = traced("default")
    bs = float(trace.bs("L5.mlp")[trace.index(" Paris")])
    frame = trace.lower_layer_curve(" Paris", along="L5.mlp", added=[0.0, bs], norm="final")
    last = frame.filter((pl.col("layer") == 6) & (pl.col("added") != 0))
    assert last["times"][0] == pytest.approx(1.0, rel=1e-5)
    value = trace.logits[0, 4].double() + trace.bs("L5.mlp").double()
    assert last["logprob"][0] == pytest.approx(float(value.log_softmax(-1)[trace.index(" Paris")]), abs=1e-5)
    assert set(frame["along"]) == {"L5.mlp"}
    vector = trace.lower_layer_curve(" Paris", along=trace["mlp_out", 5][0, 4], added=[0.0, bs], norm="final")
    assert vector["logprob"].to_list() == pytest.approx(frame["logprob"].to_list(), abs=1e-9)


def test_a_curves_columns():
    frame = traced("default").lower_layer_curve(" Paris")
    assert frame.columns == [
        "model", "target", "prompt", "position", "token", "layer", "point", "along", "added", "times", "probability", "logprob", "slope",
    ]  # fmt: skip
    assert len(frame) == 7 * 41 and frame["token"][0] == " is" and frame["target"][0] == "' Paris'"
    assert len(frame.filter(pl.col("added") == 0)) == 7


@pytest.mark.parametrize(
    ("name", "level"), [("gpt2", "neuron"), ("llama", "edge"), ("gemma2", "neuron"), ("bert", "head"), ("mixtral", "neuron")]
)
def test_sums_beside_the_score_of_the_sum(name, level):
    """The last is the write's own score, whatever the parts say; single scores are those of `scores`."""
    trace = traced(name)
    frame = trace.additivity(7, level=level, prompt=1)
    whole = trace.scores(7, by="logprob_increase").prompt(1)
    parts = trace.scores(7, level, by="logprob_increase", within=0.0).prompt(1)
    writes = {g.label for g in parts.parts.groups if g.axes}
    assert set(frame["write"]) == {label.split(".B")[0] for label in writes}
    for (write,), found in frame.group_by("write", maintain_order=True):
        assert found["together"][-1] == pytest.approx(float(whole[write]), abs=1e-5)
        assert found["k"][0] == 1 and found["k"].is_sorted()
        assert found["cumulative"][0] == pytest.approx(found["score"][0])
        for label, score in found.select("component", "score").iter_rows():
            assert score == pytest.approx(float(parts[label]), abs=1e-6)
        assert found.select("slope", "intercept", "r2").n_unique() == 1


def test_charts_draw_the_frames():
    pytest.importorskip("altair")
    from mainstem.view import Chart, additivity, head_map, lower_layer_curve

    trace = traced("default")
    drawn = [lower_layer_curve(trace.lower_layer_curve(" Paris")), additivity(trace.additivity(" Paris", ["L1.mlp", "L2.mlp"]))]
    drawn.append(head_map(trace.scores(" Paris", "head").prompt(0).heads()))
    assert all(isinstance(one, Chart) for one in drawn)


def test_a_lines_numbers_are_those_of_the_points():
    frame = traced("default").additivity(" Paris", "L2.mlp", steps=20)
    assert len(frame) == 20
    x, y = (torch.tensor(frame[name].to_list(), dtype=torch.float64) for name in ("cumulative", "together"))
    slope, intercept, r2 = frame.select("slope", "intercept", "r2").row(0)
    residual = y - slope * x - intercept
    assert float(residual.mean()) == pytest.approx(0, abs=1e-9)
    assert float((residual * x).mean()) == pytest.approx(0, abs=1e-9)
    assert r2 == pytest.approx(1 - float(residual.square().sum() / (y - y.mean()).square().sum()))
    assert 0.9 < r2 < 1


@pytest.mark.parametrize("by", ["dla", "logprob_increase", "prob_increase"])
@pytest.mark.parametrize("level", ["neuron", "head"])
def test_shares_of_a_write_sum_to_one_with_what_is_left(by, level):
    trace = traced("default")
    result = trace.scores([" Paris", " cold"], level, by=by)
    frame, whole = result.shares(), trace.scores([" Paris", " cold"], by=by)
    for (write, prompt), found in frame.group_by("write", "prompt"):
        assert found["share"].sum() == pytest.approx(1.0, abs=1e-6)
        assert found["whole"].n_unique() == 1
        assert found["whole"][0] == pytest.approx(float(whole[write][prompt]), abs=1e-4)
        kinds = set(found["kind"])
        assert ("interaction" in kinds) == (by != "dla")
    assert set(frame["write"]) == {f"L{i}.{'mlp' if level == 'neuron' else 'attn'}" for i in range(6)}
    with pytest.raises(ms.InputError, match="no write is taken apart here"):
        whole.shares()


@pytest.mark.parametrize("name", ["default", "gpt2", "llama", "gemma2", "bert", "vit", "tabular"])
def test_linearity_of_every_layers_norm(name):
    frame = traced(name).norm_linearity()
    gated = name in ("llama", "gemma2")
    layers = len(traced(name).stream.blocks)
    assert frame.columns == ["model", "write", "layer", "key", "row", "tokens", "neurons", "mean", "median", "lowest"]
    assert len(frame) == layers * 2 * (2 if gated else 1)
    assert set(frame["key"]) == ({"gate", "up"} if gated else {"key"})
    assert bool((frame["mean"] <= 1 + 1e-9).all()) and bool((frame["lowest"] <= frame["median"]).all())
    if name in ("llama", "gemma2", "bert"):  # no mean is subtracted
        raw, centred = (frame.filter(pl.col("row") == row)["mean"].to_list() for row in ("raw", "centred"))
        assert raw == pytest.approx(centred, abs=1e-9)


def test_the_first_token_counts_where_it_is_asked_for():
    trace = traced("gpt2")
    without, every = trace.norm_linearity(), trace.norm_linearity(first=True)
    assert (without["tokens"][0], every["tokens"][0]) == (13 - 3, 13)
    left = ms.load(ZOO["gpt2"]()[0]).trace(PROMPTS, padding="left").norm_linearity()
    assert left["tokens"][0] == 10
    assert left["mean"].to_list() == pytest.approx(without["mean"].to_list(), abs=1e-4)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda t: t.lower_layer_curve(ms.contrast(3, 4)), "one token at one place"),
        (lambda t: t.lower_layer_curve(ms.any_of(3, 4)), "one token at one place"),
        (lambda t: t.lower_layer_curve(3, along="L9.mlp"), "no write 'L9.mlp'"),
        (lambda t: t.lower_layer_curve(3, prompt=5), "there is no prompt 5"),
        (lambda t: t.additivity(3, level="write"), "no level 'write' of parts; there are head, edge, dim, neuron"),
        (lambda t: t.additivity(3, "L1.attn"), "L1.attn has no parts at level 'neuron'"),
        (lambda t: t.additivity(3, steps=1), "2 steps or more"),
        (lambda t: t.additivity(3, norm="mine"), "no norm rule 'mine'"),
    ],
)
def test_what_is_asked_wrongly(ask, said):
    with pytest.raises(ms.InputError, match=said):
        ask(traced("gpt2"))


def test_a_sequence_is_no_place():
    trace = real.model("default").trace("The capital of France is")
    for ask in (trace.lower_layer_curve, trace.additivity, lambda target: trace.head(1, 0, target)):
        with pytest.raises(ms.InputError, match="at one position"):
            ask(ms.sequence(" Paris ."))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2", "tinystories-656k"])
def test_on_real_models(name, shared: Path, real_model):
    """The last point's curve begins at the model's own probability; sums end at the write's score; norms are reported."""
    trace = real.model(shared / "models" / name if name == "tinystories-656k" else real_model(name)).trace(
        "The capital of France is"
    )
    still = trace.lower_layer_curve(added=[0.0])
    assert still["logprob"][-1] == pytest.approx(float(trace.logits[0, -1].log_softmax(-1).max()), abs=1e-4)
    frame = trace.additivity(writes="L1.attn", level="head")
    whole = trace.scores(by="logprob_increase")
    assert frame["together"][-1] == pytest.approx(float(whole["L1.attn"]), abs=1e-4)
    linear = trace.norm_linearity()
    assert set(linear["key"]) == {"gate", "up"} and linear["tokens"][0] == len(trace.tokens[0]) - 1
    assert bool((linear["mean"].abs() <= 1 + 1e-9).all())
