"""The same proofs on trained weights, beside the repository or made of registry packages."""

import json

import pytest
import torch
from torch import Tensor, nn

import real
from mainstem.find import StreamMap, find, run, transport

pytestmark = pytest.mark.slow


def proved(module: nn.Module, **inputs: Tensor) -> StreamMap:
    """The map, with a proof in float64 that leaves nothing out. Parameters: `module`; `inputs`."""
    found = find(module.eval(), **inputs)
    proof = found.proof
    assert proof.dtype == "float64"
    assert proof.closed
    assert proof.max_error <= proof.bound
    assert max(proof.continuity, proof.cut, proof.response) < 1e-12
    assert proof.uncovered == ()
    assert proof.bypass == ()
    return found


def rebuilt(module: nn.Module, found: StreamMap, **inputs: Tensor) -> float:
    """By how much the output, rebuilt in float32 from entry and writes, misses the module's own, as a share of its size."""
    stream = found.main
    with torch.no_grad():
        seen = run(module, (), inputs, stream.keys(), (), found.volatile)
        value = sum(w.factor * seen.at(w.site) for w in stream.entry)
        for before, point in zip(stream.points, stream.points[1:], strict=False):
            value = point.factor * transport(before, seen, value) + sum(w.factor * seen.at(w.site) for w in point.writes)
        out = seen.at(stream.output)
        return float((transport(stream.points[-1], seen, value) - out).abs().max() / out.abs().max())


def labels(found: StreamMap) -> list[str]:
    """Labels of the main stream's writes. Parameters: `found`."""
    return [w.label for w in found.main.writes]


def layers(count: int, *kinds: str) -> list[str]:
    """L0.attn, L0.mlp, L1.attn and so on. Parameters: `count`; `kinds`, of each layer."""
    return [f"L{i}.{kind}" for i in range(count) for kind in kinds]


def tokens(length: int, vocab: int, batch: int = 1) -> Tensor:
    """Token ids. Parameters: `length`, `vocab`, `batch`."""
    return torch.randint(3, vocab, (batch, length), generator=torch.Generator().manual_seed(length))


def test_tinystories(shared):
    from transformers import LlamaForCausalLM

    module = LlamaForCausalLM.from_pretrained(shared / "models" / "tinystories-656k")
    found = proved(module, input_ids=tokens(12, module.config.vocab_size, 2))
    assert labels(found) == layers(2, "attn", "mlp")
    assert found.main.width == 128
    for length in (1, 12, 200):
        assert rebuilt(module, found, input_ids=tokens(length, module.config.vocab_size)) < 1e-5


def test_smollm2(real_model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    module = AutoModelForCausalLM.from_pretrained(real_model("smollm2"), dtype=torch.float32)
    prompt = AutoTokenizer.from_pretrained(real_model("smollm2"))("The capital of France is", return_tensors="pt").input_ids
    found = proved(module, input_ids=prompt)
    assert labels(found) == layers(30, "attn", "mlp")
    assert found.main.width == 576
    assert rebuilt(module, found, input_ids=prompt) < 1e-5


def test_minilm(real_model):
    from transformers import AutoModel

    module = AutoModel.from_pretrained(real_model("minilm"), dtype=torch.float32)
    found = proved(module, input_ids=tokens(9, 30000))
    assert labels(found) == layers(6, "attn", "mlp")
    assert rebuilt(module, found, input_ids=tokens(9, 30000)) < 1e-5


def photograph(size: int) -> Tensor:
    """Something with an image's statistics. Parameters: `size`, of a side."""
    noise = torch.randn(1, 3, size // 16, size // 16, generator=torch.Generator().manual_seed(size))
    return nn.functional.interpolate(noise, size=size, mode="bicubic")


def test_resnet50(real_model):
    from transformers import ResNetForImageClassification

    module = ResNetForImageClassification.from_pretrained(real_model("resnet50"))
    found = proved(module, pixel_values=photograph(128))
    assert labels(found) == layers(16, "conv")
    assert [p.shape[1] for p in found.main.points[1:]] == [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    shortcuts = [i for i, p in enumerate(found.main.points[:-1]) if any("conv" in s.key[2] for s in p.onward.steps)]
    assert shortcuts == [0, 3, 7, 13]
    assert rebuilt(module, found, pixel_values=photograph(224)) < 1e-5


def test_resnet20(shared):
    images, resnet20 = real.cifar(shared / "images" / "cifar10_train_4000.npz", 64)[0], real.resnet20(shared)
    found = proved(resnet20, x=images[:4])
    assert labels(found) == layers(9, "conv")
    assert [p.shape[1] for p in found.main.points[1:]] == [16] * 3 + [32] * 3 + [64] * 3
    assert rebuilt(resnet20, found, x=images) < 1e-5


def test_the_folder_that_was_read_is_the_one_that_was_meant(shared):
    config = json.loads((shared / "models" / "tinystories-656k" / "config.json").read_text(encoding="utf-8"))
    assert (config["num_hidden_layers"], config["hidden_size"], config["num_key_value_heads"]) == (2, 128, 4)
