"""The k best components are those that a look at all of them finds, in order, and what is said of the others is true."""

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import mainstem as ms
from mainstem.core import InputError, Parts, Tops
from mainstem.score import Choices, Goal, _certify, score_named, top
from mainstem.score._bounds import above
from mainstem.score._certify import Board, _Search
from mainstem.score._change import change
from mainstem.score._scene import scene
from mainstem.score._stack import groups, uppers
from mainstem.stream import Pass
from score._naive import KINDS, READ, Naive, goal_of, gpt, neurons_of, run_of, watched
from stream import _hand
from stream._runs import passes

LOOKS = [(1, 1), (3, 2), (10, 4), (10_000, 32)]  # k, and how many are worked out together
MODELS = ["gpt2", "llama", "granite", "cohere", "bloom", "t5", "openai", "gemma2", "mixtral"]


class Shelf(Board):
    """A board whose scores are known. Parameters: `scores`, [place, component]; `goal`."""

    def __init__(self, scores: Tensor, goal: Goal) -> None:
        self.scores, self.count, self.asked = scores, scores.shape[1], []
        self.scene: Any = SimpleNamespace(goal=goal, base="before", rules={})

    def name(self, index: int) -> str:
        return f"L0.mlp.N{index}"

    def exact(self, place: Tensor, index: Tensor) -> Tensor:
        self.asked += list(zip(place.tolist(), index.tolist(), strict=True))
        return self.scores[place, index]


def target(places: int, owner: list[int], weights: list[float] | None = None) -> Goal:
    at, one = torch.arange(places), torch.ones(places, 1, dtype=torch.long)
    weighed = torch.ones(places) if weights is None else torch.tensor(weights)
    return Goal(torch.stack([at, at], 1), one, one.bool(), None, None, weighed, torch.tensor(owner), (max(owner) + 1,), "")


def searched(scores: Tensor, slack: Tensor, k: int, goal: Goal) -> tuple[Tops, Shelf]:
    shelf = Shelf(scores, goal)
    upper = goal.total((scores + slack).T).T.contiguous()
    finer = goal.total((scores + 0.1 * slack).T).T.contiguous()
    return _Search(shelf, upper, min(k, scores.shape[1])).bounded(lambda: finer), shelf


def is_best(found: Tops, all_scores: Tensor, k: int) -> None:
    """Against all scores, [cell, component]: the highest, in order, and none of the others above what is said of them."""
    k = min(k, all_scores.shape[1])
    wanted = all_scores.sort(dim=1, descending=True).values
    torch.testing.assert_close(found.values, wanted[:, :k], rtol=0, atol=0)
    for cell, labels in enumerate(found.labels):
        index = [int(label.rpartition("N")[2]) for label in labels]
        assert len(set(index)) == k
        torch.testing.assert_close(all_scores[cell, index], found.values[cell], rtol=0, atol=0)
        left = torch.ones(all_scores.shape[1], dtype=torch.bool)
        left[index] = False
        others = all_scores[cell][left]
        assert float(found.next[cell]) >= (float(others.max()) if len(others) else -torch.inf)
        assert float(found.next[cell]) <= float(found.values[cell, -1])
        assert len(others) or float(found.next[cell]) == -torch.inf


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("k", "together"), LOOKS)
def test_a_search_by_bounds_finds_the_best(k, together, ties, monkeypatch):
    """Bounds as close or as loose as you like, equal scores, several cells, cells of several places, components few and many."""
    monkeypatch.setattr(_certify, "_ROUND", together)
    for trial in range(60):
        count, owner = 1 + trial * 3 % 50, [[0], [0, 1, 2], [0, 0, 1], [1, 0, 1, 0]][trial % 4]
        scores = torch.randn(len(owner), count, dtype=torch.float64)
        scores = (2 * scores).round() if ties else scores
        slack = torch.rand(len(owner), count, dtype=torch.float64) * 10.0 ** -(trial % 5) * (torch.rand(count) < 0.7)
        goal = target(len(owner), owner)
        found, shelf = searched(scores, slack, k, goal)
        is_best(found, goal.total(scores.T).T, k)
        assert found.of == count
        assert len(set(shelf.asked)) == len(shelf.asked), "a score was worked out twice"
        assert len(shelf.asked) <= 2 * found.evaluated  # cells here have up to two places


