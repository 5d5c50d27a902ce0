"""What every score keeps to, whatever it is: a new member of the registry is tested here with no line of its own."""

from dataclasses import fields, replace
from functools import cache

import pytest
import torch

from mainstem.core import Group, InputError, Parts, parse_label
from mainstem.find import Stream
from mainstem.score import Choices, Goal, Score, score_named, scores, top
from mainstem.stream import LEVELS, Pass, opened, patches, take, zero
from score.test_alternatives import same
from stream._runs import built, main, mapped
from zoo import Built

LEVELS_OF = {
    "gpt2": LEVELS,
    "bert": LEVELS,
    "llama": ("edge",),
    "gemma2": ("dim", "neuron"),
    "granite": ("write", "neuron"),
    "mixtral": ("neuron",),
    "falcon": ("head",),
    "mamba": ("neuron",),
    "vit": ("write", "head"),
    "resnet": ("write", "neuron"),
}
REFUSED = {("resnet", "path")}  # kinks at every ReLU: test_path.py
TIGHT = {"rtol": 1e-8, "atol": 1e-10}
NOT_PARTS = {"constant", "transport", "interaction", "rounding", "edit"}
every_score = pytest.mark.parametrize("by", sorted(scores()))


def cases(*names: str) -> pytest.MarkDecorator:
    """Every score at the levels of some models."""
    found = [(n, level, by) for n in names for level in LEVELS_OF[n] for by in sorted(scores()) if (n, by) not in REFUSED]
    return pytest.mark.parametrize(("name", "level", "by"), found, ids=["-".join(case) for case in found])


every_case = cases(*LEVELS_OF)


def choices_of(score: Score, level: str) -> Choices:
    """The score's own way, worked out in full where it may be off by something."""
    return Choices(level, within=0.0) if "within" in score.takes and score.name != "path" else Choices(level)


def rows(run: Pass, goal: Goal, by: str, level: str) -> Parts:
    score = score_named(by)
    return score.rows(run, goal, score.checked(choices_of(score, level)))


@cache
def made(name: str, by: str, level: str) -> Parts:
    """The rows of the last places of a model's prompts, made once."""
    return rows(main(name), same(main(name), [1], None), by, level)


def parts_of(parts: Parts, level: str) -> tuple[Group, ...]:
    """The rows that are parts at a level."""
    return tuple(g for g in parts.groups if g.axes or (level == "write" and g.kind not in NOT_PARTS))


def inner_axes(stream: Stream, label: str, level: str) -> set[tuple[str, ...]]:
    write = next(w for w in stream.writes if label == w.label or label.startswith(f"{w.label}.B"))
    attends = write.writer is not None and any(s.attention for s in write.writer.sources)
    known = {"head": ("head",), "edge": ("head", "key_pos"), "dim": ("head", "dim")}
    return {known[level]} if attends and level != "neuron" else {("neuron",), ("expert", "neuron")}


@every_case
def test_rows_are_the_parts_of_the_level_with_a_number_for_each_prompt(name, level, by):
    run, parts = main(name), made(name, by, level)
    assert parts.rest == ("batch",) and parts.whole.shape == (run.prompts,)
    assert bool(parts.tensor.isfinite().all()) and parts.tensor.shape == (len(parts), run.prompts)
    names = list(parts.labels())
    assert len(set(names)) == len(names) and all(str(parse_label(n)) == n for n in names)
    found = {g.label: g for g in parts.groups}
    for write in run.stream.writes:
        if opened(run, write, level) is None:
            assert found[write.label].axes == ()
            continue
        inside = [g for g in parts.groups if g.axes and (g.label == write.label or g.label.startswith(f"{write.label}.B"))]
        assert inside and {g.axes for g in inside} <= inner_axes(run.stream, inside[0].label, level)


@every_case
def test_rows_say_their_choices_and_sum_to_their_whole_where_they_are_additive(name, level, by):
    parts = made(name, by, level)
    assert parts.choices["by"] == by and parts.choices["level"] == level
    assert set(score_named(by).takes) <= set(parts.choices)
    additive = parts.choices.get("additive", True)
    assert parts.error <= parts.bound or not additive
    assert float((parts.tensor.sum(0) - parts.whole).abs().max()) <= (parts.bound + 1e-14 if additive else 1e-9)


@every_score
def test_a_choice_that_is_not_known_raises(by):
    score = score_named(by)
    values = {"base": "before", "norm": "own", "norm_bias": True, "within": 0.1, "zeroed": "here"}
    assert set(values) == {f.name for f in fields(Choices)} - {"level"}
    for name in set(values) - set(score.takes):
        with pytest.raises(InputError, match=f"by='{by}' has no choice of {name}"):
            score.checked(replace(Choices(), **{name: values[name]}))
    with pytest.raises(InputError, match="no level 'layer'"):
        score.checked(Choices("layer"))
    run = main("gpt2")
    for name in {"base", "norm", "zeroed"} & set(score.takes):
        with pytest.raises(InputError, match="odd"):
            score.rows(run, same(run, [1], None), replace(Choices(), **{name: "odd"}))


