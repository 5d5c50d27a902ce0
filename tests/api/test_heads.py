"""Heads at one position: scores that sum, patterns, words of both ends; and what vectors become through them."""

from functools import cache
from pathlib import Path

import pytest
import torch

import mainstem as ms
import real
from zoo import SMALL, ZOO, pixels

PROMPTS = [[3, 14, 15, 9, 26, 5], [35, 8], [9, 7, 9, 3]]
NAMES = ["gpt2", "gptj", "neox", "llama", "bloom", "falcon", "gemma2", "granite", "mixtral", "bert"]
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


@cache
def model(name: str) -> ms.Model:
    import transformers

    if name == "default":
        return ms.load(name)
    if name != "mistral":
        return ms.load(ZOO[name]()[0])
    torch.manual_seed(0)
    config = transformers.MistralConfig(**SMALL, num_key_value_heads=2, head_dim=8, sliding_window=3)
    return ms.load(transformers.MistralForCausalLM(config).eval())


@cache
def traced(name: str) -> ms.Trace:
    return model(name).trace("The capital of France is" if name == "default" else PROMPTS)


@pytest.mark.parametrize("head", [0, 3])
@pytest.mark.parametrize("name", [*NAMES, "mistral", "default"])
def test_sources_sum_to_the_head_and_heads_to_the_write(name, head):
    trace, prompt = traced(name), 0
    heads, writes = trace.scores(7, "head").prompt(prompt), trace.scores(7).prompt(prompt)
    seen = trace.head(1, head, 7, prompt=prompt, k=0)
    assert seen.whole == pytest.approx(float(heads[f"L1.attn.H{head}"]), rel=1e-4, abs=1e-6)
    assert seen.frame()["value"].sum() == pytest.approx(seen.whole, rel=1e-4, abs=1e-6)
    frame = heads.heads()
    assert frame["head"].null_count() == frame["layer"].null_count() == 0
    assert frame.select("layer", "head").is_duplicated().sum() == 0
    for (layer,), rows in frame.group_by("layer"):
        label = f"L{layer}.attn"
        bias = float(heads[f"{label}.bias"]) if f"{label}.bias" in heads.labels else 0.0
        assert rows["value"].sum() + bias == pytest.approx(float(writes[label]), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("level", ["edge", "dim"])
@pytest.mark.parametrize("positions", [None, "all"])
def test_finer_levels_are_summed_to_heads(level, positions):
    trace = traced("llama")
    fine, heads = (trace.scores(7, at, positions=positions).heads() for at in (level, "head"))
    assert fine.columns == heads.columns
    assert fine.drop("value").equals(heads.drop("value"))
    torch.testing.assert_close(torch.tensor(fine["value"]), torch.tensor(heads["value"]), **CLOSE)


def test_scores_without_heads():
    with pytest.raises(ms.InputError, match='take scores\\(level="head"\\)'):
        traced("gpt2").scores(7, "neuron").heads()


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "mistral", "default"])
@pytest.mark.parametrize("position", [-1, 1])
def test_each_source_has_its_weight_score_and_words(name, position):
    trace, prompt = traced(name), 0
    seen = trace.head(1, 2, 7, k=3, position=position)
    place, edges = seen.position, trace.scores(7, "edge", positions=position).prompt(prompt)
    torch.testing.assert_close(seen.pattern, trace.pattern(1)[prompt, 2, place, : len(seen.pattern)], rtol=1e-5, atol=1e-7)
    lens = trace.lens()
    read = 1 if name == "falcon" else 2
    assert lens.points[read] == "L0.resid_post"
    for i, j in enumerate(seen.sources):
        label = f"L1.attn.H2<-{j}"
        assert float(seen.scores[i]) == pytest.approx(float(edges[label]), rel=1e-5, abs=1e-9)
        if seen.raises[i]:
            said = trace.words(label, 3, 3, position=position)
            assert seen.raises[i] == tuple(word for word, _ in said.first)
            assert seen.lowers[i] == tuple(word for word, _ in said.last)
            assert seen.reads[i][0] == lens.word(int(lens.values.tokens[read, prompt, j]))
        else:
            assert not seen.reads[i] and (float(seen.pattern[i]) == 0 or float(seen.scores[i]) == 0)


