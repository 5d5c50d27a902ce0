"""The readout as a function of what points hold: three ways to it, which agree, and the right one for every model."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

import nets
from mainstem.core import InputError
from mainstem.find import find
from mainstem.score import Choices, score_named
from mainstem.score._reading import ByRows, Normed, Reading, Whole, _unembedding, reading
from mainstem.score._ways import doubled, product, ways
from mainstem.stream import Pass, readout, spots, take
from score._naive import MORE, READ, goal_of, naive, run_of
from stream._runs import main
from zoo import ids

TIGHT = {"rtol": 1e-10, "atol": 1e-11}
ROWS = ["gemma2", "bert", "opt_projected"]  # a soft cap, a head of two layers, a projection before the unembedding
WHOLE = ["vit", "resnet", "cifar", "second_path", "tabular"]


def read(name: str, every: bool = False, **rules: object) -> Reading:
    run = run_of(name)
    at = tuple(range(run.output().shape[1])) if every else (1, -1)
    return reading(run, spots(run, goal_of(run, at=at).places), **rules)


@pytest.mark.parametrize("name", sorted(READ))
def test_most_models_read_by_a_norm_and_a_matrix(name):
    """Whatever sizes their calls name: a GPT-2's `view` knows how many positions there were."""
    for every in (False, True):
        found = read(name, every)
        assert type(found) is (ByRows if name in ROWS else Normed)
    assert type(read(name, norm="final")) is (ByRows if name == "gemma2" else Whole if name in ROWS else Normed)


@pytest.mark.parametrize("name", WHOLE)
def test_others_read_all_of_a_prompt(name):
    run = main(name)
    found = reading(run, spots(run, torch.arange(run.prompts)[:, None]))
    assert type(found) is Whole


def asked(run: Pass, places: int) -> list[tuple[int, Tensor, Tensor]]:
    """Rows of any size at several points, several at a place, in no order."""
    where = torch.tensor([0, places - 1, 1, 0, 0, places - 1])
    width = run.stream.width
    return [(t, where, 3 * torch.randn(6, width, dtype=torch.float64)) for t in range(len(run.stream.points))]


@pytest.mark.parametrize("name", ["gpt2", "llama", "granite", "bloom", "t5", "openai", "gemma2", "bert"])
@torch.no_grad()
def test_three_ways_agree(name):
    run, goal = run_of(name), goal_of(run_of(name))
    here, found = spots(run, goal.places), product(run)
    made = ways(run, here, found)
    each = [
        read(name),
        ByRows(lambda t, where, rows: made[t](rows), _unembedding(found), doubled(found.after)),
        Whole(run, here, doubled(readout(run)).live),
    ]
    questions = asked(run, len(here))
    values = [torch.stack(one.values(questions, goal)) for one in each]
    torch.testing.assert_close(values[0], values[1], **TIGHT)
    torch.testing.assert_close(values[0], values[2], **TIGHT)
    slow = naive(name)
    for (t, where, rows), value in zip(questions, values[0], strict=True):
        goals = goal.at(where)
        logits = slow.read(run.stream.points[t].name.rpartition("dec.")[2], rows)
        torch.testing.assert_close(value, goals.value(logits), **TIGHT)


class Placed(nn.Module):
    """A readout that multiplies every position by a number of its own, before or after the unembedding, or averages over them."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.embed, self.blocks = nn.Embedding(50, 16), nn.ModuleList(nets.TabularBlock(16) for _ in range(2))
        self.norm, self.head, self.how = nn.LayerNorm(16), nn.Linear(16, 50), how
        self.place = nn.Parameter(1 + torch.rand(7))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.read(x)

    def read(self, x: Tensor) -> Tensor:
        if self.how == "statistics":
            y = (x - x.mean((0, 1))) * (x.var((0, 1)) + 1e-5).rsqrt()
            return self.head(y)
        y = self.norm(x) * self.place[:, None] if self.how == "before" else self.norm(x)
        return self.head(y) * self.place[:, None] if self.how == "after" else self.head(y)


@cache
def placed(how: str, batch: int) -> tuple[Placed, Pass]:
    torch.manual_seed(0)
    module, tokens = Placed(how).double().eval(), ids(batch)
    return module, take(module, find(module, tokens), (tokens,), {})


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("how", ["before", "after", "plain"])
def test_a_readout_that_knows_positions_is_not_taken_for_one_of_rows(how, batch):
    module, run = placed(how, batch)
    for at in ((3,), tuple(range(7))):
        goal = goal_of(run, at=at)
        found = reading(run, spots(run, goal.places))
        assert type(found) is (Normed if how == "plain" else Whole)
        parts = score_named("logprob_increase").rows(run, goal, Choices())
        lens = [module.read(run.point(t)).log_softmax(-1)[..., 3][:, list(at)] for t in range(3)]
        torch.testing.assert_close(parts["L0.mlp"], lens[1] - lens[0], **TIGHT)
        torch.testing.assert_close(parts["L1.mlp"], lens[2] - lens[1], **TIGHT)


@torch.no_grad()
def test_prompts_do_not_read_each_other_where_all_of_one_is_read():
    run = main("vit")
    goal_places = torch.arange(run.prompts)[:, None]
    found = reading(run, spots(run, goal_places))
    goal = goal_of(run_of("gpt2")).at(torch.arange(2))
    goal = type(goal)(goal_places, goal.ids * 0 + 1, goal.mask, None, None, goal.weights, goal.owner, (2,), "")
    x = run.point(1).flatten(1)
    alone = [found.values([(1, torch.tensor([b]), x[b : b + 1] + 1)], goal)[0] for b in (0, 1)]
    together = found.values([(1, torch.tensor([1, 0, 1]), torch.stack([x[1], x[0], x[1]]) + 1)], goal)[0]
    torch.testing.assert_close(together, torch.cat([alone[1], alone[0], alone[1]]), **TIGHT)


def test_an_unknown_rule():
    with pytest.raises(InputError, match="no norm rule 'mine'; there are own, final, none"):
        read("gpt2", norm="mine")


@pytest.mark.parametrize("rules", [{"norm": "none"}, {"norm_bias": False}, {"norm": "none", "norm_bias": False}])
@pytest.mark.parametrize("name", ["bert", "opt_projected"])
def test_what_is_no_norm_cannot_be_left_out(name, rules):
    with pytest.raises(InputError, match="this model's readout is not one norm and one matrix"):
        read(name, **rules)


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_nor_where_all_of_an_image_is_read(name):
    run = main(name)
    with pytest.raises(InputError, match="its norm cannot be left out, nor its bias"):
        reading(run, spots(run, torch.arange(run.prompts)[:, None]), norm="none")


def test_every_family_of_the_slow_way_is_here():
    assert set(MORE) <= set(READ)
