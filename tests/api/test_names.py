"""Tensors by name: points, writes, heads' results and patterns are what the library itself reports under those names."""

from functools import cache

import pytest
import torch
import transformers
from torch import Tensor, nn

import mainstem as ms
from zoo import GROUPED, SMALL, ZOO, ids

WINDOW = {**SMALL, **GROUPED, "head_dim": 8, "sliding_window": 3}
SINKS = {**WINDOW, "num_local_experts": 4, "num_experts_per_tok": 2, "layer_types": ["sliding_attention", "full_attention"]}
FALCON = {k: v for k, v in SMALL.items() if k != "intermediate_size"}
MORE = {
    "mistral": lambda: transformers.MistralForCausalLM(transformers.MistralConfig(**WINDOW)),
    "gemma2_window": lambda: transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**WINDOW, attn_logit_softcapping=0.5)),
    "gpt_oss": lambda: transformers.GptOssForCausalLM(transformers.GptOssConfig(**SINKS)),
    "falcon": lambda: transformers.FalconForCausalLM(transformers.FalconConfig(**FALCON, attn_implementation="eager")),
    "multi_query": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL, num_key_value_heads=1)),
}
EAGER = ["gpt2", "gptj", "neox", "llama", "bloom", "gemma2", "granite", "bert", "mixtral", "vit", *MORE]
FUSED = sorted(
    set(EAGER) - {"bloom", "gptj", "gemma2", "gemma2_window", "gpt_oss", "falcon"}
)  # the library has no sdpa for these
ATTENTIONS = [(name, "eager") for name in EAGER] + [(name, "sdpa") for name in FUSED]
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def made(name: str, attention: str | None = None) -> tuple[nn.Module, Tensor]:
    """A small random model and an input. Parameters: `name`; `attention`, "eager" or "sdpa", None for its own choice."""
    torch.manual_seed(0)
    module, args = (MORE[name]().eval(), (ids(),)) if name in MORE else ZOO[name]()[:2]
    if name == "gpt_oss":
        for p in module.parameters():
            nn.init.normal_(p, std=0.3)
    if attention is not None and name != "falcon":
        module.set_attn_implementation(attention)
    return module, args[0]


@cache
def traced(name: str, attention: str | None = None) -> ms.Trace:
    """A trace of it."""
    module, data = made(name, attention)
    return ms.load(module).trace(data)


@cache
def reported(name: str) -> dict[str, tuple[Tensor, ...]]:
    """What the library reports in its own eager run (its fused Falcon, asked for patterns, runs without its mask)."""
    module, data = made(name, "eager")
    with torch.no_grad():
        found = module(data, output_hidden_states=True, output_attentions=True)
    return {"hidden": found.hidden_states, "attentions": found.attentions, "logits": (found.logits,)}


@pytest.mark.parametrize(("name", "attention"), ATTENTIONS)
def test_patterns_are_the_librarys(name, attention):
    trace = traced(name, attention)
    for layer, wanted in enumerate(reported(name)["attentions"]):
        torch.testing.assert_close(trace.pattern(layer), wanted, **CLOSE)
        assert torch.equal(trace["pattern", layer], trace.pattern(layer))


@pytest.mark.parametrize("name", ["gpt2", "llama", "bloom", "mistral", "gemma2_window", "gpt_oss"])
def test_what_may_not_be_seen_has_exactly_no_weight(name):
    pattern = traced(name).pattern(0)
    places = torch.arange(pattern.shape[-1])
    back = places[:, None] - places[None, :]
    hidden = (back < 0) | (back >= (3 if name in ("mistral", "gemma2_window", "gpt_oss") else 99))
    assert float(pattern[:, :, hidden].abs().max()) == 0.0
    assert float(pattern[:, :, ~hidden].min()) > 0.0
    rows = pattern.sum(-1)
    if name == "gpt_oss":  # a sink takes its share
        assert float(rows.max()) < 1.0
    else:
        torch.testing.assert_close(rows, torch.ones_like(rows))


@pytest.mark.parametrize("name", ["mistral", "gemma2_window", "gpt_oss", "multi_query"])
@pytest.mark.parametrize("level", ["write", "head", "edge", "dim", "neuron"])
def test_windows_caps_sinks_and_single_keys_close(name, level):
    found = traced(name).scores(7, level)
    assert found.error <= found.bound
    torch.testing.assert_close(found.sum(), reported(name)["logits"][0][:, -1, 7], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "gemma2", "falcon"])
def test_points_by_name_are_hidden_states(name):
    trace, hidden = traced(name), reported(name)["hidden"]
    for layer in range(2):
        torch.testing.assert_close(trace["resid_pre", layer], hidden[layer], **CLOSE)
        assert torch.equal(trace["resid_pre", layer], trace[f"L{layer}.resid_pre"])
        assert torch.equal(trace["resid_post", layer], trace[f"L{layer}.resid_post"])
    torch.testing.assert_close(trace["resid_post", 0], hidden[1], **CLOSE)
    assert torch.equal(trace["resid_pre", 1], trace["resid_post", 0])
    assert torch.equal(trace["resid_pre", 0], trace["entry"])