def test_close_bounds_leave_little_to_work_out(monkeypatch):
    monkeypatch.setattr(_certify, "_ROUND", 4)
    scores = torch.randn(3, 1000, dtype=torch.float64)
    found, shelf = searched(scores, torch.full_like(scores, 1e-6), 10, target(3, [0, 1, 2]))
    is_best(found, scores, 10)
    assert found.evaluated == len(shelf.asked) == 30


def test_bounds_that_are_too_low_are_seen_in_the_answer(monkeypatch):
    """The search stands on its bounds: with wrong ones it finds the wrong components, and the check above notices."""
    monkeypatch.setattr(_certify, "_ROUND", 1)
    scores = torch.arange(20, dtype=torch.float64)[None].clone()
    slack = torch.zeros_like(scores)
    slack[0, 19] = -30
    found, _ = searched(scores, slack, 3, target(1, [0]))
    with pytest.raises(AssertionError):
        is_best(found, scores, 3)


def test_a_bound_that_is_no_number_is_worked_out(monkeypatch):
    monkeypatch.setattr(_certify, "_ROUND", 1)
    scores, slack = torch.randn(2, 30, dtype=torch.float64), torch.zeros(2, 30, dtype=torch.float64)
    scores[1, 7], slack[:, 7], slack[0, 3] = 50.0, torch.nan, torch.inf
    found, shelf = searched(scores, slack, 2, target(2, [0, 1]))
    is_best(found, scores, 2)
    assert {(0, 7), (1, 7), (0, 3)} <= set(shelf.asked)


def test_places_of_padding_are_not_worked_out(monkeypatch):
    monkeypatch.setattr(_certify, "_ROUND", 4)
    scores = torch.randn(3, 20, dtype=torch.float64)
    scores[1] = torch.nan
    goal = target(3, [0, 1, 2], [1.0, 0.0, 1.0])
    found, shelf = searched(scores, torch.zeros_like(scores), 4, goal)
    is_best(found, goal.total(scores.T).T, 4)
    assert {place for place, _ in shelf.asked} == {0, 2}
    assert not bool(found.values[1].any())


def parts_of(parts: Parts, level: str) -> tuple[list[str], Tensor]:
    """Labels and scores, [cell, component], of what a level counts."""
    whole = ("write", "constant", "transport", "interaction") if level != "write" else ("constant", "transport", "interaction")
    groups = [g for g in parts.groups if g.kind not in whole and (g.axes or level == "write")]
    labels = [g.name(i) for g in groups for i in range(len(g.flat()))]
    return labels, torch.cat([g.flat().flatten(1) for g in groups]).T


def assert_agrees(run: Pass, goal: Goal, level: str, k: int, **choices: Any) -> Tops:
    """The best by their bounds against all of them worked out."""
    score = score_named("logprob_increase")
    labels, scores = parts_of(score.rows(run, goal, Choices(level=level, within=0.0, **choices)), level)
    found = top(run, goal, "logprob_increase", Choices(level=level, **choices), k)
    best = scores.topk(min(k, scores.shape[1]))
    torch.testing.assert_close(found.values, best.values, rtol=1e-11, atol=1e-11)
    for cell, row in enumerate(found.labels):
        index = [labels.index(label) for label in row]
        torch.testing.assert_close(scores[cell, index], found.values[cell], rtol=1e-11, atol=1e-11)
        others = scores[cell][[i for i in range(len(labels)) if i not in set(index)]]
        assert float(found.next[cell]) >= float(others.max() if len(others) else -torch.inf) - 1e-11
        assert float(found.next[cell]) <= float(found.values[cell, -1])
    assert found.of == len(labels) and found.choices["certified"]
    return found


