"""Edits: taking a component out is the same as a model whose weights for it are zero, and nothing of it stays behind."""

import pickle
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import mainstem as ms
from mainstem.stream import Edit, take
from stream._runs import built, cast, mapped
from zoo import ZOO

CLOSE = {"rtol": 1e-10, "atol": 1e-12}


@cache
def model(name: str) -> tuple[ms.Model, Tensor]:
    """A model of the zoo in float64, mapped in float32, and its input."""
    module, args, kwargs = ZOO[name]()
    made = ms.load(module)
    data = args[0] if args else kwargs["input_ids"]
    made.trace(data)
    module.double()
    return made, cast((data,), torch.float64)[0]


def by_hand(name: str, change: Callable[[nn.Module], None]) -> Tensor:
    """The logits of the same model with weights changed by hand."""
    module, args, kwargs = built(name, torch.float64, change)
    return take(module, mapped(name), args, kwargs).output()


def fill(*tensors: Tensor) -> None:
    for tensor in tensors:
        tensor.zero_()


GPT2: dict[str, Callable[[nn.Module], None]] = {
    "L0.mlp": lambda m: fill(m.transformer.h[0].mlp.c_proj.weight, m.transformer.h[0].mlp.c_proj.bias),
    "L1.attn": lambda m: fill(m.transformer.h[1].attn.c_proj.weight, m.transformer.h[1].attn.c_proj.bias),
    "L0.attn.H2": lambda m: fill(m.transformer.h[0].attn.c_proj.weight[16:24]),
    "L1.mlp.N77": lambda m: fill(m.transformer.h[1].mlp.c_proj.weight[77]),
    "entry.pos": lambda m: fill(m.transformer.wpe.weight),
}
LLAMA: dict[str, Callable[[nn.Module], None]] = {
    "L1.mlp": lambda m: fill(m.model.layers[1].mlp.down_proj.weight),
    "L0.attn": lambda m: fill(m.model.layers[0].self_attn.o_proj.weight),
    "L1.attn.H3": lambda m: fill(m.model.layers[1].self_attn.o_proj.weight[:, 24:32]),
    "L0.mlp.N5": lambda m: fill(m.model.layers[0].mlp.down_proj.weight[:, 5]),
    "L0H1": lambda m: fill(m.model.layers[0].self_attn.o_proj.weight[:, 8:16]),
    "L1N7": lambda m: fill(m.model.layers[1].mlp.down_proj.weight[:, 7]),
}
FALCON: dict[str, Callable[[nn.Module], None]] = {
    "L0.mlp": lambda m: fill(m.transformer.h[0].mlp.dense_4h_to_h.weight),
    "L1.attn": lambda m: fill(m.transformer.h[1].self_attention.dense.weight),
    "L1.attn.H0": lambda m: fill(m.transformer.h[1].self_attention.dense.weight[:, :8]),
    "L0.mlp.N9": lambda m: fill(m.transformer.h[0].mlp.dense_4h_to_h.weight[:, 9]),
}
BERT: dict[str, Callable[[nn.Module], None]] = {
    "L0.attn": lambda m: fill(*m.bert.encoder.layer[0].attention.output.dense.parameters()),
    "L1.mlp.N4": lambda m: fill(m.bert.encoder.layer[1].output.dense.weight[:, 4]),
    "entry.type": lambda m: fill(m.bert.embeddings.token_type_embeddings.weight),
}
INPLACE: dict[str, Callable[[nn.Module], None]] = {
    "L1.conv": lambda m: fill(m.stages[1].conv3.weight, m.stages[1].bn3.bias, m.stages[1].bn3.running_mean),
    "L2.conv.N3": lambda m: fill(m.stages[2].conv3.weight[:, 3]),
}
RESNET: dict[str, Callable[[nn.Module], None]] = {
    "L3.conv.N1": lambda m: fill(m.resnet.encoder.stages[1].layers[1].layer[-1].convolution.weight[:, 1]),
}
MIXTRAL: dict[str, Callable[[nn.Module], None]] = {
    "L1.mlp.N5": lambda m: fill(m.model.layers[1].mlp.experts.down_proj[:, :, 5]),  # in every expert
}
MAMBA: dict[str, Callable[[nn.Module], None]] = {
    "L0.mixer.N60": lambda m: fill(m.backbone.layers[0].mixer.out_proj.weight[:, 60]),
}
MODELS = {
    "gpt2": GPT2,
    "llama": LLAMA,
    "falcon": FALCON,
    "bert": BERT,
    "resnet_inplace": INPLACE,
    "resnet": RESNET,
    "mixtral": MIXTRAL,
    "mamba": MAMBA,
}
CASES = [(name, label, change) for name, edits in MODELS.items() for label, change in edits.items()]


