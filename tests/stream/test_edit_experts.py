"""Neurons of experts as targets: a model whose weights for them are zero, and what cannot be told of rows that are routed."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import mainstem as ms
from hard import HARD
from mainstem.stream import siblings
from stream import _hand
from stream._runs import main
from stream.test_edits import CLOSE, by_hand, model
from zoo import ZOO


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


def _route(layer: nn.Module, trace: ms.Trace, number: int = 1) -> Tensor:
    """[batch, pos, expert] of a Mixtral."""
    n = _hand.rms_norm(trace.point(f"L{number}.resid_mid", "sum"), layer.post_attention_layernorm.weight, 1e-5)
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
    last = made.trace(ids, edits=ms.zero(label, positions=-1))
    want = plain["L1.mlp"].clone()
    want[:, -1] -= plain[label][:, -1]
    torch.testing.assert_close(last["L1.mlp"], want, **CLOSE)


def _values(trace: ms.Trace, layer: int) -> tuple[Tensor, Tensor]:
    """Neurons [batch, pos, expert, neuron] of a Mixtral by hand, zero where a token is not routed to an expert, and the weight of each."""
    block = trace.run.module.requires_grad_(False).model.layers[layer]
    n = _hand.rms_norm(trace.point(f"L{layer}.resid_mid", "sum"), block.post_attention_layernorm.weight, 1e-5)
    route = _route(block, trace, layer)
    gate, up = torch.einsum("bqm,enm->bqen", n, block.mlp.experts.gate_up_proj).chunk(2, -1)
    return (route > 0)[..., None] * torch.nn.functional.silu(gate) * up, route


def _moved(label: str, plain: ms.Trace, put: Tensor) -> Tensor:
    """What a neuron of an expert writes once it is something else, where its expert is used."""
    layer, expert, neuron = (int(part[1:]) for part in label.replace(".mlp", "").split("."))
    weight = down(layer)(plain.run.module)[expert, :, neuron]
    return _values(plain, layer)[1][..., expert, None] * put[..., None] * weight


@pytest.mark.parametrize("positions", [None, 0, [1, -1]])
@pytest.mark.parametrize("label", ["L1.mlp.E2.N5", "L0.mlp.E1.N3"])
def test_a_patched_neuron_of_an_expert_is_what_it_was_in_the_other_run(label, positions):
    made, data = model("mixtral")
    plain, other = made.trace(data), made.trace(data.flip(-1))
    layer, expert, neuron = (int(part[1:]) for part in label.replace(".mlp", "").split("."))
    here, there = (_values(t, layer)[0][..., expert, neuron] for t in (plain, other))
    at = torch.zeros_like(here, dtype=torch.bool)
    at[:, slice(None) if positions is None else positions] = True
    edited = made.trace(data, edits=ms.patch(label, source=other, positions=positions))
    torch.testing.assert_close(edited[label], _moved(label, plain, torch.where(at, there, here)), **CLOSE)
    torch.testing.assert_close(edited[label.split(".E")[0]], plain[label.split(".E")[0]] + edited[label] - plain[label], **CLOSE)
    met = {(bool(a), bool(b)) for a, b in zip(here[at], there[at], strict=True)}
    assert positions is not None or {(True, True), (True, False), (False, True)} <= met
    same = made.trace(data, edits=ms.patch(label, source=plain, positions=positions))
    torch.testing.assert_close(same.logits, plain.logits, **CLOSE)


def test_patches_of_experts_neurons_are_those_of_activation_patching():
    made, data = model("mixtral")
    clean, corrupt = data[:1].flip(-1), data[:1]
    labels = ["L0.mlp.E1.N3", "L1.mlp.E2.N5"]
    found = ms.activation_patching(made, clean, corrupt, 1, "neuron", components=labels)
    source, plain = made.trace(clean), made.trace(corrupt).logits[0, -1].log_softmax(-1)[1]
    for label, at, effect in found.frame().select("component", "position", "effect").iter_rows():
        edited = made.trace(corrupt, edits=ms.patch(label, source=source, positions=at))
        assert effect == pytest.approx(float(edited.logits[0, -1].log_softmax(-1)[1] - plain), rel=1e-7, abs=1e-10)


def test_rows_of_a_later_expert_are_those_of_the_run_that_is_edited_before_it():
    made, data = model("mixtral")
    other = made.trace(data.flip(-1))
    first = ms.scale("L0.mlp", by=3.0) + ms.patch("L0.mlp.E1.N3", source=other)
    before, label = made.trace(data, edits=first), "L1.mlp.E2.N5"
    edited = made.trace(data, edits=first + ms.patch(label, source=other))
    assert not torch.equal(_values(before, 1)[1], _values(made.trace(data), 1)[1])
    torch.testing.assert_close(edited[label], _moved(label, before, _values(other, 1)[0][..., 2, 5]), **CLOSE)
    with made.edited(first):
        torch.testing.assert_close(made.trace(data, edits=ms.patch(label, source=other)).logits, edited.logits, **CLOSE)


def test_a_neuron_of_every_expert_is_patched_expert_by_expert():
    made, data = model("mixtral")
    other = made.trace(data.flip(-1))
    each = ms.patch(*(f"L1.mlp.E{e}.N5" for e in range(4)), source=other)
    one, two = (made.trace(data, edits=e).logits for e in (ms.patch("L1.mlp.N5", source=other), each))
    torch.testing.assert_close(one, two, **CLOSE)


@pytest.mark.parametrize("edit", [ms.zero, partial(ms.scale, by=-3.0)])
def test_positions_of_an_experts_neuron(edit):
    made, data = model("mixtral")
    plain, label, by = made.trace(data), "L1.mlp.E2.N5", 0.0 if edit is ms.zero else -3.0
    edited = made.trace(data, edits=edit(label, positions=[0, -2]))
    want = plain[label].clone()
    want[:, [0, -2]] *= by
    assert float((want - plain[label]).abs().max()) > 1e-8
    torch.testing.assert_close(edited[label], want, **CLOSE)


def test_a_resampled_neuron_of_an_expert_is_one_of_other_places():
    made, data = model("mixtral")
    plain, other, label = made.trace(data), made.trace(data.flip(-1)), "L1.mlp.E2.N5"
    there = _values(other, 1)[0][..., 2, 5]
    route, seen = _values(plain, 1)[1][..., 2], set()
    for seed in range(3):
        edit = ms.resample(label, source=other, seed=seed)
        edited = made.trace(data, edits=edit)
        assert torch.equal(edited.logits, made.trace(data, edits=edit).logits)
        put = (edited[label] @ down(1)(made.module)[2, :, 5]) / down(1)(made.module)[2, :, 5].square().sum() / route
        for value in put[route > 0]:
            assert float((there - value).abs().min()) < 1e-10
            seen.add(round(float(value), 9))
        assert float(edited[label][route == 0].abs().max()) == 0.0
    assert len(seen) > 2


def test_the_mean_of_an_experts_neuron_is_over_the_tokens_that_are_routed_to_it():
    """Texts of different lengths are padded: pads are routed too, and count for nothing."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(50)}, "w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = ms.load(ZOO["mixtral"]()[0], tokenizer=words)
    texts = [" ".join(f"w{(7 * i + k * k) % 50}" for k in range(3 + 2 * i)) for i in range(4)]
    labels = ["L1.mlp.E2.N5", "L0.mlp.N3"]
    means = made.means(texts, *labels)
    for label, layer, which in zip(labels, (1, 0), ((slice(2, 3), 5), (slice(None), 3)), strict=True):
        both = [_values(made.trace(text), layer) for text in texts]
        values = torch.cat([held[..., which[0], which[1]][route[..., which[0]] > 0] for held, route in both])
        torch.testing.assert_close(means.values[label], values.mean()[None], rtol=1e-4, atol=1e-6)
    plain, edited = made.trace(texts[3]), made.trace(texts[3], edits=ms.mean(labels[0], over=means))
    put = means.values[labels[0]].expand(plain.logits.shape[:2])
    torch.testing.assert_close(edited[labels[0]], _moved(labels[0], plain, put), rtol=1e-4, atol=1e-7)
    at_two = ms.zero(labels[0], positions=[0, 1])
    traced = made.trace(texts[3], edits=at_two)
    loss = -traced.logits[0, :-1].log_softmax(-1).gather(-1, torch.tensor(made.ids(texts[3]))[1:, None]).mean()
    assert ms.edit_loss(made, texts[3:], at_two)["loss"][1] == pytest.approx(float(loss), rel=1e-5)
    rms = ms.measure(made, texts[3:], ["rms"], points=["L1.resid_post"], edits=at_two)["rms"]["L1.resid_post"]["rms"]
    assert float(rms) == pytest.approx(float(traced.point("L1.resid_post", "sum").square().mean(-1).sqrt().mean()), rel=1e-5)
    other = made.trace(texts[2])
    both = made.trace([texts[3], texts[1]], edits=ms.patch(labels[0], source=other, positions=[0, 1]))
    alone = made.trace(texts[1], edits=ms.patch(labels[0], source=other, positions=[0, 1])).logits
    torch.testing.assert_close(both.logits[1, : alone.shape[1]], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("label", ["L1.mlp.E2.N5", "L1.mlp.N5"])
def test_what_cannot_be_told_of_routed_rows_outside_of_a_trace(label):
    """Beforehand only a trace knows which row is which token's: in `generate` every step would have to be run twice."""
    made, data = model("mixtral")
    edits = ms.patch(label, source=made.trace(data)), ms.zero(label, positions=0)
    for edit in edits:
        with pytest.raises(
            ms.InputError, match="which rows of an expert are which token's is not known here; .*use it in a trace"
        ):
            made.generate(data, tokens=1, edits=edit)


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
