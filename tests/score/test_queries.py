"""Values of a prediction and what switched them on: credits sum to the values' scores, part by part as the formula says."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from mainstem.core import InputError, Parts, parse_label
from mainstem.find import find
from mainstem.score import Choices, Goal, Queries, direct, queries, switched_on
from mainstem.score import top as best
from mainstem.stream import Coordinate, Pass, take
from stream import _hand
from stream._runs import built, main, mapped, passes, plant_biases
from stream.test_subvalues import frozen_readout
from zoo import ids

LEVELS = ("write", "head", "neuron")
NAMES = ["gpt2", "llama", "gemma2", "neox", "bert", "bloom", "falcon", "granite", "gptj", "mixtral"]


HAND = {"gpt2": _hand.gpt2, "llama": _hand.llama}


@cache
def planted(name: str) -> Pass:
    return passes(name, change=plant_biases)[0]


def goal(run: Pass, token: int = 7, places: tuple[tuple[int, int], ...] = ((0, 6), (1, 5))) -> Goal:
    """One token at one place of each of two prompts. Parameters: `run`; `token`; `places`."""
    n = len(places)
    at = torch.tensor(places)
    ones, order = torch.ones(n, dtype=run.output().dtype), torch.arange(n)
    chosen = torch.full((n, 1), token)
    return Goal(at, chosen, torch.ones(n, 1, dtype=torch.bool), None, None, ones, order, (n,), "a token")


def asked(run: Pass, level: str = "neuron", k: int = 5, by: str = "dla", prompt: int = 1) -> Queries:
    return queries(run, goal(run), by, Choices(level), k, prompt)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_credits_sum_to_the_scores_of_the_values(name, level):
    found = asked(planted(name), level)
    wanted = sum(v.score for v in found.values)
    assert wanted > 0 and len(found.values) > 5
    torch.testing.assert_close(float(found.credit.sum()[1]), wanted, rtol=1e-9, atol=1e-12)
    assert float(found.credit.sum()[0]) == 0
    assert found.credit.error <= found.credit.bound < 1e-9
    assert not found.unread


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "mixtral"])
def test_credits_are_what_the_formula_says(name):
    """Every value's score over its keys, shared out as its pre-activation is made up: worked out one key at a time."""
    run = planted(name)
    found = asked(run)
    wanted: dict[str, float] = {}
    for value in found.values:
        keys = [s.key for s in found.switches if s.value is value]
        assert keys == {"gpt2": ["key"], "bert": ["key"]}.get(name, ["gate", "up"]) or keys == ["value"]
        for key in keys:
            (parts,) = switched_on(run, [Coordinate(value.label, key, value.place)], "neuron")
            shares = parts.tensor[:, 1] / parts.whole[1]
            for label, share in zip(parts.labels(), shares.tolist(), strict=True):
                wanted[label] = wanted.get(label, 0.0) + value.score / len(keys) * share
    given = dict(zip(found.credit.labels(), found.credit.tensor[:, 1].tolist(), strict=True))
    assert set(given) == set(wanted)
    for label, value in wanted.items():
        assert abs(given[label] - value) < 1e-10, label


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_values_are_the_best_of_their_level(name):
    run = planted(name)
    found = asked(run, k=4)
    scored = direct(run, goal(run), "neuron")
    neurons = [v for v in found.values if ".N" in v.label]
    assert [v.label for v in neurons] == [label for label, _ in best_of(scored, "neuron", 4)]
    for value in neurons:
        torch.testing.assert_close(value.score, float(scored[value.label][1]))
        assert value.place == (1, 5)


def best_of(parts: Parts, axis: str, k: int) -> list[tuple[str, float]]:
    rows = [
        (group.name(i), float(v))
        for group in parts.groups
        if axis in group.axes
        for i, v in enumerate(group.flat()[:, 1].tolist())
    ]
    return sorted(rows, key=lambda row: -row[1])[:k]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_value_of_attention_scores_what_its_key_position_gives(name, biased):
    """By DLA alpha_j v_j W_O held against the target's row, through the last norm frozen: from the weights alone.

    With large biases all values of a dim have one sign; without, positions take from each other.
    """
    run = planted(name) if biased else main(name)
    blocks, stream = HAND[name](run.module.requires_grad_(False), run.args[0])
    back = frozen_readout(run.module, stream[-1])[1, 5, 7]
    found = [v for v in queries(run, goal(run), "dla", Choices("write"), 60, 1).values if ".D" in v.label]
    assert len(found) > 40
    for v in found:
        block, at = blocks[int(v.label[1])], dict(parse_label(v.label).at)
        head, j, dim = at["head"], at["key_pos"], at["dim"]
        wanted = block.pattern[1, head, 5, j] * block.value[1, head, j, dim] * (block.w_o[head, dim] @ back)
        torch.testing.assert_close(v.score, float(wanted), rtol=1e-8, atol=1e-12)
        assert v.place == (1, j)


