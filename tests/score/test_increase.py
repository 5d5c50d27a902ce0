"""Log-probability increase is what the model's own final norm and head say of x + v and of x; rows telescope."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import mainstem as ms
from mainstem.core import InputError, Parts
from mainstem.score import Choices, Goal, _certify, component, lens, score_named
from mainstem.stream import LEVELS, Pass, applies, carry
from score._naive import (
    KINDS,
    READ,
    Images,
    Naive,
    goal_of,
    gpt,
    labels_of,
    naive,
    neurons_of,
    resnet,
    run_of,
    small_resnet,
    vit,
    watched,
)
from stream._runs import passes, plant_biases

TIGHT = {"rtol": 1e-10, "atol": 1e-11}
NAMES = sorted(READ)
PRE_NORM = ["gpt2", "gptj", "neox", "llama", "gemma", "gemma2", "granite", "cohere", "bloom", "falcon", "t5", "opt", "mamba"]
NORMED = [n for n in PRE_NORM if n != "gemma2"]  # whose logits are a norm and a matrix


def close(found: Tensor, wanted: Tensor, **close: float) -> None:
    torch.testing.assert_close(found, wanted, **close or TIGHT)


def scored(run: Pass, goal: Goal, level: str = "write", **choices: object) -> Parts:
    return score_named("logprob_increase").rows(run, goal, Choices(level=level, **{"within": 0.0, **choices}))


def assert_holds(parts: Parts, slow: Naive | Images, **tolerance: float) -> int:
    """Some components of every write against the slow way; how many."""
    count = 0
    for write in slow.run.stream.writes:
        found = labels_of(parts, write.label)
        assert found, write.label
        close(torch.stack(list(found.values())), slow.of(write.label, found), **tolerance)
        count += len(found)
    return count


@pytest.mark.parametrize("name", NAMES)
def test_every_level_is_what_the_models_own_head_says(name):
    """And its rows telescope from the entry to the last point, which is the model."""
    slow = naive(name)
    whole = slow.goal.total(slow.point(-1) - slow.point(0))
    close(slow.point(-1), slow.run.output()[tuple(slow.goal.places.T)].log_softmax(-1)[:, 3])
    for level in LEVELS:
        if level == "write" or any(applies(w, level) for w in slow.run.stream.writes):
            parts = scored(slow.run, slow.goal, level)
            assert assert_holds(parts, slow) >= len(slow.run.stream.writes)
            close(parts.whole, whole)
            close(parts.sum(), whole)
            assert parts.error <= parts.bound < 1e-10


@pytest.mark.parametrize("kind", [*KINDS, "sequence"])
@pytest.mark.parametrize("name", ["gpt2", "granite", "gemma2", "bert", "t5"])
def test_every_kind_of_target(name, kind):
    slow = naive(name, kind)
    for level in ("write", "head", "neuron"):
        assert_holds(scored(slow.run, slow.goal, level), slow)


def test_a_wrong_score_is_noticed():
    slow = naive("gpt2")
    parts = scored(slow.run, slow.goal, "head")
    parts.groups[0].values[0, 0, 0] += 1e-6
    with pytest.raises(AssertionError):
        assert_holds(parts, slow)


@pytest.mark.parametrize("name", ["bert", "openai"])
def test_norms_on_the_way_are_rows(name):
    """What a norm on the stream does to the prediction: what is read behind it, less what was read before it."""
    slow = naive(name)
    run, rows = slow.run, dict.fromkeys(())
    parts = scored(run, slow.goal)
    for t, point in enumerate(run.stream.points[:-1]):
        after = slow.value(run.stream.points[t + 1].name, slow.at(run.face(t)))
        rows[f"{point.name}.transport"] = slow.goal.total(after - slow.point(t))
    moved = {g.label: g.values for g in parts.groups if g.kind == "transport"}
    assert set(moved) <= set(rows)
    for label, wanted in rows.items():
        close(moved.get(label, torch.zeros_like(wanted)), wanted)
    assert sum(float(v.abs().max()) > 1e-5 for v in moved.values()) >= 3


@pytest.mark.parametrize("name", ["gptj", "neox", "falcon", "cohere"])
def test_parallel_writes_are_added_in_their_order(name):
    slow = naive(name)
    parts = scored(slow.run, slow.goal)
    order = [g.label for g in parts.groups if g.kind != "transport"]
    assert order == [w.label for w in slow.run.stream.writes]
    assert order[:2] == ["L0.attn", "L0.mlp"]
    close(parts["L0.attn"] + parts["L0.mlp"], slow.goal.total(slow.point(1) - slow.point(0)))


@pytest.mark.parametrize("name", [n for n in PRE_NORM if n not in ("gptj", "neox", "falcon", "cohere")])
def test_a_write_is_the_difference_of_two_rows_of_the_lens(name):
    run = run_of(name)
    parts, goal = scored(run, goal_of(run)), goal_of(run)
    found = lens(run, torch.full(run.output().shape[:2], 3)).logprob
    for t, point in enumerate(run.stream.points[1:], 1):
        each = (found[t] - found[t - 1])[tuple(goal.places.T)].reshape(goal.shape)
        close(parts[point.writes[0].label], each)


def silence(module: torch.nn.Module) -> None:
    """Head 0, neuron 5 and the whole last MLP write nothing."""
    plant_biases(module)
    for block in module.transformer.h:
        block.attn.c_proj.weight[:8] = 0
        block.mlp.c_proj.weight[5] = 0
    block.mlp.c_proj.weight.zero_()
    block.mlp.c_proj.bias.zero_()


@pytest.mark.parametrize("within", [0.0, 1e-4])
def test_a_write_of_nothing_scores_nothing(within):
    run = passes("gpt2", change=silence)[0]
    found = {level: scored(run, goal_of(run), level, within=within) for level in ("write", "head", "edge", "neuron")}
    for value in (
        found["write"]["L1.mlp"],
        found["head"]["L0.attn.H0"],
        found["edge"]["L1.attn.H0"],
        found["neuron"]["L0.mlp.N5"],
        found["neuron"]["L1.mlp"],
    ):
        assert float(value.abs().max()) < 1e-12
    assert float(found["head"]["L0.attn.H1"].abs().min()) > 1e-6


FACED = ["gpt2", "gemma", "gemma2", "granite", "bloom", "openai"]  # most have something between a point and the norm
RULES = [(name, "final", False) for name in [*PRE_NORM, "openai"]] + [
    (name, norm, bias) for name in FACED for norm, bias in (("final", True), ("none", True), ("none", False))
]


@pytest.mark.parametrize(("name", "norm", "bias"), RULES)
def test_the_norms_scale_given_or_left_out(name, norm, bias):
    """The rest stays live: the soft cap of a Gemma-2, what is done to the entry of a BLOOM, a Gemma or a Granite."""
    whole = naive(name)
    last = whole.at(whole.run.point(len(whole.run.stream.points) - 1))
    scale = whole.read.scale(last) if norm == "final" else torch.ones(len(last), dtype=torch.float64)
    slow = Naive(whole.run, whole.read.by(scale, bias), whole.goal)
    parts = scored(slow.run, slow.goal, "neuron", norm=norm, norm_bias=bias)
    assert_holds(parts, slow)
    close(parts.whole, slow.goal.total(slow.point(-1) - slow.point(0)))
    assert (parts.choices["norm"], parts.choices["norm_bias"]) == (norm, bias)


@pytest.mark.parametrize("name", NORMED)
def test_without_the_norms_bias_by_its_own_scale(name):
    whole = naive(name)
    bias = whole.read.bias
    if isinstance(bias, float):
        pytest.skip("this norm has no bias")
    own = whole.read

    def read(point: str, y: Tensor) -> Tensor:
        y = own.moved(own.entry(y) if point == "entry" else y)
        return own.head(y / own.scale(y)[..., None] * own.gain)

    slow = Naive(whole.run, read, whole.goal)
    parts = scored(slow.run, slow.goal, "head", norm_bias=False)
    assert_holds(parts, slow)
    assert float((parts.tensor - scored(slow.run, slow.goal, "head").tensor).abs().max()) > 1e-4


@pytest.mark.parametrize("name", NORMED)
def test_a_contrast_adds_exactly_under_the_last_points_scale_and_not_under_its_own(name):
    """With the scale given, log-odds are linear in what is added; a norm's own scale and a single token's softmax are not."""
    run = run_of(name)
    for level in ("head", "neuron"):
        opened = [w.label for w in run.stream.writes if applies(w, level)]
        left = {
            (kind, norm): max(
                (float(parts[f"{label}.interaction"].abs().max()) for label in opened),
                default=0.0,
            )
            for kind in ("contrast", "token")
            for norm in ("final", "own")
            for parts in [scored(run, goal_of(run, kind), level, norm=norm)]
        }
        assert left["contrast", "final"] < 1e-11
        assert not opened or min(left["contrast", "own"], left["token", "final"], left["token", "own"]) > 1e-8


@pytest.mark.parametrize("name", NORMED)
def test_a_contrast_under_the_last_points_scale_does_not_depend_on_the_order(name):
    run = run_of(name)
    first, last = (scored(run, goal_of(run, "contrast"), base=base, norm="final") for base in ("before", "last"))
    for write in run.stream.writes:
        close(first[write.label], last[write.label])


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "granite", "neox", "t5"])
def test_taken_out_of_the_last_point(name):
    slow = naive(name)
    for level in ("write", "head", "neuron"):
        parts = scored(slow.run, slow.goal, level, base="last")
        assert parts.choices["additive"] is False
        for write in slow.run.stream.writes:
            found = labels_of(parts, write.label)
            vectors = torch.stack([slow.at(component(slow.run, label)) for label in found])
            close(torch.stack(list(found.values())), slow.taken_out(vectors))


@pytest.mark.parametrize("name", ["bert", "openai"])
def test_taken_out_of_the_last_point_behind_norms_on_the_way(name):
    """What is left of a write there: carried through the norms frozen at this input."""
    slow = naive(name)
    there, parts = carry(slow.run, len(slow.run.stream.points) - 1), scored(slow.run, slow.goal, base="last")
    for write in slow.run.stream.writes:
        close(parts[write.label], slow.taken_out(slow.at(there[write.label])[None])[0])
    with pytest.raises(InputError, match="base='last' at level 'head' needs a stream that nothing changes on the way"):
        scored(slow.run, slow.goal, "head", base="last")


@pytest.mark.parametrize("name", ["gpt2", "granite", "t5", "openai"])
@pytest.mark.parametrize("norm", ["own", "final"])
def test_scores_to_a_tolerance_are_within_it(name, norm, monkeypatch):
    """With few tokens named, bounds leave many open; these are worked out, the others are as near as was said."""
    monkeypatch.setattr(_certify, "TOKENS", 5)
    run = run_of(name)
    for base in ("before", "last") if name != "openai" else ("before",):
        for kind in ("token", "odds", "sequence"):
            exact = scored(run, goal_of(run, kind), "neuron", base=base, norm=norm)
            for within in (1e-2, 1e-5):
                near = scored(run, goal_of(run, kind), "neuron", base=base, norm=norm, within=within)
                places = 2 if kind == "sequence" else 1
                apart = [(g.values - exact[g.label]).abs().max() for g in near.groups if g.kind != "interaction"]
                assert float(max(apart)) <= places * within
                assert near.choices["of"] == exact.choices["of"] == exact.choices["worked_out"]
                assert near.choices["worked_out"] < exact.choices["of"]
                assert base == "last" or near.error <= near.bound


IMAGES = {"vit": vit, "resnet": resnet, "resnet_basic": resnet}


@pytest.mark.parametrize("name", IMAGES)
def test_classifiers_of_images(name):
    """All of an image is read, through the projections that are still to come."""
    run = passes(name, change=plant_biases)[0]
    slow = Images(run, IMAGES[name](run.module.requires_grad_(False)), 1)
    for level in ("write", "head", "neuron"):
        if level == "write" or any(applies(w, level) for w in run.stream.writes):
            parts = scored(run, slow.goal, level)
            assert_holds(parts, slow)
            close(parts.whole, slow.point(-1) - slow.point(0))
            close(parts.sum(), parts.whole)


def test_the_embedded_image_classifier():
    """A float32 run, read in float64."""
    trace = ms.load("default-image").trace(torch.rand(2, 3, 32, 32))
    slow = Images(trace.run, small_resnet(copy.deepcopy(trace.run.module).double().requires_grad_(False)), 3)
    for level in ("write", "neuron"):
        parts = scored(trace.run, slow.goal, level)
        assert_holds(parts, slow, rtol=1e-5, atol=1e-6)
        close(parts.whole, slow.point(-1) - slow.point(0), rtol=1e-9, atol=1e-9)


def test_the_embedded_language_model():
    """A float32 run of trained weights, read in float64, in every kind of target."""
    trace = ms.load("default").trace("The capital of France is", positions="all")
    read = gpt(copy.deepcopy(trace.run.module).double().requires_grad_(False))
    for kind in ("token", "odds", "sequence"):
        slow = Naive(trace.run, read, goal_of(trace.run, kind))
        for level in LEVELS if kind == "token" else ("head",):
            for within in (0.0, 1e-4):
                parts = scored(trace.run, slow.goal, level, within=within)
                assert_holds(parts, slow, rtol=1e-5, atol=2 * within + 1e-5)
                close(parts.whole, slow.goal.total(slow.point(-1) - slow.point(0)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["gpt2", "llama", "granite", "gemma2", "bert"])
def test_low_precision_is_scored_in_a_higher_one(name, dtype):
    """The run's own points and weights, read in float64; what its additions lost are rows, and small."""
    run = passes(name, dtype, plant_biases)[0]
    slow = Naive(run, READ[name](copy.deepcopy(run.module).double().requires_grad_(False)), goal_of(run))
    for level in ("write", "head", "neuron"):
        parts = scored(run, slow.goal, level)
        assert_holds(parts, slow, rtol=1e-5, atol=1e-6)
        close(parts.whole, slow.goal.total(slow.point(-1) - slow.point(0)), rtol=1e-6, atol=1e-7)
        assert parts.tensor.dtype == torch.float64
        lost = [g.values.abs().max() for g in parts.groups if g.kind == "rounding"]
        assert 0 < float(max(lost)) < 0.1
        assert len(lost) == len(run.stream.points) - 1