@pytest.mark.parametrize(("name", "label", "change"), CASES, ids=[f"{name}-{label}" for name, label, _ in CASES])
def test_zeroing_is_a_model_without_those_weights(name, label, change):
    made, data = model(name)
    plain, edited = made.trace(data).logits, made.trace(data, edits=ms.zero(label)).logits
    torch.testing.assert_close(edited, by_hand(name, change), **CLOSE)
    assert float((edited - plain).abs().max()) > 1e-8
    assert torch.equal(made.trace(data).logits, plain)


@pytest.mark.parametrize(
    ("name", "label"),
    [("gpt2", "L0.resid_post"), ("falcon", "L0.resid_post"), ("llama", "L0.resid_mid"), ("bert", "L0.resid_mid")],
)
def test_a_zeroed_point_holds_nothing_of_what_came_before(name, label):
    made, data = model(name)
    edited = made.trace(data, edits=ms.zero(label))
    assert float(edited.point(label, "sum").abs().max()) == 0.0
    other = data.flip(-1)
    cut = made.trace(other, edits=ms.zero(label))
    torch.testing.assert_close(cut.logits, edited.logits, **CLOSE)


def test_a_zeroed_write_is_zero_and_what_follows_sees_it():
    made, data = model("gpt2")
    plain, edited = made.trace(data), made.trace(data, edits=ms.zero("L0.mlp"))
    assert float(edited["L0.mlp"].abs().max()) == 0.0
    assert torch.equal(edited["L0.attn"], plain["L0.attn"])
    assert torch.equal(edited["L0.resid_post"], plain["L0.resid_mid"])
    assert float((edited["L1.attn"] - plain["L1.attn"]).abs().max()) > 1e-6


@pytest.mark.parametrize("label", ["L0.attn.H2", "L1.mlp.N77", "L0.mlp", "L1.attn", "L0.resid_post", "entry.pos"])
@pytest.mark.parametrize("level", ["write", "head", "edge", "neuron"])
def test_an_edited_run_closes_at_every_level(label, level):
    made, data = model("gpt2")
    trace = made.trace(data, edits=ms.zero(label))
    found = trace.scores(3, level)
    assert found.error <= found.bound
    torch.testing.assert_close(found.sum(), trace.logits[:, -1, 3], **CLOSE)
    if level == "head" and "H2" in label:
        assert float(found["L0.attn"][2].abs().max()) == 0.0


def test_what_an_edited_head_looked_at_is_still_there():
    made, data = model("llama")
    plain, edited = made.trace(data), made.trace(data, edits=ms.zero("L1.attn.H3"))
    assert torch.equal(edited.pattern(1), plain.pattern(1))
    assert torch.equal(edited.z(1)[:, :3], plain.z(1)[:, :3])
    assert float(edited.z(1)[:, 3].abs().max()) == float(edited["L1.attn.H3"].abs().max()) == 0.0
    with pytest.raises(ms.InputError, match="a head of this write was edited"):
        edited["L1.attn.H3<-1"]


def test_edits_add_print_and_travel():
    one, two = ms.zero("L0.mlp"), ms.zero("L1.attn.H3", "entry.pos")
    both = one + two
    assert str(both) == "zero L0.mlp + zero L1.attn.H3 + zero entry.pos"
    assert both == ms.zero("L0.mlp", "L1H3", "entry.pos")
    assert pickle.loads(pickle.dumps(both)) == both
    assert hash(both) == hash(ms.zero("L0.mlp", "L1.attn.H3", "entry.pos"))
    assert str(Edit()) == "no edit"
    assert Edit() + one == one
    assert sum([one, two]) == both


def test_two_edits_at_once_are_both_made():
    made, data = model("llama")
    edited = made.trace(data, edits=ms.zero("L0.mlp.N5", "L1.attn.H3") + ms.zero("L0H1")).logits
    wanted = by_hand("llama", lambda m: [change(m) for change in (LLAMA["L0.mlp.N5"], LLAMA["L1.attn.H3"], LLAMA["L0H1"])])
    torch.testing.assert_close(edited, wanted, **CLOSE)
    order = made.trace(data, edits=ms.zero("L0H1") + ms.zero("L1.attn.H3", "L0.mlp.N5")).logits
    assert torch.equal(order, edited)


