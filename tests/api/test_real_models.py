"""Real weights: every decomposition closes, the lens ends at the model, and what comes out is what the model says."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import mainstem as ms

LEVELS = ["write", "head", "edge", "dim", "neuron"]
IDS = [1, 9038, 2501, 263, 931]  # "Once upon a time" of stories15m, which has no tokenizer of its own
TEXT = {
    "smollm2": "The capital of France is",
    "tinystories-656k": "Once upon a time, there was",
    "minilm": "The capital of France is",
}
SLOW = ["smollm2", "minilm", "stories15m", "resnet50"]
NAMES = ["tinystories-656k", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@pytest.fixture
def folder(request: pytest.FixtureRequest, name: str) -> Path:
    if name == "tinystories-656k":
        return request.getfixturevalue("shared") / "models" / name
    return request.getfixturevalue("real_models") / name


@cache
def traced(folder: Path, dtype: str | None = None) -> ms.Trace:
    return ms.load(folder, dtype=dtype).trace(data(folder))


def data(folder: Path) -> Any:
    if folder.name == "resnet50":
        return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    return TEXT.get(folder.name, IDS)


def target(trace: ms.Trace) -> int | None:
    """What the model predicts; a feature where it has no vocabulary."""
    return 7 if trace.logits.shape[-1] < 500 else None


@pytest.mark.parametrize("name", NAMES)
def test_every_level_closes(folder):
    trace = traced(folder)
    logit = None
    for level in LEVELS:
        scores = trace.scores(target(trace), level)
        total = sum(g.values.double().reshape(-1, *g.values.shape[len(g.axes) :]).sum(0) for g in scores.parts.groups)
        place = scores.positions
        at = trace.logits if place is None else trace.logits[torch.arange(len(place)), list(place)]
        logit = at.amax(-1) if target(trace) is None else at[..., 7]
        assert scores.error <= scores.bound < 0.05 * float(logit.abs().max())
        torch.testing.assert_close(total, logit.double(), rtol=0, atol=scores.bound)
        torch.testing.assert_close(scores.whole, logit, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_the_logits_are_those_of_the_library(folder):
    import transformers

    trace = traced(folder)
    with torch.no_grad():
        found = type(trace.run.module).from_pretrained(folder).eval()(*trace.run.args, **trace.run.kwargs)
    wanted = found.logits if "logits" in found else found.last_hidden_state
    assert torch.equal(trace.logits.squeeze(), wanted.squeeze())
    assert transformers.__version__


@pytest.mark.parametrize("name", NAMES)
def test_parts_are_carried_to_every_point_and_to_the_output(folder):
    trace = traced(folder)
    for to in (*(p.name for p in trace.stream.points[::5]), "logits"):
        found = trace.carry(to)
        there = trace.logits if to == "logits" else trace.point(to, "sum")
        total = sum(g.values.double() for g in found.parts.groups)
        torch.testing.assert_close(total, there.double(), rtol=0, atol=found.bound)


@pytest.mark.parametrize("name", NAMES)
def test_the_lens_ends_at_the_model(folder):
    trace = traced(folder)
    lens, logp = trace.lens(7).values, trace.logits.log_softmax(-1)
    torch.testing.assert_close(lens.logprob[-1], logp[..., 7], rtol=0, atol=1e-4)
    assert torch.equal(lens.tokens[-1], logp.argmax(-1))
    assert float(lens.kl.min()) > -1e-5
    assert float(lens.kl[-1].abs().max()) < 1e-5
    assert float(lens.kl[0].mean()) > 0.01


@pytest.mark.parametrize("name", NAMES[:-1])
def test_patterns_are_the_librarys(folder):
    trace = traced(folder)
    module = type(trace.run.module).from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        wanted = module(*trace.run.args, **trace.run.kwargs, output_attentions=True).attentions
    for layer in (0, len(wanted) - 1):
        torch.testing.assert_close(trace.pattern(layer), wanted[layer], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2"])
def test_paris(folder):
    trace = traced(folder)
    logp = trace.logits[0, -1].log_softmax(-1).exp()
    assert trace.word(int(logp.argmax())) == " Paris"
    assert float(logp.max()) == pytest.approx(0.773, abs=0.002)
    contrast = trace.scores(ms.contrast(" Paris", " London"), "neuron")
    assert float(contrast.whole) == pytest.approx(
        float((logp[trace.index(" Paris")] / logp[trace.index(" London")]).log()), abs=1e-3
    )
    without = ms.load(folder).trace(TEXT["smollm2"], edits=ms.zero(*(label for label, _ in contrast.top(20) if ".N" in label)))
    assert float(without.scores(ms.contrast(" Paris", " London")).whole) < float(contrast.whole) - 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2", "minilm"])
def test_padding_on_either_side(folder):
    made, prompts = ms.load(folder), ["The capital of France is", "Rome", "The opposite of hot is, as all know,"]
    for side in ("right", "left"):
        batch = made.trace(prompts, padding=side)
        for row, prompt in enumerate(prompts):
            one = made.trace(prompt)
            for level in ("head", "neuron"):
                mine, both = one.scores(7, level), batch.scores(7, level).prompt(row)
                torch.testing.assert_close(both.whole, mine.whole, rtol=1e-3, atol=1e-3)
                torch.testing.assert_close(both.tensor, mine.tensor, rtol=0, atol=1e-3 * float(mine.tensor.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2", "minilm", "stories15m"])
def test_bfloat16_closes_with_rows_of_rounding(folder):
    trace = traced(folder, "bfloat16")
    for level in LEVELS:
        scores = trace.scores(target(trace), level)
        assert scores.error <= scores.bound
        rounding = sum(g.values.abs().sum() for g in scores.parts.groups if g.kind == "rounding")
        whole = sum(g.values.abs().sum() for g in scores.parts.groups)
        assert 0 < float(rounding) < 0.2 * float(whole)


@pytest.mark.parametrize("name", [pytest.param("tinystories-656k"), pytest.param("stories15m", marks=pytest.mark.slow)])
def test_float64_closes_to_rounding(folder):
    trace = traced(folder, "float64")
    for level in LEVELS:
        scores = trace.scores(3, level)
        size = float(scores.tensor.abs().sum())
        assert float((scores.tensor.sum(0) - trace.logits[:, -1, 3]).abs().max()) < 1e-12 * size