def test_a_score_that_there_is_not_raises_with_those_that_there_are():
    with pytest.raises(InputError, match=r"no score 'best'; there are .*dla, .*logprob_increase"):
        score_named("best")


@every_case
def test_the_best_are_those_of_all_rows_sorted(name, level, by):
    score, run, held = score_named(by), main(name), parts_of(made(name, by, level), level)
    every = torch.cat([g.flat() for g in held])
    k = min(7, len(every))
    found = top(run, same(run, [1], None), by, choices_of(score, level), k)
    torch.testing.assert_close(found.values, every.T.topk(k).values, **TIGHT)
    values = dict(zip((g.name(i) for g in held for i in range(len(g.flat()))), every, strict=True))
    for cell, labels in enumerate(found.labels):
        torch.testing.assert_close(torch.stack([values[n][cell] for n in labels]), found.values[cell], **TIGHT)
    if k < len(every):
        torch.testing.assert_close(found.next, torch.maximum(found.next, every.T.topk(k + 1).values[:, k]), **TIGHT)


ZEROED = {"gpt2": ("L0.mlp.N3", "L1.attn.H2"), "llama": ("L1.mlp.N7", "L0.attn.H1"), "bert": ("L0.mlp.N5", "L1.attn.H0")}


@cache
def model(name: str) -> Built:
    return built(name)


@cache
def zeroed(name: str, label: str) -> Pass:
    """The run with a part zeroed, made once for all scores."""
    module, args, kwargs = model(name)
    return take(module, mapped(name), args, kwargs, patches(mapped(name), zero(label)))


@every_score
@pytest.mark.parametrize("name", ZEROED)
def test_a_vector_of_zeros_scores_nothing(name, by):
    """A neuron's own row, which `norm` is the length of, is still there."""
    for label, level in zip(ZEROED[name], ("neuron", "head"), strict=True):
        run = zeroed(name, label)
        found = rows(run, same(run, [1], None), by, level)[label]
        if by == "norm" and level == "neuron":
            assert float(found.min()) > 1e-3
        else:
            torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-9)


@cache
def alone(name: str, prompt: int) -> Pass:
    """The run of one prompt of a batch, made once for all scores."""
    module, args, kwargs = model(name)
    return take(module, mapped(name), tuple(a[prompt : prompt + 1] for a in args), kwargs)


def level_of(name: str) -> str:
    return LEVELS_OF[name][-1]


@pytest.mark.parametrize("name", ["gpt2", "bert", "mixtral", "falcon", "resnet"])
@every_score
def test_prompts_of_a_batch_score_as_they_do_alone(name, by):
    if (name, by) in REFUSED:
        return
    batch = made(name, by, level_of(name))
    for i in range(main(name).prompts):
        run = alone(name, i)
        found = rows(run, same(run, [1], None), by, level_of(name))
        assert [g.label for g in found.groups] == [g.label for g in batch.groups]
        torch.testing.assert_close(found.tensor[:, 0], batch.tensor[:, i], **TIGHT)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "gemma2"])
@every_score
def test_all_positions_score_as_each_alone(name, by):
    run, level = main(name), LEVELS_OF[name][-1]
    everywhere = rows(run, same(run, [1], None, every=True), by, level)
    assert everywhere.rest == ("batch", "pos") and everywhere.whole.shape == run.output().shape[:2]
    third = same(run, [1], None)
    third.places[:, 1] = 2
    for position, alone in ((-1, made(name, by, level)), (2, rows(run, third, by, level))):
        one, other = ({g.label: g.values for g in some.groups} for some in (everywhere.select("pos", position), alone))
        for label in one.keys() | other.keys():  # a constant row that is zero where it is asked for is left out
            assert label in one.keys() & other.keys() or label.endswith(("transport", "bias", "interaction"))
            held = one.get(label, other.get(label))
            found, wanted = (some.get(label, torch.zeros_like(held)) for some in (one, other))
            torch.testing.assert_close(found, wanted, **TIGHT)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"within": -1.0}, "a number from 0, not -1.0"),
        ({"within": float("nan")}, "a number from 0, not nan"),
        ({"within": float("inf")}, "a number from 0, not inf"),
        ({"within": "x"}, "a number from 0, not 'x'"),
        ({"within": True}, "a number from 0, not True"),
        ({"norm_bias": 3}, "True or False, not 3"),
        ({"norm_bias": "yes"}, "True or False, not 'yes'"),
        ({"level": "layer"}, "no level 'layer'"),
    ],
)
@pytest.mark.parametrize("by", [name for name, score in scores().items() if {"within", "norm_bias"} <= set(score.takes)])
def test_choices_that_are_none_are_refused(by, choices, said):
    with pytest.raises(InputError, match=said):
        score_named(by).checked(Choices(**choices))