@pytest.mark.parametrize("level", ["write", "head", "edge", "dim", "neuron"])
@pytest.mark.parametrize("name", MODELS)
def test_the_best_of_a_model_at_every_level(name, level, monkeypatch):
    monkeypatch.setattr(_certify, "_ROUND", 2)
    run = run_of(name)
    for k in (1, 5, 10_000):
        assert_agrees(run, goal_of(run), level, k)


@pytest.mark.parametrize("kind", [*KINDS, "sequence"])
@pytest.mark.parametrize("base", ["before", "last"])
def test_every_kind_of_target_and_what_it_is_added_to(kind, base, monkeypatch):
    monkeypatch.setattr(_certify, "_ROUND", 2)
    for name in ("gpt2", "granite", "gemma2"):
        run = run_of(name)
        assert_agrees(run, goal_of(run, kind), "neuron", 6, base=base)
        assert_agrees(run, goal_of(run, kind, (2,)), "head", 2, base=base, norm="final")


@pytest.mark.parametrize("norm", ["own", "final", "none"])
def test_every_rule_of_the_norm(norm, monkeypatch):
    monkeypatch.setattr(_certify, "_ROUND", 2)
    for name in ("gpt2", "bloom", "t5"):
        run = run_of(name)
        for bias in (True, False):
            found = assert_agrees(run, goal_of(run), "neuron", 6, norm=norm, norm_bias=bias)
            assert (found.choices["norm"], found.choices["norm_bias"]) == (norm, bias)


def test_every_place_of_every_prompt(monkeypatch):
    monkeypatch.setattr(_certify, "_ROUND", 2)
    for name in ("gpt2", "t5"):
        run = run_of(name)
        goal = goal_of(run, "token", tuple(range(run.output().shape[1])))
        found = assert_agrees(run, goal, "edge", 4)
        assert len(found.labels) == found.values.shape[0] == goal.shape[0] * goal.shape[1]
        assert found.rest == ("batch", "pos")


def alike(module: torch.nn.Module) -> None:
    """Every second neuron of the MLPs is the one before it; half of the heads write the same."""
    for block in module.transformer.h:
        mlp, attn = block.mlp, block.attn
        for tensor in (mlp.c_fc.weight.T, mlp.c_fc.bias, mlp.c_proj.weight):
            tensor[1::2] = tensor[::2]
        attn.c_proj.weight[8:16] = attn.c_proj.weight[:8]


def test_equal_components_are_all_there(monkeypatch):
    monkeypatch.setattr(_certify, "_ROUND", 1)
    run = passes("gpt2", change=alike)[0]
    for k in (1, 2, 3, 7, 64):
        found = assert_agrees(run, goal_of(run), "neuron", k)
        if k % 2 == 0:
            torch.testing.assert_close(found.values[:, ::2], found.values[:, 1::2], rtol=0, atol=0)


def test_rows_and_the_best_in_float32_come_from_the_same_numbers():
    run = passes("gpt2", torch.float32)[0]
    found = assert_agrees(run, goal_of(run), "neuron", 5)
    assert found.values.dtype == torch.float64


def made_in(run: Pass, monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """The precisions that bounds were summed in while the best were found."""
    seen, made = [], _certify.uppers
    with monkeypatch.context() as patch:
        patch.setattr(_certify, "uppers", lambda scene, pieces, dtype: (seen.append(dtype), made(scene, pieces, dtype))[1])
        top(run, goal_of(run), "logprob_increase", Choices(level="neuron"), 3)
    return seen


def test_where_float32_products_may_be_rougher_bounds_are_summed_in_float64(monkeypatch):
    """TF32 and bfloat16 products are off by more than what a bound in float32 leaves room for."""
    run = run_of("gpt2")
    assert made_in(run, monkeypatch)[0] == torch.float32
    for rule in ("high", "medium"):
        monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda rule=rule: rule)
        assert set(made_in(run, monkeypatch)) == {torch.float64}


def refuse() -> str:
    raise RuntimeError("mix of the legacy and new APIs")


