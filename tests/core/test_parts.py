"""Parts of a whole: labels, sums over every axis, selection, ranking, and the refusal of parts that do not sum."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mainstem.core import Group, InputError, NotClosedError, Parts

KEYS, HEADS, NEURONS, BATCH, PLACES = 4, 3, 6, 2, 5


def parts(rest: tuple[int, ...] = (BATCH,)) -> Parts:
    """An entry, a write of edges, a write of experts' neurons, a constant."""
    names = ("batch", "pos")[: len(rest)]
    groups = (
        Group("entry.embed", "entry", torch.randn(*rest).double()),
        Group("L0.attn", "attn", torch.randn(HEADS, KEYS, *rest).double(), ("head", "key_pos")),
        Group("L0.mlp", "mlp", torch.randn(2, NEURONS, *rest).double(), ("expert", "neuron")),
        Group("L0.mlp.bias", "constant", torch.randn(*rest).double()),
    )
    whole = sum((g.values.reshape(-1, *rest).sum(0) for g in groups), torch.zeros(*rest).double())
    return Parts(groups, whole, names, 0.0, 1e-9, {"by": "test"})


def test_rows_labels_and_values_are_in_one_order():
    found = parts()
    labels = list(found.labels())
    assert len(found) == len(labels) == len(found.tensor) == 1 + HEADS * KEYS + 2 * NEURONS + 1
    assert len(set(labels)) == len(labels)
    assert found.axes == ("component", "batch")
    for i, label in enumerate(labels):
        assert found.label(i) == label
        assert torch.equal(found[label], found.tensor[i])
    attn, mlp = found.groups[1].values, found.groups[2].values
    assert torch.equal(found["L0.attn.H2<-3"], attn[2, 3])
    assert torch.equal(found["L0.mlp.E1.N5"], mlp[1, 5])
    assert torch.equal(found["L0.attn.H2"], attn[2])
    assert torch.equal(found["L0.attn"], attn)
    assert torch.equal(found["L0.mlp.bias"], found.groups[3].values)
    assert torch.equal(found["L0H1<-0"], attn[1, 0])


@pytest.mark.parametrize(
    "label", ["L0.attn.H3", "L0.attn.H0<-4", "L0.mlp.N2", "L0.attn.D1", "L1.attn", "L0.att", "entry.embed.N0", "L0.mlp.E2.N0"]
)
def test_components_that_are_not_there(label):
    with pytest.raises(InputError, match="no component .* here; there are entry.embed, L0.attn.H0<-0"):
        parts()[label]


def test_sums_over_every_axis():
    found = parts((BATCH, PLACES))
    everything, whole = found.tensor, found.whole
    torch.testing.assert_close(found.sum(), everything.sum(0))
    torch.testing.assert_close(found.sum(), whole)
    for axis, at in (("key_pos", 1), ("head", 0)):
        summed = found.sum(axis)
        torch.testing.assert_close(summed["L0.attn"], found.groups[1].values.sum(at))
        assert torch.equal(summed["L0.mlp"], found["L0.mlp"])
        torch.testing.assert_close(summed.sum(), whole)
    for axis, at in (("expert", 0), ("neuron", 1)):
        torch.testing.assert_close(found.sum(axis)["L0.mlp"], found.groups[2].values.sum(at))
    for axis, at in (("batch", 0), ("pos", 1)):
        summed = found.sum(axis)
        assert summed.rest == tuple(a for a in ("batch", "pos") if a != axis)
        torch.testing.assert_close(summed.whole, whole.sum(at))
        torch.testing.assert_close(summed.tensor, everything.sum(at + 1))
    both = found.sum("key_pos").sum("head")
    assert list(both.labels())[1] == "L0.attn"
    torch.testing.assert_close(both["L0.attn"], found["L0.attn"].sum((0, 1)))
    assert list(found.sum("key_pos").labels())[1] == "L0.attn.H0"


def test_an_axis_that_is_not_there():
    with pytest.raises(InputError, match="no axis 'dim'; there are head, key_pos, expert, neuron, batch"):
        parts().sum("dim")
    with pytest.raises(InputError, match="no axis 'head' behind the components; there are batch"):
        parts().select("head", 0)


def test_selection():
    found = parts((BATCH, PLACES))
    one = found.select("batch", 1)
    assert one.rest == ("pos",)
    assert torch.equal(one.tensor, found.tensor[:, 1])
    assert torch.equal(one.whole, found.whole[1])
    place = found.select("pos", -1).select("batch", 0)
    assert torch.equal(place.tensor, found.tensor[:, 0, -1])
    assert place.rest == ()


def test_the_top():
    """Of what is taken apart; of all where nothing is."""
    whole = parts((1,))
    opened = replace(whole, groups=tuple(g for g in whole.groups if g.axes))
    closed = replace(whole, groups=tuple(g for g in whole.groups if not g.axes))
    assert 0 < len(closed.groups) < len(whole.groups)
    for asked, held in ((whole, opened), (opened, opened), (closed, closed)):
        values = held.tensor.flatten()
        for largest in (True, False):
            order = values.argsort(descending=largest)
            rows = asked.top(5, largest)
            assert [label for label, _ in rows] == [held.label(int(i)) for i in order[:5]]
            assert [value for _, value in rows] == pytest.approx(values[order[:5]].tolist())
        assert len(asked.top(10**6)) == len(held)
    with pytest.raises(InputError, match=r"top\(\) ranks one prompt and position; here are \('batch',\) of \(2,\)"):
        parts().top()


@given(st.lists(st.integers(1, 5), min_size=0, max_size=3))
def test_names_of_a_group_count_through_its_axes(sizes):
    axes = ("head", "key_pos", "dim")[: len(sizes)]
    group = Group("L1.attn", "attn", torch.arange(math.prod(sizes)).reshape(*sizes, 1).double(), axes)
    names = [group.name(i) for i in range(math.prod(sizes))]
    assert len(set(names)) == math.prod(sizes)
    found = Parts((group,), group.flat().sum(0), ("batch",), 0.0, 1.0)
    assert [int(found[name]) for name in names] == list(range(math.prod(sizes)))


def test_parts_that_do_not_sum_are_refused():
    def held(error: float, whole: Tensor) -> Parts:
        return Parts(parts().groups, whole, ("batch",), error, 1e-6, {"by": "dla"})

    fine = held(1e-6, torch.ones(2))
    assert fine.checked() is fine
    assert fine.closed
    for miss in (2e-6, math.inf, math.nan):
        assert not held(miss, torch.ones(2)).closed
        with pytest.raises(NotClosedError, match="dla: the parts miss the whole by .*, the bound is 1e-06"):
            held(miss, torch.ones(2)).checked()
    with pytest.raises(NotClosedError, match="check its weights"):
        held(math.nan, torch.tensor([1.0, math.nan])).checked()


def test_a_component_beyond_the_last():
    for index in (26, -1):
        with pytest.raises(InputError, match=f"there is no component {index}: there are 26"):
            parts().label(index)