def test_the_last_hidden_state_of_gpt2_is_normed_and_the_point_is_not():
    trace, hidden = traced("gpt2"), reported("gpt2")["hidden"]
    point, norm = trace["resid_post", 1], traced("gpt2").run.module.transformer.ln_f
    torch.testing.assert_close(norm(point), hidden[-1], **CLOSE)
    assert float((point - hidden[-1]).abs().max()) > 0.1


def test_a_post_norm_model_has_two_faces():
    trace, hidden = traced("bert"), reported("bert")["hidden"]
    norm = trace.run.module.bert.encoder.layer[1].output.LayerNorm
    torch.testing.assert_close(trace["resid_post", 1], hidden[-1], **CLOSE)
    torch.testing.assert_close(norm(trace.point("L1.resid_post", "sum")), hidden[-1], **CLOSE)
    assert torch.equal(trace.point("L1.resid_post", "read"), trace["L1.resid_post"])
    total = trace.point("L1.resid_mid") + trace["L1.mlp"]
    torch.testing.assert_close(total, trace.point("L1.resid_post", "sum"), **CLOSE)


@pytest.mark.parametrize("name", ["gpt2", "llama", "falcon", "bert"])
def test_writes_by_name_are_what_is_added(name):
    trace = traced(name)
    for layer in range(2):
        attn, mlp = trace["attn_out", layer], trace["mlp_out", layer]
        assert torch.equal(attn, trace[f"L{layer}.attn"])
        assert torch.equal(mlp, trace[f"L{layer}.mlp"])
        assert attn.shape == mlp.shape == trace["resid_pre", layer].shape
        pre, post = trace["resid_pre", layer], trace.point(f"L{layer}.resid_post", "sum")
        if name == "bert":
            pre, attn = trace.point(f"L{layer}.resid_mid"), 0.0
        torch.testing.assert_close(pre + attn + mlp, post, **CLOSE)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize(
    ("name", "path"), [("gpt2", "transformer.h.{}.attn.c_proj"), ("llama", "model.layers.{}.self_attn.o_proj")]
)
def test_z_is_what_the_output_projection_reads(name, path, attention):
    trace = traced(name, attention)
    module, data = made(name, attention)
    for layer in range(2):
        read = []
        hook = module.get_submodule(path.format(layer)).register_forward_pre_hook(
            lambda m, a, read=read: read.append(a[0].clone())
        )
        with torch.no_grad():
            module(data)
        hook.remove()
        z = trace["z", layer]
        assert z.shape == (2, 4, 7, 8)
        torch.testing.assert_close(z.transpose(1, 2).flatten(2), read[0], **CLOSE)


def test_cross_attention_has_patterns_of_its_own():
    module, _, kwargs = ZOO["t5"]()
    module.set_attn_implementation("eager")
    trace = ms.load(module).trace(kwargs["input_ids"], decoder_input_ids=kwargs["decoder_input_ids"])
    with torch.no_grad():
        found = module(**kwargs, output_attentions=True)
    for layer in range(2):
        torch.testing.assert_close(trace.pattern(layer), found.decoder_attentions[layer], **CLOSE)
        torch.testing.assert_close(trace.pattern(layer, "cross"), found.cross_attentions[layer], **CLOSE)
    side = ms.load(module).trace(kwargs["input_ids"], decoder_input_ids=kwargs["decoder_input_ids"], stream="enc")
    torch.testing.assert_close(side.pattern(1), found.encoder_attentions[1], **CLOSE)
    torch.testing.assert_close(side["resid_pre", 1], traced_hidden(module, kwargs)[1], **CLOSE)


def traced_hidden(module: nn.Module, kwargs: dict[str, Tensor]) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return module(**kwargs, output_hidden_states=True).encoder_hidden_states


@pytest.mark.parametrize("layer", [-1, 2, 99])
def test_a_layer_that_does_not_exist(layer):
    with pytest.raises(ms.InputError, match=f"there is no layer {layer}: this stream has 2 blocks, 0 to 1"):
        traced("gpt2")["resid_post", layer]
    with pytest.raises(ms.InputError, match=f"there is no layer {layer}"):
        traced("gpt2").pattern(layer)


def test_names_that_do_not_exist():
    trace = traced("gpt2")
    with pytest.raises(ms.InputError, match="no point 'L0.resid_over'; there are entry, L0.resid_mid"):
        trace.point("L0.resid_over")
    with pytest.raises(ms.InputError, match="no write 'L0.resid_over'"):
        trace["resid_over", 0]
    with pytest.raises(ms.InputError, match="face is 'read' or 'sum', not 'front'"):
        trace.point("entry", "front")
    with pytest.raises(ms.InputError, match="no write 'L0.cross'"):
        trace.pattern(0, "cross")
    with pytest.raises(ms.InputError, match=r"L0\.mlp is no attention; its kind is mlp"):
        trace.pattern(0, "mlp")
    with pytest.raises(ms.InputError, match="no stream 'side'"):
        ms.load(trace.run.module).trace(ids(), stream="side")