def test_reads_are_the_likeliest_words_of_the_models_own_readout():
    trace = traced("llama")
    m, x = trace.run.module, trace.point("L0.resid_post")
    with torch.no_grad():
        best = m.lm_head(m.model.norm(x))[0].topk(4).indices
    seen = trace.head(1, 0, 7, k=4)
    for j, said in zip(seen.sources, seen.reads, strict=True):
        assert said == tuple(str(int(i)) for i in best[j])


def test_only_the_strongest_sources_have_words():
    seen = traced("llama").head(1, 0, 7, k=2, top=2)
    strongest = seen.scores.abs().argsort(descending=True)[:2].tolist()
    assert [i for i, said in enumerate(seen.raises) if said] == sorted(strongest)
    assert all(len(seen.raises[i]) == len(seen.lowers[i]) == len(seen.reads[i]) == 2 for i in strongest)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "bloom"])
def test_padding_is_no_source(name, side):
    together = model(name).trace(PROMPTS, padding=side)
    for row, prompt in enumerate(PROMPTS):
        mine, alone = together.head(1, 1, 7, prompt=row), model(name).trace(prompt).head(1, 1, 7)
        assert len(mine.sources) == len(prompt)
        assert (mine.raises, mine.reads) == (alone.raises, alone.reads)
        torch.testing.assert_close(mine.scores, alone.scores, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(mine.pattern, alone.pattern, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("positions", [None, "all", -1, 1])
def test_the_position_is_that_of_the_trace(positions):
    prompt = PROMPTS[0]
    trace = model("gpt2").trace(prompt, positions=positions)
    seen = trace.head(1, 1, 7)
    assert seen.position == trace.words("L1.attn").position == (1 if positions == 1 else 5)
    assert seen.whole == pytest.approx(model("gpt2").trace(prompt).head(1, 1, 7, position=seen.position).whole, rel=1e-4)


def test_a_frame_of_a_head():
    frame = traced("default").head(3, 1, " Paris").frame()
    assert frame.columns == [
        "model", "target", "by", "prompt", "position", "component", "write", "layer", "head", "key_pos", "token", "value",
        "pattern", "reads", "raises", "lowers",
    ]  # fmt: skip
    assert frame["token"].to_list() == ["The", " capital", " of", " France", " is"]
    assert frame["component"][3] == "L3.attn.H1<-3"
    assert frame["pattern"].sum() == pytest.approx(1.0)
    assert "L3.attn.H1 at token 4, logit of ' Paris' by dla" in repr(traced("default").head(3, 1, " Paris"))


def test_another_score():
    trace = traced("default")
    seen = trace.head(3, 1, " Paris", by="logprob_increase")
    edges = trace.scores(" Paris", "edge", by="logprob_increase")
    torch.testing.assert_close(seen.scores, edges["L3.attn.H1"].flatten())


def test_what_has_no_view_of_heads():
    with pytest.raises(ms.InputError, match="no positions to see a head at"):
        ms.load(ZOO["vit"]()[0]).trace(pixels(size=16)).head(0, 0, 1)
    with pytest.raises(ms.InputError, match="L1.mixer is no attention|no write"):
        model("mamba").trace(PROMPTS[:1]).head(1, 0, 7)
    with pytest.raises(ms.InputError, match="there is no head 9"):
        traced("gpt2").head(1, 9, 7)
    with pytest.raises(ms.InputError, match="there is no layer 5"):
        traced("gpt2").head(5, 0, 7)
    edited = model("gpt2").trace(PROMPTS[0], edits=ms.zero("L1.attn.H1"))
    with pytest.raises(ms.InputError, match="L1.attn.H0 was edited"):
        edited.head(1, 0, 7)


def test_cross_attention_reads_another_stream():
    module = ZOO["t5"]()[0]
    trace = ms.load(module).trace([[3, 14, 15, 9]], decoder_input_ids=torch.tensor([[0, 5, 8]]))
    seen = trace.head(1, 2, 7, kind="cross")
    assert seen.sources == (0, 1, 2, 3)
    assert seen.whole == pytest.approx(float(trace.scores(7, "head")["dec.L1.cross.H2"]), rel=1e-4, abs=1e-6)
    assert all(said == () for said in seen.reads) and all(seen.raises)
    with pytest.raises(ms.InputError, match="of another stream"):
        trace.through_ov("dec.L0.mlp.N3", 1, 2, kind="cross")


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "neox", "bert"])
def test_several_components_through_a_head_are_each_what_they_are_alone(name):
    trace, labels = model(name).trace(PROMPTS[0]), ["L0.mlp.N3", "L0.mlp.N7"]
    weight = float(trace.pattern(1)[0, 2, 5, 3])
    found = trace.through_ov(labels, 1, 2, source=3, weight="pattern", first=4, last=3)
    assert found.through == "L1.attn.H2<-3" and found.frame()["through"].unique().to_list() == [found.through]
    for label in labels:
        single = trace.through_ov(label, 1, 2, source=3, weight=weight, first=4, last=3)
        for one, other in ((single.first, found[label]["first"]), (single.last, found[label]["last"])):
            assert [word for word, _ in one] == [word for word, _ in other]
            assert [v for _, v in one] == pytest.approx([v for _, v in other], rel=1e-4)