def rule_out(module: torch.nn.Module) -> None:
    """Tokens that can never be predicted, those of half of the vocabulary."""
    plant_biases(module)
    module.lm_head.bias[25:] = -torch.inf


@pytest.mark.parametrize("within", [0.0, 1e-3])
def test_tokens_that_are_ruled_out(within, monkeypatch):
    monkeypatch.setattr(_certify, "TOKENS", 30)
    run = passes("gptj", change=rule_out)[0]
    slow = Naive(run, READ["gptj"](run.module.requires_grad_(False)), goal_of(run))
    for level in ("write", "neuron"):
        assert_holds(scored(run, slow.goal, level, within=within), slow, rtol=1e-10, atol=within + 1e-11)


@pytest.mark.parametrize(("ids", "against"), [([30], None), ([30, 31], None), ([3], [40]), ([40], [3])])
def test_a_target_that_is_ruled_out_is_refused(ids, against):
    run = passes("gptj", change=rule_out)[0]
    goal = goal_of(run)
    n = len(goal.places)
    sides = [None if some is None else torch.tensor(some).expand(n, -1) for some in (ids, against)]
    masks = [None if side is None else torch.ones_like(side, dtype=torch.bool) for side in sides]
    held = replace(goal, ids=sides[0], mask=masks[0], against=sides[1], against_mask=masks[1])
    with pytest.raises(InputError, match="the target's logit is -inf or no number"):
        scored(run, held)


