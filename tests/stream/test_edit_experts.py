"""Neurons of experts as targets: a model whose weights for them are zero, and what cannot be told of rows that are routed."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import mainstem as ms
from hard import HARD
from mainstem.stream import siblings
from stream import _hand
from stream._runs import main
from stream.test_edits import CLOSE, by_hand, model


def down(layer: int) -> Callable[[nn.Module], Tensor]:
    return lambda m: m.model.layers[layer].mlp.experts.down_proj


MIXTRAL: list[tuple[str, Callable[[nn.Module], Tensor]]] = [
    ("L1.mlp.E2.N5", lambda m: down(1)(m)[2, :, 5]),
    ("L0.mlp.E0.N0", lambda m: down(0)(m)[0, :, 0]),
    ("L0.mlp.E3.N47", lambda m: down(0)(m)[3, :, 47]),
    ("L1E1N9", lambda m: down(1)(m)[1, :, 9]),
]


@pytest.mark.parametrize(("label", "weight"), MIXTRAL, ids=[label for label, _ in MIXTRAL])
@pytest.mark.parametrize("by", [0.0, -1.0, 4.0])  # exact on weights in float32
def test_scaling_an_experts_neuron_is_a_model_with_its_column_scaled(label, weight, by):
    made, data = model("mixtral")
    edit = ms.zero(label) if by == 0 else ms.scale(label, by=by)
    plain, edited = made.trace(data).logits, made.trace(data, edits=edit).logits
    torch.testing.assert_close(edited, by_hand("mixtral", lambda m: weight(m).mul_(by)), **CLOSE)
    assert float((edited - plain).abs().max()) > 1e-8


def test_one_expert_is_changed_and_the_others_keep_theirs():
    made, data = model("mixtral")
    plain, edited = made.trace(data), made.trace(data, edits=ms.zero("L1.mlp.E2.N5"))
    assert float(edited["L1.mlp.E2.N5"].abs().max()) == 0.0 < float(plain["L1.mlp.E2.N5"].abs().max())
    for label in ("L1.mlp.E1.N5", "L1.mlp.E2.N6"):
        assert torch.equal(edited[label], plain[label])
    torch.testing.assert_close(edited["L1.mlp"], plain["L1.mlp"] - plain["L1.mlp.E2.N5"], **CLOSE)
    assert edited.scores(3, "neuron").error <= edited.scores(3, "neuron").bound
    every = made.trace(data, edits=ms.zero(*(f"L1.mlp.E{e}.N5" for e in range(4)))).logits
    torch.testing.assert_close(every, made.trace(data, edits=ms.zero("L1.mlp.N5")).logits, **CLOSE)


def test_steering_adds_to_the_neuron_where_its_expert_is_used():
    made, data = model("mixtral")
    edited = made.trace(data, edits=ms.steer(torch.tensor([0.5]), at="L1.mlp.E2.N5"))
    route = _route(edited.run.module.model.layers[1], edited)
    want = made.trace(data)["L1.mlp.E2.N5"] + 0.5 * route[..., 2, None] * down(1)(made.module)[2, :, 5]
    torch.testing.assert_close(edited["L1.mlp.E2.N5"], want, **CLOSE)


def _route(layer: nn.Module, trace: ms.Trace) -> Tensor:
    """[batch, pos, expert] of a Mixtral."""
    n = _hand.rms_norm(trace.point("L1.resid_mid", "sum"), layer.post_attention_layernorm.weight, 1e-5)
    weight = (n @ layer.mlp.gate.weight.T).softmax(-1)
    kept, chosen = weight.topk(2, -1)
    return torch.zeros_like(weight).scatter(-1, chosen, kept / kept.sum(-1, keepdim=True))


def test_experts_beside_shared_ones_and_a_loop_over_experts():
    """Several branches make one write: each has neurons of its own."""
    module, data = HARD["qwen2_moe"].build()[0], torch.randint(0, 50, (2, 6), generator=torch.Generator().manual_seed(0))
    made = ms.load(module)
    found = [made.trace(data, edits=ms.zero(label)).logits for label in ("L0.mlp.B0.N3", "L1.mlp.B1.E1.N4")]
    for want, change in zip(
        found, ("layers.0.mlp.shared_expert.down_proj.weight", "layers.1.mlp.experts.down_proj"), strict=True
    ):
        weight = module.model.get_parameter(change)
        kept = weight.detach().clone()
        with torch.no_grad():
            (weight[:, 3] if weight.ndim == 2 else weight[1, :, 4]).zero_()
            torch.testing.assert_close(made.trace(data).logits, want, rtol=1e-4, atol=1e-5)
            weight.copy_(kept)
        assert float((made.trace(data).logits - want).abs().max()) > 1e-6


def test_a_neuron_of_one_expert_of_a_loop():
    run = main("experts")
    made, (ids,) = model("experts")[0], run.args
    label = f"L1.mlp.B{len(run.stream.writes[1].writer.sources) - 1}.N3"
    plain, edited = made.trace(ids), made.trace(ids, edits=ms.zero(label))
    torch.testing.assert_close(edited["L1.mlp"], plain["L1.mlp"] - plain[label], **CLOSE)
    assert float(plain[label].abs().max()) > 1e-6
    with pytest.raises(ms.InputError, match=r"L1\.mlp\.B\d\.N3: which rows of an expert are which token's"):
        made.trace(ids, edits=ms.zero(label, positions=-1))


@pytest.mark.parametrize("label", ["L1.mlp.E2.N5", "L1.mlp.N5"])
def test_what_cannot_be_told_of_routed_rows(label):
    made, data = model("mixtral")
    other = made.trace(data.flip(-1))
    with pytest.raises(ms.InputError, match="which rows of an expert are which token's is not known here; leave positions out"):
        made.trace(data, edits=ms.zero(label, positions=0))
    for edit in (ms.patch, ms.resample):
        with pytest.raises(ms.InputError, match="what it was in another run or at one token can't be put in"):
            edit(label, source=other)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("L1.mlp.E4.N0", "L1.mlp.E4.N0 does not exist: this write has 4 experts, counted from 0"),
        ("L1.mlp.E0.N48", "L1.mlp.E0.N48 does not exist: this write has 48"),
        ("L1.attn.E0.N4", "L1.attn.E0.N4 does not exist: L1.attn has heads, such as H0"),
        ("L1.mpl.E0.N4", "no write 'L1.mpl' in this model.* Did you mean L1.mlp"),
    ],
)
def test_experts_and_neurons_that_there_are_not(label, said):
    made, data = model("mixtral")
    with pytest.raises(ms.InputError, match=said):
        made.trace(data, edits=ms.zero(label))


def test_edits_of_one_neuron_that_undo_each_other():
    made, data = model("mixtral")
    for second in ("L1.mlp.N5", "L1.mlp.E2.N5"):
        with pytest.raises(ms.InputError, match=rf"two edits of {second} contradict"):
            made.trace(data, edits=ms.steer(torch.ones(1), at="L1.mlp.E2.N5") + ms.zero(second))
    edit = ms.steer(torch.ones(1), at="L1.mlp.E1.N5") + ms.zero("L1.mlp.E2.N5")
    torch.testing.assert_close(made.trace(data, edits=edit)["L1.mlp.E2.N5"].abs().max().item(), 0.0)


def test_seats_are_those_of_the_routers_choice():
    run = main("mixtral")
    some = siblings(run, "neuron", ["L1.mlp"])[0]
    module = run.module.requires_grad_(False)
    n = _hand.rms_norm(run.point(3), module.model.layers[1].post_attention_layernorm.weight, 1e-5)
    chosen = (n @ module.model.layers[1].mlp.gate.weight.T).topk(2, -1).indices
    got = torch.stack([some.seats.places, some.seats.experts], 1).tolist()
    want = [[b * n.shape[1] + p, int(e)] for b in range(len(n)) for p in range(n.shape[1]) for e in chosen[b, p]]
    assert sorted(got) == sorted(want)


def test_experts_generate_with_an_edit_as_without_the_weights():
    module = HARD["qwen3_moe"].build()[0]
    made, data = ms.load(module), torch.tensor([[1, 5, 9, 3]])
    made.trace(data)
    label = "L1.mlp.E2.N5"
    want = [made.generate(data, tokens=6, edits=ms.scale(label, by=-40.0), cache=cache).ids for cache in (True, False)]
    with torch.no_grad():
        module.model.layers[1].mlp.experts.down_proj[2, :, 5] *= -40
    assert want[0] == want[1] == made.generate(data, tokens=6).ids