def test_a_neurons_words_through_a_head_by_hand():
    trace = model("llama").trace(PROMPTS[0])
    m = trace.run.module.requires_grad_(False)
    block, eps = m.model.layers[1], m.config.rms_norm_eps
    v, x, end = (
        m.model.layers[0].mlp.down_proj.weight[:, 5],
        trace.point("L0.resid_post")[0, 2],
        trace.point("L1.resid_post")[0, 4],
    )
    n = v / (x.square().mean() + eps).sqrt() * block.input_layernorm.weight
    w = block.self_attn.o_proj.weight[:, 24:32] @ (block.self_attn.v_proj.weight[8:16] @ n)
    logits = m.lm_head.weight @ (w / (end.square().mean() + eps).sqrt() * m.model.norm.weight)
    order = logits.argsort(descending=True)
    found = trace.through_ov("L0.mlp.N5", 1, 3, source=2, first=6, last=6, position=4)
    assert [word for word, _ in found.first] == [str(int(i)) for i in order[:6]]
    assert [word for word, _ in found.last] == [str(int(i)) for i in order.flip(0)[:6]]
    assert [value for _, value in found.first] == pytest.approx(logits[order[:6]].tolist(), rel=1e-4)


def test_in_a_pre_norm_model_the_source_changes_the_size_alone():
    trace = model("gpt2").trace(PROMPTS[0])
    said = [trace.through_ov("L0.mlp.N5", 1, 3, source=j) for j in range(6)]
    assert len({tuple(word for word, _ in one.first) for one in said}) == 1
    assert len({round(one.first[0][1], 6) for one in said}) > 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"component": "L1.mlp.N3", "layer": 1}, "L1.attn reads L0.resid_post, before L1.resid_post"),
        ({"component": "L0.mlp.N3", "layer": 1, "weight": "own"}, "weight is a number or 'pattern'"),
        ({"component": "L0.mlp", "layer": 1}, "L0.mlp has no row of its own"),
        ({"component": "L0.mlp.N3", "layer": 1, "source": 9}, "there is no position 9"),
        ({"component": "L0.mlp.N3", "layer": 1, "prompt": 4}, "there is no prompt 4"),
    ],
)
def test_what_does_not_go_through(asked, said):
    with pytest.raises(ms.InputError, match=said):
        model("gpt2").trace(PROMPTS[0]).through_ov(head=0, **asked)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2", "tinystories-656k", "minilm"])
def test_on_real_models(name, shared: Path, real_model):
    folder = shared / "models" / name if name == "tinystories-656k" else real_model(name)
    trace = real.model(folder).trace("The capital of France is")
    target = None if name != "minilm" else 7
    heads = trace.scores(target, "head")
    step = 7 if name == "smollm2" else 1  # each asks for the scores of every head of the model
    for layer in range(0, len(trace.stream.blocks), step):
        seen = trace.head(layer, 1, target, k=2)
        size = float(seen.scores.abs().sum())
        assert seen.whole == pytest.approx(float(heads[f"L{layer}.attn.H1"]), abs=1e-5 * max(1.0, size))
        assert float(seen.pattern.sum()) == pytest.approx(1.0, abs=1e-5)
    assert trace.through_ov("L0.mlp.N3", 1, 0).first
