"""Norm and coefficient x norm: lengths of rows of weights, and of what is added, by hand."""

import pytest
import torch

from mainstem.score import Choices, score_named
from score.test_alternatives import made, same
from stream._hand import gpt2
from stream._runs import main, plant_biases
from stream._runs import passes as taken

TIGHT = {"rtol": 1e-10, "atol": 1e-13}


def lengths(by: str, level: str, name: str = "gpt2", goal=None):
    run = main(name)
    return score_named(by).rows(run, goal or same(run, [1], None), Choices(level))


@pytest.fixture
def blocks():
    run = main("gpt2")
    with torch.no_grad():
        return gpt2(run.module, run.args[0])[0]


def test_neurons_are_rows_of_w_out_and_what_they_are_multiplied_by(blocks):
    bare, long = lengths("norm", "neuron"), lengths("coefficient_norm", "neuron")
    for i, block in enumerate(blocks):
        rows = block.w_out.norm(dim=1)
        torch.testing.assert_close(bare[f"L{i}.mlp"], rows[:, None].expand(-1, 2), **TIGHT)
        torch.testing.assert_close(long[f"L{i}.mlp"], block.neurons[:, -1].T.abs() * rows[:, None], **TIGHT)


def test_edges_are_values_through_the_head_and_attention_times_these(blocks):
    bare, long = lengths("norm", "edge"), lengths("coefficient_norm", "edge")
    for i, block in enumerate(blocks):
        values = torch.einsum("bhkd,hdm->bhkm", block.value, block.w_o).norm(dim=-1)
        torch.testing.assert_close(bare[f"L{i}.attn"], values.permute(1, 2, 0), **TIGHT)
        torch.testing.assert_close(long[f"L{i}.attn"], block.edges[:, :, -1].norm(dim=-1).permute(1, 2, 0), **TIGHT)


def test_dims_are_rows_of_w_o_and_heads_have_no_coefficient(blocks):
    for i, block in enumerate(blocks):
        torch.testing.assert_close(lengths("norm", "dim")[f"L{i}.attn"][..., 0], block.w_o.norm(dim=-1), **TIGHT)
        heads = block.edges.sum(3)[:, :, -1].norm(dim=-1).T
        for by in ("norm", "coefficient_norm"):
            torch.testing.assert_close(lengths(by, "head")[f"L{i}.attn"], heads, **TIGHT)
    assert lengths("norm", "head").choices["unfactored"] == ["L0.attn", "L1.attn"]
    assert lengths("norm", "dim").choices["unfactored"] == lengths("norm", "write").choices["unfactored"] == []


def test_whole_writes_entry_and_biases_are_as_long_as_they_are():
    run = taken("gpt2", change=plant_biases)[0]
    for by in ("norm", "coefficient_norm"):
        found = score_named(by).rows(run, same(run, [1], None), Choices("neuron"))
        torch.testing.assert_close(found["L0.attn"], run.write(run.stream.writes[0])[:, -1].norm(dim=-1), **TIGHT)
        torch.testing.assert_close(
            found["entry.pos"], run.write(run.stream.entry[1]).expand(2, -1, -1)[:, -1].norm(dim=-1), **TIGHT
        )
        bias = run.module.transformer.h[1].mlp.c_proj.bias.norm()
        torch.testing.assert_close(found["L1.mlp.bias"], bias.expand(2), **TIGHT)


def test_neurons_behind_a_norm_have_no_coefficient_of_their_own():
    bare, long = lengths("norm", "neuron", "gemma2"), lengths("coefficient_norm", "neuron", "gemma2")
    assert bare.choices["unfactored"] == ["L0.mlp", "L1.mlp"]
    torch.testing.assert_close(bare.tensor, long.tensor, **TIGHT)


def test_a_cell_of_several_places_has_their_sum():
    run = main("gpt2")
    places, ids = torch.tensor([[0, 4], [0, 5], [1, 2]]), torch.tensor([[3], [9], [7]])
    sequence = made(places, ids, None, torch.Size([2]), places[:, 0])
    every = lengths("coefficient_norm", "neuron", goal=same(run, [1], None, every=True)).tensor
    found = lengths("coefficient_norm", "neuron", goal=sequence).tensor
    torch.testing.assert_close(found, torch.stack([every[:, 0, 4] + every[:, 0, 5], every[:, 1, 2]], 1), **TIGHT)
