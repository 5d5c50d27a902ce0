"""Architectures made small: nothing that matters is lost, nothing hides, and what cannot be built says why."""

from collections import Counter

import pytest
import torch
from torch import nn

from mainstem.core import LoadError
from mainstem.models import KINDS, STREAMLESS, Architecture, Small, architectures, small
from mainstem.models._shrink import shrunk
from mainstem.models._zoo import configuration, liven
from mainstem.models._zoo_special import CONFIGS

SAMPLE = (
    Architecture("causal", "llama", "LlamaForCausalLM"),
    Architecture("causal", "jamba", "JambaForCausalLM"),
    Architecture("masked", "bert", "BertForMaskedLM"),
    Architecture("seq2seq", "whisper", "WhisperForConditionalGeneration"),
    Architecture("image", "convnext", "ConvNextForImageClassification"),
    Architecture("audio", "hubert", "HubertForCTC"),
)


@pytest.fixture(scope="module", params=SAMPLE, ids=lambda a: a.name)
def made(request) -> Small:
    return small(request.param)


def test_every_class_is_there_once_a_kind():
    found = architectures()
    assert {a.kind for a in found} == set(KINDS)
    assert max(Counter((a.kind, a.name) for a in found).values()) == 1
    assert len(architectures(["causal"])) >= 60 and set(SAMPLE) <= set(found)


def test_names_of_streamless_architectures_exist():
    assert set(STREAMLESS) <= {a.name for a in architectures(["image"])}


def test_a_small_module_is_small_and_ready(made):
    assert sum(p.numel() for p in made.module.parameters()) < 300_000
    assert not made.module.training
    assert {p.dtype for p in made.module.parameters()} == {torch.float32}
    tensors = [value for value in made.kwargs.values() if isinstance(value, torch.Tensor)]
    assert tensors and all(len(t) == 2 for t in tensors)
    with torch.no_grad():
        assert made.module(**made.kwargs).logits.isfinite().all()


def test_nothing_hides_as_a_constant(made):
    for name, tensor in made.module.named_parameters():
        assert tensor.numel() == 1 or tensor.unique().numel() > 1, f"{name} is {tensor.flatten()[0]} everywhere"
    for name, tensor in made.module.named_buffers():
        assert "running" not in name or tensor.unique().numel() > 1, name


def test_the_same_module_each_time_and_the_callers_seed_untouched():
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    one, two = small(SAMPLE[0]), small(SAMPLE[0])
    assert torch.equal(torch.rand(3), want)
    pairs = zip(one.module.state_dict().values(), two.module.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("model_type", ["afmoe", "gpt_oss", "qwen3_next", "gemma3_text"])
def test_every_kind_of_layer_is_kept(model_type):
    from transformers import CONFIG_MAPPING

    if model_type not in CONFIG_MAPPING:
        pytest.skip(f"this release of transformers has no {model_type}")
    name = next(a.name for a in architectures(["causal"]) if a.model_type == model_type)
    made = configuration(Architecture("causal", model_type, name))
    assert set(made.layer_types) == set(CONFIG_MAPPING[model_type]().layer_types)
    assert 2 <= len(made.layer_types) == made.num_hidden_layers <= 6


def test_lists_with_an_entry_a_layer_are_cut_together():
    kinds, sizes = ["a", "b", "a", "b"] * 3, [1, 2, 1, 3] * 3
    made = shrunk({"num_hidden_layers": 12, "layer_types": kinds, "sizes": sizes, "other": [1, 2]}, {})
    assert made == {"num_hidden_layers": 3, "layer_types": ["a", "b", "b"], "sizes": [1, 2, 3]}


def test_special_values_win_and_reach_inside():
    default = {"hidden_size": 900, "text_config": {"hidden_size": 900, "num_hidden_layers": 12, "other": 1}}
    made = shrunk(default, {"hidden_size": 7, "text_config": {"other": 2}})
    assert made == {"hidden_size": 7, "text_config": {"hidden_size": 32, "num_hidden_layers": 2, "other": 2}}


def test_grouped_heads_stay_grouped():
    grouped = shrunk({"num_attention_heads": 32, "num_key_value_heads": 8}, {})
    full = shrunk({"num_attention_heads": 32, "num_key_value_heads": 32}, {})
    assert (grouped["num_key_value_heads"], full["num_key_value_heads"]) == (2, 4)


def test_norms_gates_and_memory_nobody_initialised_are_filled():
    module = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 8))
    module.gate = nn.Parameter(torch.full((8,), 1e-6))
    module.lost = nn.Parameter(torch.full((8,), float("nan")))
    liven(module)
    for tensor in (module[0].weight, module[0].bias, module[0].running_mean, module[0].running_var, module.gate, module.lost):
        assert tensor.isfinite().all() and tensor.unique().numel() == 8
        assert tensor.abs().max() > 0.05
    assert (module[0].running_var > 0).all()


def test_what_cannot_be_built_says_why(monkeypatch):
    monkeypatch.setitem(CONFIGS, "bert", {"hidden_size": 33})
    with pytest.raises(LoadError, match=r"^cannot be built small: .*33.*") as caught:
        small(SAMPLE[2])
    assert "\n" not in str(caught.value)


def test_every_special_value_is_of_something_that_exists():
    from transformers import CONFIG_MAPPING

    known = set(CONFIG_MAPPING) | {a.name for a in architectures()}
    assert not set(CONFIGS) - known
