"""Curves on trained weights: one pass says what a pass for each says, and what is known of these models comes out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import mainstem as ms
import real
from mainstem.models import prepare
from mainstem.stream import Ablated

IDS = [1, 9038, 2501, 263, 931, 29892, 727, 471, 263, 2217, 7826]
TEXT = "Once upon a time, there was a little girl who lived in a big house near the sea."
INPUTS: dict[str, Any] = {
    "smollm2": ["Once upon a time"],
    "tinystories-656k": [TEXT],
    "minilm": [TEXT],
    "stories15m": [IDS],
    "default": [TEXT],
}
FAST = ["default", "tinystories-656k", "resnet20"]
NAMES = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in ("smollm2", "minilm", "stories15m", "resnet50"))]
SIDES = ("tail", "head", "single", "skip")


def opened(name: str, shared: Path, real_model: Callable[[str], Path]) -> tuple[ms.Model, Any]:
    """A model and an input of its form."""
    if name == "resnet20":
        return ms.load(real.resnet20(shared)), real.cifar(shared / "images" / "cifar10_train_4000.npz", 4)[0]
    if name == "default":
        return ms.load(name), INPUTS[name]
    model = real.model(shared / "models" / name if name in FAST else real_model(name))
    return model, real.photographs(shared)[:1] if name == "resnet50" else INPUTS[name]


@pytest.mark.parametrize("name", NAMES)
def test_one_pass_says_what_a_pass_for_each_says(name: str, shared: Path, real_model: Callable[[str], Path]) -> None:
    model, data = opened(name, shared, real_model)
    ready = prepare(model.loaded, data)
    if name == "resnet50":  # a quarter of each side: there are as many blocks in few places
        ready.args = tuple(x[..., ::4, ::4] for x in ready.args)
        ready.kwargs = {k: x[..., ::4, ::4] for k, x in ready.kwargs.items()}
    found = model.map_with(*ready.args, **ready.kwargs) if name == "resnet20" else model.map
    for side in SIDES:
        engine = Ablated(model.module, found, found.main, side)
        fast = torch.cat([some for _, some in engine.shared(ready.args, ready.kwargs)])
        slow = torch.cat([some for _, some in engine.alone(ready.args, ready.kwargs)])
        sizes = slow.flatten(1).abs().amax(1)
        assert bool(((fast - slow).flatten(1).abs().amax(1) <= 2e-4 * sizes).all()), side
        assert len(slow) == len(engine.blocks) + 1


@pytest.mark.slow
def test_a_trained_resnet_needs_its_down_sampling_blocks_most(shared: Path) -> None:
    """Of the single blocks the ones that begin a stage cost most, as the published curves have it; all removed is chance."""
    x, truth = real.cifar(shared / "images" / "cifar10_train_4000.npz", 200)
    model = ms.load(real.resnet20(shared))
    model.map_with(x[:2])
    single = ms.ablation_curve(model, x, "single", "accuracy", labels=truth, resamples=0)
    lost = {row["block"]: single.values()[0] - row["value"] for row in single.rows[1:]}
    assert single.values()[0] > 0.9
    assert [row["stage"] for row in single.rows[1:]] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert min(lost["L3"], lost["L6"]) > max(cost for block, cost in lost.items() if block not in ("L0", "L3", "L6"))


def test_the_default_model_needs_its_blocks(shared: Path) -> None:
    texts = [TEXT, "The capital of France is Paris."]
    for side in ("tail", "head"):
        found = ms.ablation_curve(real.model("default"), texts, side, "loss", resamples=0)
        assert found.values()[0] == min(found.values())
        assert found.values()[-1] > found.rows[0]["chance"] > found.values()[0]


@pytest.mark.slow
def test_texts_of_many_lengths_are_classified_the_same_both_ways(tmp_path: Path, real_model: Callable[[str], Path]) -> None:
    """An encoder that classifies, with a real tokenizer: padded together for the tail, by lengths for the others."""
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(real_model("minilm"))
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
    module = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **sizes, num_labels=3)).eval()
    texts = [
        "Good.",
        "A film that is worth every minute.",
        "Bad.",
        "I left before the end of it, and so will you.",
        "Well.",
        "Good!",
    ]
    path = tmp_path / "reviews.jsonl"
    path.write_text("\n".join(json.dumps({"text": text, "label": i % 3}) for i, text in enumerate(texts)))
    model = ms.load(module, tokenizer=tokenizer)
    for side in SIDES:
        fast = ms.ablation_curve(model, path, side, "loss", labels="label", resamples=0)
        slow = ms.ablation_curve(model, path, side, "loss", labels="label", resamples=0, together=False)
        assert fast.about["together"] and fast.about["examples"] == len(texts)
        assert fast.values() == pytest.approx(slow.values(), abs=1e-5)