def test_an_unknown_rule_of_products_counts_as_a_rough_one(monkeypatch):
    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
    assert set(made_in(run_of("gpt2"), monkeypatch)) == {torch.float64}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["gpt2", "granite", "t5", "openai", "mixtral"])
def test_bounds_of_several_writes_at_once_are_those_of_each(name, dtype):
    run = run_of(name)
    for level, kind in (("neuron", "token"), ("edge", "any_of"), ("head", "odds")):
        found = scene(run, goal_of(run, kind), level, parts=True)
        pieces = [piece for piece in found.pieces(level) if piece.part]
        together = uppers(found, pieces, dtype)
        assert len(together) == len(pieces)
        assert max(map(len, groups(found, pieces))) > 1 or name == "openai", "nothing was laid together"
        for piece, bound in zip(pieces, together, strict=True):
            at = found.surveyed(0, dtype)[piece.step.write.label].at(piece.vectors.where)
            alone = above(found.reading, found.goal, piece, at, change(found.reading, piece, dtype))
            torch.testing.assert_close(bound, alone, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("k", [0, -1, True, False])
def test_how_many_is_a_whole_number_from_one(k):
    run = run_of("gpt2")
    with pytest.raises(InputError, match="top is how many to take, a whole number from 1"):
        top(run, goal_of(run), "logprob_increase", Choices(), k)


def test_a_level_that_takes_nothing_apart_is_refused():
    run = run_of("mamba")
    with pytest.raises(InputError, match="nothing in this model is taken apart at level 'head'"):
        top(run, goal_of(run), "logprob_increase", Choices(level="head"), 3)


PROMPTS = ["The capital of France is", "Once upon a time there was a little", "The capital of Italy is"]
LITTLE = 200  # of 4,608 neurons: more than twice what was counted


@pytest.mark.parametrize("base", ["before", "last"])
def test_the_best_of_the_embedded_model_by_hand(base):
    """Every neuron, head, edge and attention dim of a GPT-2 by hand from its weights, against the few that were worked out."""
    trace = ms.load("default", dtype=torch.float64).trace(PROMPTS[0], positions="all")
    run, goal = trace.run, goal_of(trace.run, at=(-1,))
    goal = replace(goal, ids=torch.tensor([[trace.index(" Paris")]]))
    slow = Naive(run, gpt(run.module.requires_grad_(False)), goal)
    for level in ("neuron", "head", "edge", "dim"):
        labels, scores = by_hand(slow, level, base)
        for k in (1, 20, len(labels)):
            found = top(run, goal, "logprob_increase", Choices(level=level, base=base), k)
            best = scores.topk(k)
            torch.testing.assert_close(found.values[0], best.values, rtol=1e-9, atol=1e-9)
            assert list(found.labels[0]) == [labels[i] for i in best.indices] or ties(best.values)
            left = scores[best.indices[-1]] if k == len(labels) else scores.topk(k + 1).values[-1]
            assert float(found.next[0]) >= float(left) - 1e-9 if k < len(labels) else float(found.next[0]) == -torch.inf
            assert found.of == len(labels)
            assert level != "neuron" or k > 20 or base == "last" or found.evaluated <= LITTLE


def ties(values: Tensor) -> bool:
    """Whether two of the values are so close that their order is rounding."""
    return bool(((values[:-1] - values[1:]) < 1e-9).any())


def by_hand(slow: Naive, level: str, base: str) -> tuple[list[str], Tensor]:
    """Labels and scores of every part of a level at the last place of one prompt."""
    labels, values = [], []
    with torch.no_grad():
        blocks, _ = _hand.gpt2(slow.run.module, slow.run.kwargs.get("input_ids", slow.run.args[0] if slow.run.args else None))
        for i, block in enumerate(blocks):
            write = f"L{i}.{'mlp' if level == 'neuron' else 'attn'}"
            if level == "neuron":
                vectors = {f"{write}.N{n}": v for n, v in enumerate(block.neurons[0, -1, :, None] * block.w_out)}
            elif level == "head":
                vectors = {f"{write}.H{h}": v for h, v in enumerate(block.edges[0, :, -1].sum(1))}
            elif level == "edge":
                each = block.edges[0, :, -1]
                vectors = {f"{write}.H{h}<-{j}": each[h, j] for h in range(each.shape[0]) for j in range(each.shape[1])}
            else:
                each = block.dims[0, :, :, -1]
                vectors = {f"{write}.H{h}.D{d}": each[h, d] for h in range(each.shape[0]) for d in range(each.shape[1])}
            labels += vectors
            rows = torch.stack(list(vectors.values()))[:, None]
            values.append(slow.scores(write, rows) if base == "before" else slow.taken_out(rows))
    return labels, torch.cat(values).flatten()


@pytest.mark.parametrize("side", ["left", "right"])
def test_prompts_together_are_what_each_is_alone(side):
    model = ms.load("default")
    targets = [" Paris", " girl", " Rome"]
    choices = {"by": "logprob_increase", "level": "neuron", "top": 8}
    together = model.trace(PROMPTS, padding=side).scores(targets, **choices)
    everywhere = model.trace(PROMPTS, padding=side, positions="all").scores(5, **choices)
    for i, (prompt, target) in enumerate(zip(PROMPTS, targets, strict=True)):
        alone = model.trace(prompt).scores(target, **choices)
        close_to(together.top(prompt=i), alone.top())
        assert together.next(i) >= alone.top()[-1][1] - 1.0
        every = model.trace(prompt, positions="all").scores(5, **choices)
        length = every.tops.shape[1]
        first = everywhere.tops.shape[1] - length if side == "left" else 0
        for position in range(length):
            close_to(everywhere.top(prompt=i, position=first + position), every.top(position=position))


def close_to(found: list[tuple[str, float]], wanted: list[tuple[str, float]]) -> None:
    """The same scores, and the same labels but where scores are too close to tell."""
    values = torch.tensor([[value for _, value in some] for some in (found, wanted)])
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-4)
    gaps = (values[1][:-1] - values[1][1:]).abs()
    clear = bool((gaps > 1e-3).all())
    assert not clear or [label for label, _ in found[:-1]] == [label for label, _ in wanted[:-1]]


