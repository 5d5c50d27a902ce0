"""Rank: counted over the naive logits of x and x + v, across tiles, with ties and alternatives."""

import pytest
import torch

from mainstem.core import InputError
from mainstem.score import Choices, _tiles, lens, score_named
from mainstem.score._tiles import Unembedding
from score.test_alternatives import same
from stream._hand import gpt2, layer_norm
from stream._runs import main, passes, plant_biases


def ranks(run, level, ids=(1,), **choices):
    return score_named("rank").rows(run, same(run, list(ids), None), Choices(level, **choices))


def naive(logits, ids):
    """How many other tokens are above the best of some."""
    best = logits[..., list(ids)].amax(-1, keepdim=True)
    return (logits > best).sum(-1).double()


@pytest.mark.parametrize("ids", [(1,), (4, 9, 2)])
def test_neurons_and_edges_by_hand(ids):
    run = main("gpt2")
    with torch.no_grad():
        (block, _), (x, *_) = gpt2(run.module, run.args[0])
        x = x[:, -1]
        read = lambda y: layer_norm(y, run.module.transformer.ln_f) @ run.module.lm_head.weight.T  # noqa: E731
        edges = block.edges[:, :, -1].permute(1, 2, 0, 3)
        want = naive(read(x), ids) - naive(read(x + edges), ids)
        torch.testing.assert_close(ranks(run, "edge", ids)["L0.attn"], want, rtol=0, atol=0)
        x = x + block.edges[:, :, -1].sum((1, 2)) + block.b_o
        neurons = block.neurons[:, -1].T[..., None] * block.w_out[:, None]
        want = naive(read(x), ids) - naive(read(x + neurons), ids)
    torch.testing.assert_close(ranks(run, "neuron", ids)["L0.mlp"], want, rtol=0, atol=0)
    assert float(want.abs().max()) > 0


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "gemma2", "granite", "vit", "resnet"])
def test_writes_telescope_to_the_ranks_of_the_lens(name):
    run = passes(name, change=plant_biases)[0]
    for level in ("write", "neuron"):
        parts = ranks(run, level)
        target = torch.ones(run.output().shape[:-1], dtype=torch.long)
        found = lens(run, target).rank.reshape(len(run.stream.points), run.prompts, -1)[..., -1].double()
        torch.testing.assert_close(parts.tensor.sum(0), found[0] - found[-1], rtol=0, atol=1e-9)


def test_the_count_goes_over_tiles_and_leaves_ties_out(monkeypatch):
    matrix = torch.randn(40, 6, dtype=torch.float64)
    matrix[[3, 17, 33]] = matrix[25].clone()
    bias, rows = (
        torch.randn(40, dtype=torch.float64).index_fill(0, torch.tensor([3, 17, 25, 33]), 0.5),
        torch.randn(9, 6).double(),
    )
    goal = same(main("gpt2"), [25], None)
    where = torch.zeros(9, dtype=torch.long)
    logits = rows @ matrix.T + bias
    for tile in (6, 42, 6 * 40):
        monkeypatch.setattr(_tiles, "ROWS", 4)
        monkeypatch.setattr(_tiles, "_TILE", tile)
        found = Unembedding(matrix, bias).ranks(rows, where, goal)
        want = (logits > logits[:, [25]] + 1e-12).sum(1).double()
        torch.testing.assert_close(found, want, rtol=0, atol=0)


def test_alternatives_do_not_stand_in_each_others_way_and_a_contrast_has_no_rank():
    run = main("gpt2")
    order = run.output()[0, -1].argsort(descending=True)
    first, second, third = (int(i) for i in order[:3])
    logits = run.output()[:1, -1]
    goal = same(run, [third, first], None)
    assert float(goal.ranks(run.output()[:, -1])[0]) == 0.0
    assert (
        float(same(run, [third, second], None).ranks(run.output()[:, -1])[0]) == 1.0 == float(naive(logits, (third, second))[0])
    )
    with pytest.raises(InputError, match="a contrast has no rank"):
        score_named("rank").rows(run, same(run, [1], [2]), Choices())


def test_taken_out_of_the_last_point():
    run = main("gpt2")
    found = ranks(run, "write", base="last")
    with torch.no_grad():
        x = run.point(len(run.stream.points) - 1)[:, -1]
        read = lambda y: layer_norm(y, run.module.transformer.ln_f) @ run.module.lm_head.weight.T  # noqa: E731
        for write in run.stream.writes:
            want = naive(read(x - run.write(write)[:, -1]), (1,)) - naive(read(x), (1,))
            torch.testing.assert_close(found[write.label], want, rtol=0, atol=0)
    assert found.choices["additive"] is False