class Planted(nn.Module):
    """Neuron 5 of the second block alone makes token 9, and of the first block neuron 3 alone switches it on."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 8), nn.Linear(8, 20)
        self.ups = nn.ModuleList(nn.Linear(8, 12) for _ in range(2))
        self.downs = nn.ModuleList(nn.Linear(12, 8) for _ in range(2))
        with torch.no_grad():
            self.embed.weight[:, :2] = 0
            for down in self.downs:
                down.weight[:2], down.bias[:2] = 0, 0
            self.downs[0].weight[0, 3] = 2
            self.ups[0].weight[3], self.ups[0].bias[3] = 0, 1.5
            self.ups[1].weight[5], self.ups[1].bias[5] = 0, 0
            self.ups[1].weight[5, 0] = 1
            self.downs[1].weight[1, 5] = 4
            self.head.weight[9], self.head.bias[9] = 0, 0
            self.head.weight[9, 1] = 1

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for up, down in zip(self.ups, self.downs, strict=True):
            x = x + down(torch.relu(up(x)))
        return self.head(x)


@pytest.mark.parametrize("by", ["dla", "logprob_increase"])
def test_all_credit_goes_to_the_one_neuron_that_switched_it_on(by):
    module, tokens = Planted().double().eval(), ids(2, 7, 20)
    run = take(module, find(module, tokens), (tokens,), {})
    found = queries(run, goal(run, 9), by, Choices("neuron"), 1, 1)
    assert [v.label for v in found.values] == ["L1.mlp.N5"]
    if by == "dla":
        assert found.values[0].score == pytest.approx(12.0)
    assert found.credit.select("batch", 1).top(1) == [("L0.mlp.N3", pytest.approx(found.values[0].score))]
    rest = found.credit.tensor[:, 1].sum() - found.credit["L0.mlp.N3"][1]
    assert float(rest.abs()) < 1e-12
    assert float((found.credit.tensor[:, 1] != 0).sum()) == 1


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_values_by_another_score(name):
    """By log-probability increase: its own certified best, and credits that sum to their scores."""
    run = planted(name)
    found = asked(run, k=3, by="logprob_increase")
    wanted = best(run, goal(run), "logprob_increase", Choices("neuron"), 3)
    assert [v.label for v in found.values if ".N" in v.label] == [
        label for label, value in zip(wanted.labels[1], wanted.values[1].tolist(), strict=True) if value > 0
    ]
    torch.testing.assert_close(float(found.credit.sum()[1]), sum(v.score for v in found.values), rtol=1e-9, atol=1e-12)


def test_prompts_have_queries_of_their_own():
    run = planted("llama")
    one, two = (asked(run, prompt=i) for i in (0, 1))
    assert (one.place, two.place) == ((0, 6), (1, 5))
    assert [v.label for v in one.values] != [v.label for v in two.values]
    assert float(one.credit.sum()[1]) == 0 == float(two.credit.sum()[0])


def test_what_has_no_key_is_said_by_name():
    """Attention that reads an encoder: its values are switched on by another stream."""
    module, args, kwargs = built("t5")
    run = take(module, mapped("t5"), args, kwargs)
    at = goal(run, places=((0, 3), (1, 4)))
    found = queries(run, at, "dla", Choices("write"), 60, 1)
    assert any("cross" in label and "another stream" in said for label, said in found.unread.items())
    assert found.values


def test_nothing_to_ask_for_is_an_error():
    with pytest.raises(InputError, match=r"nothing that counts here has a key to ask for: L\d.mixer.N\d+ has no key"):
        asked(main("mamba"))


def test_one_place_is_asked_for():
    run = main("gpt2")
    many = goal(run, places=((1, 2), (1, 3)))
    with pytest.raises(InputError, match="queries are of one place of a prompt; here are 2"):
        queries(run, many, "dla", Choices("write"), 3, 1)