@cache
def smollm2(folder: Path) -> tuple[ms.Model, Any]:
    """The model, and its final norm and head in float64. Parameters: `folder`."""
    model = ms.load(folder)
    return model, READ["llama"](copy.deepcopy(model.module).double().requires_grad_(False))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "word"),
    [("The capital of France is", " Paris"), ("The quick brown fox jumps over the lazy", " dog")],
)
def test_the_best_of_a_real_model(real_model, prompt, word):
    """Against neurons of four layers in float64, all that are found, the longest and some by lot: whichever reaches what others
    are said not to is among the best. Against every neuron there is: the embedded model, above."""
    model, read = smollm2(real_model("smollm2"))
    found = model.trace(prompt).scores(word, by="logprob_increase", level="neuron", top=20)
    assert len(found) == 20 and found.choices["of"] == 46_080
    assert found.choices["worked_out"] <= 1024
    assert found.next() <= found.top()[-1][1]
    whole = model.trace(prompt, positions="all")
    run = whole.run
    goal = replace(goal_of(run, at=(-1,)), ids=torch.tensor([[whole.index(word)]]))
    slow, best = Naive(run, read, goal), dict(found.top())
    for layer in (0, 1, 28, 29):
        down = run.module.model.layers[layer].mlp.down_proj
        vectors = neurons_of(run, down)[0, -1, :, None].double() * down.weight.T.double()
        mine = [int(label.rpartition("N")[2]) for label in best if label.startswith(f"L{layer}.mlp.N")]
        which = watched(vectors, mine)
        for n, value in zip(which.tolist(), slow.scores(f"L{layer}.mlp", vectors[which, None]).flatten().tolist(), strict=True):
            label = f"L{layer}.mlp.N{n}"
            assert value <= found.next() + 1e-4 or label in best, label
            assert label not in best or abs(best[label] - value) < 1e-3, label
