"""Before-softmax values: linear, order-preserving, and what a model frozen by hand makes of a vector."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import jvp

from mainstem.core import InputError
from mainstem.score import component
from mainstem.stream import Pass, push, spot, take, unembed
from score.test_direct import FROZEN
from stream._runs import built, main, mapped, passes, plant_biases

TIGHT = {"rtol": 1e-9, "atol": 1e-12}
TEXT = ["gpt2", "gptj", "neox", "llama", "bloom", "falcon", "gemma2", "granite", "mixtral", "mamba", "bert", "t5", "experts"]
OTHERS = ["vit", "resnet", "resnet_basic", "cifar", "tabular", "shared", "recurrent"]


def place_of(run: Pass, at: int = 3) -> tuple[int, ...]:
    return (1, at) if run.output().ndim == 3 else (1,)


def width(run: Pass, t: int, place: tuple[int, ...]) -> int:
    return spot(run, place).of(run.point(t)).shape[1]


@pytest.mark.parametrize("name", sorted(FROZEN))
def test_a_vector_at_any_point_is_what_the_frozen_model_makes_of_it(name):
    run = passes(name, change=plant_biases)[0]
    run.module.requires_grad_(False)
    readout, place = FROZEN[name](run), place_of(run)
    for t in range(1, len(run.stream.points)):  # behind what an embedding passes first
        rows = torch.randn(3, width(run, t, place), dtype=torch.float64)
        found = unembed(run, rows, t, place)
        for row, values in zip(rows, found, strict=True):
            alone = torch.zeros_like(run.point(t))
            alone[place] = row.view_as(alone[place])
            wanted = jvp(lambda x: readout(t, x), (run.point(t),), (alone,))[1][place]
            torch.testing.assert_close(values, wanted, **TIGHT)


@pytest.mark.parametrize("name", TEXT + OTHERS)
def test_linear_to_1e12(name):
    run = main(name)
    place = place_of(run)
    for t in (0, len(run.stream.points) // 2, len(run.stream.points) - 1):
        x, v = torch.randn(2, width(run, t, place), dtype=torch.float64).unbind()
        one, two, both, scaled = unembed(run, torch.stack([x, v, x + v, -2.5 * v]), t, place)
        size = float(torch.stack([one, two]).abs().max())
        assert float((one + two - both).abs().max()) <= 1e-12 * max(1.0, size)
        assert float((-2.5 * two - scaled).abs().max()) <= 1e-12 * max(1.0, size)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "bert", "resnet", "vit", "mamba"])
def test_the_last_point_and_the_constant_are_the_logits(name):
    run = passes(name, change=plant_biases)[0]
    place, last = place_of(run), len(run.stream.points) - 1
    value = unembed(run, spot(run, place).of(run.point(last)), last, place)[0]
    zero = torch.zeros_like(run.point(last))
    for program in (run.stream.points[last].face, run.stream.points[last].onward):
        zero = run.affine(program)(zero)
    torch.testing.assert_close(value + run.shaped(zero)[place], run.output()[place], **TIGHT)


SMALL = st.floats(-30, 30, allow_nan=False, width=32)


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(["gpt2", "llama", "gemma2", "bert"]), numbers=st.lists(SMALL, min_size=64, max_size=64))
def test_a_word_ahead_in_both_is_ahead_in_the_sum(name, numbers):
    """bs_a(x) > bs_b(x) and bs_a(v) > bs_b(v) give bs_a(x + v) > bs_b(x + v), for every pair of words."""
    run = main(name)
    x, v = torch.tensor(numbers, dtype=torch.float64).reshape(2, 32)
    last = len(run.stream.points) - 1
    one, two, both = unembed(run, torch.stack([x, v, x + v]), last, (1, 3))
    rounding = 1e-12 * float(torch.stack([one, two]).abs().max())
    ahead = (gaps(one) > rounding) & (gaps(two) > rounding)
    assume(bool(ahead.any()))
    assert bool((gaps(both)[ahead] > 0).all())


def gaps(values: Tensor) -> Tensor:
    return values[:, None] - values


def test_probabilities_do_not_keep_the_order_of_gains():
    """What the source says of probabilities: a vector that favours a word in bs can lower its probability."""
    run = main("gpt2")
    last, place = len(run.stream.points) - 1, (0, 2)
    x, v = run.point(last)[place], torch.randn(32, dtype=torch.float64)
    one, two, both = unembed(run, torch.stack([x, v, x + v]), last, place)
    change = both.log_softmax(-1) - one.log_softmax(-1)
    torch.testing.assert_close(change, two - (one.softmax(-1) * two.exp()).sum().log(), **TIGHT)
    assert bool(((two > 0) & (change < 0)).any())


@pytest.mark.parametrize("name", ["gpt2", "gemma2", "granite", "falcon", "mamba"])
def test_one_row_of_the_unembedding_product_is_enough(name):
    """A place by itself is that place of all, also where the run left the others away."""
    module, args, kwargs = built(name)
    rows, only = torch.randn(4, 32, dtype=torch.float64), torch.tensor([2, 5])
    narrow, whole = take(module, mapped(name), args, kwargs, only=only), main(name)
    assert narrow.cut is not None
    for place in enumerate(only.tolist()):
        for t in (0, len(whole.stream.points) - 1):
            alone = torch.zeros(4, *whole.point(t).shape, dtype=torch.float64)
            alone[(slice(None), *place)] = rows
            wanted = push(whole, alone, t, None)[(slice(None), *place)]
            for run in (narrow, whole):
                torch.testing.assert_close(unembed(run, rows, t, place), wanted, **TIGHT)


@pytest.mark.parametrize("name", ["gpt2", "llama", "granite", "falcon", "gemma2", "vit", "tabular_linear"])
def test_values_of_writes_sum_to_those_of_the_point(name):
    run = main(name)
    place, last = place_of(run), len(run.stream.points) - 1
    here = spot(run, place)
    one = [unembed(run, here.of(component(run, w.label)), t, place) for t, p in enumerate(run.stream.points) for w in p.writes]
    whole = unembed(run, here.of(run.point(last)), last, place)
    torch.testing.assert_close(torch.stack(one).sum(0), whole, **TIGHT)


@pytest.mark.parametrize("name", TEXT + OTHERS)
def test_vectors_of_several_points_go_together_as_each_alone(name, monkeypatch):
    run = main(name)
    place = place_of(run)
    starts = [(5 * i + 3) % len(run.stream.points) for i in range(9)]
    rows = [torch.randn(width(run, t, place), dtype=torch.float64) for t in starts]
    alone = torch.cat([unembed(run, row[None], t, place) for row, t in zip(rows, starts, strict=True)])
    torch.testing.assert_close(unembed(run, rows, starts, place), alone, **TIGHT)
    monkeypatch.setattr("mainstem.stream._unembed._TILE", 1)
    torch.testing.assert_close(unembed(run, rows, starts, place), alone, **TIGHT)


def test_many_rows_are_taken_a_few_at_a_time(monkeypatch):
    run = main("bert")
    rows = torch.randn(9, 32, dtype=torch.float64)
    every = unembed(run, rows, 1, (0, 2))
    monkeypatch.setattr("mainstem.stream._unembed._TILE", 1000)
    torch.testing.assert_close(unembed(run, rows, 1, (0, 2)), every, **TIGHT)


@pytest.mark.parametrize(
    ("place", "said"), [((0, 7), "no position 7"), ((2, 0), "no prompt 2"), ((0,), "a place is a prompt and a position")]
)
def test_a_place_that_is_not_there(place, said):
    with pytest.raises(InputError, match=said):
        unembed(main("gpt2"), torch.zeros(1, 32, dtype=torch.float64), 0, place)


def test_vectors_of_another_width_are_refused():
    with pytest.raises(InputError, match="vectors of 31 numbers: a place of L0.resid_mid has 32"):
        unembed(main("gpt2"), torch.zeros(1, 31, dtype=torch.float64), 1, (0, 0))