def test_two_neurons_and_heads_of_one_write():
    made, data = model("gpt2")
    edited = made.trace(data, edits=ms.zero("L1.mlp.N77", "L1.mlp.N3", "L0.attn.H2", "L0.attn.H0")).logits

    def change(m: nn.Module) -> None:
        GPT2["L1.mlp.N77"](m), GPT2["L0.attn.H2"](m)
        fill(m.transformer.h[1].mlp.c_proj.weight[3], m.transformer.h[0].attn.c_proj.weight[:8])

    torch.testing.assert_close(edited, by_hand("gpt2", change), **CLOSE)


def test_edited_is_undone_also_by_an_error():
    made, data = model("gpt2")
    plain, wanted = made.trace(data).logits, made.trace(data, edits=ms.zero("L0.mlp")).logits
    with pytest.raises(ZeroDivisionError), made.edited(ms.zero("L0.mlp")) as same:
        assert same is made
        assert torch.equal(made.trace(data).logits, wanted)
        with made.edited(ms.zero("L1.mlp")):
            both = made.trace(data).logits
        assert torch.equal(both, made.trace(data, edits=ms.zero("L1.mlp")).logits)
        assert torch.equal(made.trace(data).logits, wanted)
        raise ZeroDivisionError
    assert torch.equal(made.trace(data).logits, plain)


def test_another_model_is_not_edited():
    (one, data), (two, _) = model("gpt2"), model.__wrapped__("gpt2")
    with one.edited(ms.zero("L0.mlp")):
        assert not torch.equal(one.trace(data).logits, two.trace(data).logits)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("L9.mlp", "no write 'L9.mlp' in this model; there are entry.embed, entry.pos, L0.attn"),
        ("L0.resid_over", "no write 'L0.resid_over'"),
        ("L0.attn.H4", "L0.attn.H4 does not exist: this write has 4"),
        ("L0.mlp.N128", "L0.mlp.N128 does not exist: this write has 128"),
        ("L0.mlp.H1", "L0.mlp.H1 does not exist: L0.mlp has neurons"),
        ("L0.attn.N1", "L0.attn.N1 does not exist: L0.attn has heads"),
        ("L0.attn.H1.D2", "a single dim can't"),
        ("L0.atn.H1", "no write 'L0.atn' in this model.* Did you mean L0.attn"),
        ("L0.mpl.N7", "no write 'L0.mpl' in this model.* Did you mean L0.mlp"),
        ("L0.attn.bias", r"L0\.attn\.bias cannot be edited: .* The whole write is L0\.attn"),
        ("entry.pos.N3", r"entry\.pos has no single set of coordinates"),
    ],
)
def test_what_cannot_be_zeroed(label, said):
    made, data = model("gpt2")
    with pytest.raises(ms.InputError, match=said):
        made.trace(data, edits=ms.zero(label))


def test_heads_that_are_folded_into_the_batch_cannot_be_zeroed():
    made, data = model("bloom")
    with pytest.raises(ms.InputError, match="folds heads into the batch"):
        made.trace(data, edits=ms.zero("L0.attn.H1"))


@pytest.mark.parametrize("label", ["", "3", "<-", " "])
def test_text_that_is_no_label(label):
    with pytest.raises(ms.InputError, match="is not a component's label"):
        ms.zero(label)
    with pytest.raises(ms.InputError, match="name what to zero"):
        ms.zero()


def test_an_edit_of_a_stream_by_its_name():
    module, _, kwargs = ZOO["t5"]()
    made = ms.load(module)
    ids, more = kwargs["input_ids"], {"decoder_input_ids": kwargs["decoder_input_ids"]}
    edited = made.trace(ids, edits=ms.zero("enc.L0.attn", "dec.L1.cross.H2"), **more).logits
    with torch.no_grad():
        fill(
            module.encoder.block[0].layer[0].SelfAttention.o.weight,
            module.decoder.block[1].layer[1].EncDecAttention.o.weight[:, 16:24],
        )
    torch.testing.assert_close(edited, made.trace(ids, **more).logits, rtol=1e-5, atol=1e-6)
