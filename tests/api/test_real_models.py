"""Real weights: every decomposition closes, the lens ends at the model, and what comes out is what the model says."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import mainstem as ms
import real

LEVELS = ["write", "head", "edge", "dim", "neuron"]
IDS = [1, 9038, 2501, 263, 931]  # "Once upon a time" of stories15m, which has no tokenizer of its own
DATA: dict[str, Any] = {
    "smollm2": "The capital of France is",
    "tinystories-656k": "Once upon a time, there was",
    "minilm": "The capital of France is",
    "stories15m": IDS,
}
FAST, SLOW = ["tinystories-656k", "resnet20"], ["smollm2", "minilm", "stories15m", "resnet50"]
TEXTUAL = ["tinystories-656k", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW[:-1])]
NAMES = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@pytest.fixture
def folder(shared: Path, real_model: Callable[[str], Path], name: str) -> Path:
    """Where the weights are; the folder of assets itself for the ResNet-20, which has none of its own."""
    if name in FAST:
        return shared / "models" / name if name != "resnet20" else shared
    return real_model(name)


@cache
def traced(folder: Path, name: str, shared: Path, dtype: str | None = None) -> ms.Trace:
    made = real.model(folder) if dtype is None and name != "resnet20" else ms.load(source(folder, name), dtype=dtype)
    return made.trace(data(name, shared))


def source(folder: Path, name: str) -> Any:
    return real.resnet20(folder) if name == "resnet20" else folder


def data(name: str, shared: Path) -> Any:
    if name == "resnet50":
        return real.photographs(shared)
    if name == "resnet20":
        return real.cifar(shared / "images" / "cifar10_train_4000.npz", 4)[0]
    return DATA[name]


def bare(folder: Path, name: str, trace: ms.Trace) -> Any:
    """The module as its library loads it, without mainstem."""
    return real.resnet20(folder) if name == "resnet20" else type(trace.run.module).from_pretrained(folder).eval()


def target(trace: ms.Trace) -> int | None:
    """What the model predicts; a class or feature where the output is no vocabulary."""
    return 7 if trace.logits.shape[-1] < 500 else None


@pytest.mark.parametrize("name", NAMES)
def test_every_level_closes(folder, name, shared):
    trace = traced(folder, name, shared)
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
def test_the_logits_are_those_of_the_library(folder, name, shared):
    trace = traced(folder, name, shared)
    with torch.no_grad():
        found = bare(folder, name, trace)(*trace.run.args, **trace.run.kwargs)
    wanted = found if isinstance(found, torch.Tensor) else found.logits if "logits" in found else found.last_hidden_state
    assert torch.equal(trace.logits.squeeze(), wanted.squeeze())


@pytest.mark.parametrize("name", NAMES)
def test_parts_are_carried_to_every_point_and_to_the_output(folder, name, shared):
    trace = traced(folder, name, shared)
    for to in (*(p.name for p in trace.stream.points[::5]), "logits"):
        found = trace.carry(to)
        there = trace.logits if to == "logits" else trace.point(to, "sum")
        total = sum(g.values.double() for g in found.parts.groups)
        torch.testing.assert_close(total, there.double(), rtol=0, atol=found.bound)


@pytest.mark.parametrize("name", NAMES)
def test_the_lens_ends_at_the_model(folder, name, shared):
    trace = traced(folder, name, shared)
    lens, logp = trace.lens(7).values, trace.logits.log_softmax(-1)
    torch.testing.assert_close(lens.logprob[-1], logp[..., 7], rtol=0, atol=1e-4)
    assert torch.equal(lens.tokens[-1], logp.argmax(-1))
    assert float(lens.kl.min()) > -1e-5
    assert float(lens.kl[-1].abs().max()) < 1e-5
    assert float(lens.kl[0].mean()) > 0.01


@pytest.mark.parametrize("name", TEXTUAL)
def test_patterns_are_the_librarys(folder, name, shared):
    trace = traced(folder, name, shared)
    module = type(trace.run.module).from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        wanted = module(*trace.run.args, **trace.run.kwargs, output_attentions=True).attentions
    for layer in (0, len(wanted) - 1):
        torch.testing.assert_close(trace.pattern(layer), wanted[layer], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2"])
def test_paris(folder, name, shared):
    trace = traced(folder, name, shared)
    logp = trace.logits[0, -1].log_softmax(-1).exp()
    assert trace.word(int(logp.argmax())) == " Paris"
    assert float(logp.max()) == pytest.approx(0.773, abs=0.002)
    contrast = trace.scores(ms.contrast(" Paris", " London"), "neuron")
    assert float(contrast.whole) == pytest.approx(
        float((logp[trace.index(" Paris")] / logp[trace.index(" London")]).log()), abs=1e-3
    )
    without = real.model(folder).trace(DATA["smollm2"], edits=ms.zero(*(label for label, _ in contrast.top(20) if ".N" in label)))
    assert float(without.scores(ms.contrast(" Paris", " London")).whole) < float(contrast.whole) - 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50"])
def test_photographs_are_what_they_are_called(folder, name, shared):
    classes = [int(Path(path).name[:4]) for path in real.photographs(shared)]
    assert traced(folder, name, shared).logits.argmax(-1).tolist() == classes


@pytest.mark.slow
def test_resnet20_classifies_images_that_it_was_not_trained_on(shared, real_model):
    images, classes = real.cifar(real_model("cifar10") / "test.npz", 256)
    model = ms.load(real.resnet20(shared))
    model.trace(images[:2])  # the map is proved on few
    logits = model.trace(images).logits
    assert float((logits.argmax(-1) == classes).float().mean()) == pytest.approx(0.9165, abs=0.03)  # of the first 2,000


PROMPTS: dict[str, Any] = {
    "smollm2": ["The capital of France is", "Rome", "The opposite of hot is, as all know,"],
    "tinystories-656k": ["Once upon a time, there was", "Tom", "One day, a little girl named Lily found"],
    "stories15m": [IDS, [1, 9038], [1, 9038, 2501, 263, 931, 29892, 727, 471]],
}
PROMPTS["minilm"] = PROMPTS["smollm2"]


@pytest.mark.parametrize("name", TEXTUAL)
def test_padding_on_either_side(folder, name):
    made, prompts = real.model(folder), PROMPTS[name]
    alone = [made.trace(prompt) for prompt in prompts]
    batches = [made.trace(prompts, padding=side) for side in ("right", "left")]
    for level in ("head", "neuron"):
        each = [one.scores(7, level) for one in alone]
        for batch in batches:
            scores = batch.scores(7, level)
            for row, mine in enumerate(each):
                both = scores.prompt(row)
                torch.testing.assert_close(both.whole, mine.whole, rtol=1e-3, atol=1e-3)
                torch.testing.assert_close(both.tensor, mine.tensor, rtol=0, atol=1e-3 * float(mine.tensor.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2", "minilm", "stories15m"])
def test_bfloat16_closes_with_rows_of_rounding(folder, name, shared):
    trace = traced(folder, name, shared, "bfloat16")
    for level in LEVELS:
        scores = trace.scores(target(trace), level)
        assert scores.error <= scores.bound
        rounding = sum(g.values.abs().sum() for g in scores.parts.groups if g.kind == "rounding")
        whole = sum(g.values.abs().sum() for g in scores.parts.groups)
        assert 0 < float(rounding) < 0.2 * float(whole)


@pytest.mark.parametrize("name", [pytest.param("tinystories-656k"), pytest.param("stories15m", marks=pytest.mark.slow)])
def test_float64_closes_to_rounding(folder, name, shared):
    trace = traced(folder, name, shared, "float64")
    for level in LEVELS:
        scores = trace.scores(3, level)
        size = float(scores.tensor.abs().sum())
        assert float((scores.tensor.sum(0) - trace.logits[:, -1, 3]).abs().max()) < 1e-12 * size
