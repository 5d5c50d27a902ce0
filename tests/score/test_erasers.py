"""Erasers: planted neurons and heads come first, every number by hand."""

import pytest
import torch
from torch import Tensor, nn

import nets
from mainstem.core import InputError
from mainstem.find import find
from mainstem.score import Eraser, erasers
from mainstem.stream import Pass, take
from score.test_composition import rows_of
from stream._runs import built, main, passes, plant_biases

TIGHT = {"rel": 1e-9, "abs": 1e-11}


def by_label(found: list[Eraser]) -> dict[tuple[str, str | None], Eraser]:
    return {(one.component, one.key): one for one in found}


def plant(module: nn.Module) -> None:
    """Neuron 5 of the last block writes against what it reads, head 2 takes away the values that it reads."""
    block = module.transformer.h[1]
    read = block.mlp.c_fc.weight[:, 5] * block.ln_2.weight
    block.mlp.c_proj.weight[5] = -0.7 * (read - read.mean())
    values = block.attn.c_attn.weight[:, 64:].T[16:24] * block.ln_1.weight
    block.attn.c_proj.weight[16:24] = -0.3 * (values - values.mean(-1, keepdim=True))


def test_planted_erasers_come_first():
    run = passes("gpt2", change=plant)[0]
    found = erasers(run, run)
    assert found[0].component == "L1.mlp.N5"
    assert (found[0].kind, found[0].key, found[0].score) == ("neuron", "key", pytest.approx(-1, abs=1e-12))
    heads = [one for one in found if one.kind == "head"]
    assert heads[0].component == "L1.attn.H2" and heads[0].eigenvalues == pytest.approx(-1, abs=1e-9)
    assert heads[0].score == pytest.approx(-heads[0].present)
    assert [one.score for one in found] == sorted(one.score for one in found)


def test_a_planted_neuron_of_a_net_without_norms():
    module, ids = nets.Erasing("eraser").double().eval(), torch.tensor([[1, 3, 2]])
    run = take(module, find(module, ids), (ids,), {})
    found = by_label(erasers(run, run))
    assert found["L1.mlp.N0", "key"].score == pytest.approx(-1) and found["L0.mlp.N0", "key"].score == pytest.approx(0)


@pytest.mark.parametrize("name", ["gpt2", "neox", "llama"])
def test_every_number_by_hand(name):
    run = passes(name, change=plant_biases)[0]
    found, rows = by_label(erasers(run, run)), rows_of(name, run, 1)
    key = "up" if name == "llama" else "key"
    for i in range(len(rows["in"])):
        read, add = rows["in"][i], rows["out"][i]
        assert found[f"L1.mlp.N{i}", key].cosine == pytest.approx(float(read @ add / (read.norm() * add.norm())), **TIGHT)
    patterns = pattern(run)
    for h in range(4):
        values, adds = rows["value"].unflatten(0, (-1, 8)), rows["o"].unflatten(0, (4, 8))[h]
        values = values[h * len(values) // 4]
        whole = torch.linalg.eigvals(adds.T @ values)  # of the whole map: the same but for zeros
        one = found[f"L1.attn.H{h}", None]
        assert one.eigenvalues == pytest.approx(float(whole.real.sum() / whole.abs().sum()), rel=1e-6)
        present = float(patterns[:, h].diagonal(dim1=-2, dim2=-1)[:, 1:].mean())
        assert one.present == pytest.approx(present, **TIGHT)
        assert one.score == pytest.approx(one.eigenvalues * present, **TIGHT)


def pattern(run: Pass) -> Tensor:
    from mainstem.stream import factors, find_write, heads, needed

    write = find_write(run.stream, "L1.attn")
    source = write.writer.sources[0]
    seen = run.again(needed(write))
    return factors(source.attention, seen, heads(seen.at(source.site), 2), 2)[0]


def test_padding_and_the_first_token_do_not_count():
    run, real = main("gpt2"), torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0]])
    found = by_label(erasers(run, run, real))
    own = pattern(run)[:, 3].diagonal(dim1=-2, dim2=-1)
    want = torch.cat([own[0, 3:], own[1, 1:6]]).mean()
    assert found["L1.attn.H3", None].present == pytest.approx(float(want), **TIGHT)


@pytest.mark.parametrize("name", ["bert", "gemma2", "granite", "bloom", "falcon", "gptj", "vit", "t5", "tabular", "mixtral"])
def test_weights_are_read_off_a_run_of_any_architecture(name):
    run = main(name)
    found = erasers(run, run)
    assert all(-1 - 1e-9 <= one.score <= 1 + 1e-9 for one in found)
    assert {one.kind for one in found} == (
        {"neuron"} if name == "tabular" else {"head"} if name == "mixtral" else {"neuron", "head"}
    )


def test_one_token_of_a_prompt_has_the_same_weights():
    run = main("llama")
    module, args, _ = built("llama")
    other = take(module, run.map, (args[0][:1, :1],), {})
    for one, same in zip(erasers(run, run), erasers(run, other), strict=True):
        assert one.component == same.component and one.score == pytest.approx(same.score, **TIGHT)


def test_where_nothing_can_be_read_that_is_said():
    with pytest.raises(InputError, match="no weights of this model"):
        erasers(main("resnet"), main("resnet"))