def test_an_alternative_that_is_ruled_out_adds_nothing():
    run = passes("gptj", change=rule_out)[0]
    goal = goal_of(run)
    both = torch.tensor([3, 40]).expand(len(goal.places), -1)
    held = replace(goal, ids=both, mask=torch.ones_like(both, dtype=torch.bool))
    for within in (0.0, 1e-4):
        close(scored(run, held, "neuron", within=within).tensor, scored(run, goal, "neuron", within=within).tensor)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"level": "layer"}, "no level 'layer'; there are write, head, edge, dim, neuron"),
        ({"base": "first"}, "no base 'first'; there are before, last"),
        ({"norm": "mine"}, "no norm rule 'mine'; there are own, final, none"),
    ],
)
def test_unknown_choices_are_refused_with_those_there_are(choices, said):
    run = run_of("gpt2")
    with pytest.raises(InputError, match=said):
        scored(run, goal_of(run), **{"level": "write"} | choices)


def test_an_unknown_score_is_refused_with_those_there_are():
    with pytest.raises(InputError, match=r"no score 'logprob'; there are .*logprob_increase"):
        score_named("logprob")


@pytest.mark.slow
def test_neurons_of_two_layers_of_a_real_model(real_model):
    """The longest and some by lot: activations by a hook, weights from the module."""
    trace = ms.load(real_model("smollm2")).trace("The capital of France is", positions="all")
    run = trace.run
    slow = Naive(run, READ["llama"](copy.deepcopy(run.module).double().requires_grad_(False)), goal_of(run, at=(-1,)))
    slow.goal = replace(slow.goal, ids=torch.tensor([[trace.index(" Paris")]]))
    parts = scored(run, slow.goal, "neuron", within=1e-4)
    assert parts.error <= parts.bound
    for layer in (0, 17):
        down = run.module.model.layers[layer].mlp.down_proj
        vectors = neurons_of(run, down)[0, -1, :, None].double() * down.weight.T.double()
        which = watched(vectors)
        close(parts[f"L{layer}.mlp"][which], slow.scores(f"L{layer}.mlp", vectors[which, None]), rtol=0, atol=1.1e-4)
    heads = scored(run, slow.goal, "head", within=1e-4)
    for layer in (0, 12, 29):
        found = labels_of(heads, f"L{layer}.attn")
        close(torch.stack(list(found.values())), slow.of(f"L{layer}.attn", found), rtol=0, atol=1.1e-4)
