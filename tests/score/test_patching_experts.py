"""Patching neurons of experts, whose rows are some of the tokens in an order of their own, against steering of the whole write."""

from functools import cache

import pytest
import torch
from torch import Tensor

import mainstem as ms
from hard import HARD
from stream import _hand
from stream.test_edits import model


@cache
def neurons(flipped: bool, layer: int) -> Tensor:
    """[batch, pos, expert, neuron] of a Mixtral, by hand; what no token is routed to is zero."""
    made, data = model("mixtral")
    trace = made.trace(data.flip(-1) if flipped else data)
    block = made.module.requires_grad_(False).model.layers[layer]
    n = _hand.rms_norm(trace.point(f"L{layer}.resid_mid", "sum"), block.post_attention_layernorm.weight, 1e-5)
    chosen = (n @ block.mlp.gate.weight.T).topk(2, -1).indices
    there = torch.zeros(*n.shape[:2], 4, dtype=n.dtype).scatter(-1, chosen, 1.0)
    gate, up = torch.einsum("bqm,enm->bqen", n, block.mlp.experts.gate_up_proj).chunk(2, -1)
    return there[..., None] * torch.nn.functional.silu(gate) * up


def steered(label: str, at: int, other: float, mine: float) -> float:
    """The effect of moving what a neuron adds at one token to what it would add with another value."""
    made, data = model("mixtral")
    plain, write = made.trace(data), label.rpartition(".E")[0]
    moved = (other / mine - 1) * plain[label][0, at]
    edited = made.trace(data[:1], edits=ms.steer(moved, at=write, positions=at))
    one, two = (t.logits[0, -1].double().log_softmax(-1)[1] for t in (edited, plain))
    return float(one - two)


@pytest.mark.parametrize("mode", ["patch", "zero"])
def test_every_patch_of_an_experts_neuron_is_steering_by_what_it_adds(mode):
    made, data = model("mixtral")
    found = ms.activation_patching(
        made, data[:1].flip(-1), data[:1], 1, "neuron", mode=mode, components=["L0.mlp.E1.N3", "L1.mlp.E2.N5", "L1.mlp.E0.N7"]
    )
    got = {(name, at): effect for name, at, effect in found.frame().select("component", "position", "effect").iter_rows()}
    met = {True: 0, False: 0}
    for (label, at), effect in got.items():
        layer, expert, neuron = (int(part[1:]) for part in label.replace(".mlp", "").split("."))
        mine = float(neurons(False, layer)[0, at, expert, neuron])
        other = 0.0 if mode == "zero" else float(neurons(True, layer)[0, at, expert, neuron])
        want = steered(label, at, other, mine) if mine else 0.0
        met[bool(mine)] += 1
        assert effect == pytest.approx(want, rel=1e-7, abs=1e-10), (label, at)
    assert len(got) == 3 * data.shape[1]
    assert min(met.values()) > 2, "no token, or every one, is routed to these experts"


def test_patching_everywhere_is_zeroing_everywhere():
    made, data = model("mixtral")
    label = "L0.mlp.E1.N3"
    found = ms.activation_patching(made, data[:1].flip(-1), data[:1], 1, "neuron", "all", label, mode="zero")
    one, two = (made.trace(data[:1], edits=e).logits[0, -1].log_softmax(-1)[1] for e in (ms.zero(label), None))
    assert found.frame()["effect"].to_list() == pytest.approx([float(one - two)], rel=1e-9)


def test_attribution_of_experts_neurons_is_their_slope():
    """With what is put in a little off what stands there, patching is what attribution says."""
    made, data = model("mixtral")
    asked = made, data[:1].flip(-1), data[:1], 1, "neuron"
    estimates = ms.attribution_patching(*asked, recheck=12)
    assert len(estimates) == 2 * 4 * 48
    assert estimates.agreement > 0.5
    rows = estimates.frame().filter(component="L1.mlp.E0.N7")
    mine, other = (neurons(flipped, 1)[0, :, 0, 7] for flipped in (False, True))
    eps = 1e-4
    for at in range(data.shape[1]):
        effect = rows.filter(position=at)["effect"][0]
        if not mine[at]:
            assert effect == 0.0
            continue
        near = mine[at] + eps * (other[at] - mine[at])
        want = steered("L1.mlp.E0.N7", at, float(near), float(mine[at])) / eps
        assert effect == pytest.approx(want, rel=2e-3, abs=1e-7)


def test_pairs_keep_their_rows_apart_and_a_run_is_not_changed_by_itself():
    made, data = model("mixtral")
    both = ms.activation_patching(made, data.flip(-1), data, 1, "neuron", components="L1.mlp.E2.N5")
    each = [
        ms.activation_patching(made, data[i : i + 1].flip(-1), data[i : i + 1], 1, "neuron", components="L1.mlp.E2.N5")
        for i in (0, 1)
    ]
    for i, alone in enumerate(each):
        torch.testing.assert_close(both.parts[0].effects[..., i], alone.parts[0].effects[..., 0], rtol=1e-9, atol=1e-12)


def test_shared_experts_and_routed_ones_are_patched_side_by_side():
    made, data = ms.load(HARD["qwen2_moe"].build()[0]), torch.randint(0, 50, (1, 6), generator=torch.Generator().manual_seed(0))
    found = ms.activation_patching(made, data.flip(-1), data, 1, "neuron", [-1, 0], ["L1.mlp"])
    names = set(found.frame()["component"].to_list())
    assert len(names) == 10 + 4 * 12
    assert {"L1.mlp.B0.N9", "L1.mlp.B1.E3.N11"} <= names
    zero = ms.activation_patching(made, data.flip(-1), data, 1, "neuron", "all", "L1.mlp.B0.N9", mode="zero").frame()
    one, two = (made.trace(data, edits=e).logits[0, -1].double().log_softmax(-1)[1] for e in (ms.zero("L1.mlp.B0.N9"), None))
    assert zero["effect"].to_list() == pytest.approx([float(one - two)], abs=1e-5)
