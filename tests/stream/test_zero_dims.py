"""Features taken out of the stream: the same as weights that never wrote to them, closed, differentiable, and a value like other edits."""

import pickle

import pytest
import torch
from torch import nn

import mainstem as ms
from stream.test_edits import CLOSE, by_hand, model
from zoo import ZOO

DIMS = (2, 5, 31)


def deaf(module: nn.Module) -> None:
    """GPT-2 of which nothing writes to the features."""
    at = list(DIMS)
    module.lm_head.weight = nn.Parameter(
        module.lm_head.weight.detach().clone()
    )  # tied, and it reads what the last norm puts there
    for block in module.transformer.h:
        for linear in (block.attn.c_proj, block.mlp.c_proj):
            linear.weight.data[:, at] = 0
            linear.bias.data[at] = 0
    module.transformer.wte.weight.data[:, at] = 0
    module.transformer.wpe.weight.data[:, at] = 0


def llama_deaf(module: nn.Module) -> None:
    """Llama of which nothing does."""
    at = list(DIMS)
    for layer in module.model.layers:
        layer.self_attn.o_proj.weight.data[at] = 0
        layer.mlp.down_proj.weight.data[at] = 0
    module.model.embed_tokens.weight.data[:, at] = 0


@pytest.mark.parametrize(("name", "change"), [("gpt2", deaf), ("llama", llama_deaf)])
def test_at_every_point_it_is_a_model_that_never_writes_there(name, change):
    made, data = model(name)
    plain, edited = made.trace(data).logits, made.trace(data, edits=ms.zero_dims(*DIMS)).logits
    torch.testing.assert_close(edited, by_hand(name, change), **CLOSE)
    assert float((edited - plain).abs().max()) > 1e-6
    assert torch.equal(made.trace(data).logits, plain)


@pytest.mark.parametrize("name", ["gpt2", "llama", "falcon", "mamba"])
@pytest.mark.parametrize("at", [(), "L0.resid_post", ("entry", "L1.resid_post")])
def test_points_hold_the_others_and_the_run_closes(name, at):
    made, data = model(name)
    plain, edited = made.trace(data), made.trace(data, edits=ms.zero_dims(*DIMS, at=at))
    labels = [p.name for p in edited.stream.points] if at == () else [at] if isinstance(at, str) else at
    for label in labels:
        assert float(edited.point(label, "sum")[..., list(DIMS)].abs().max()) == 0.0
    first, rest = labels[0], [i for i in range(edited.stream.points[0].width) if i not in DIMS]
    assert torch.equal(edited.point(first, "sum")[..., rest], plain.point(first, "sum")[..., rest])
    found = edited.scores(3)
    assert found.error <= found.bound
    torch.testing.assert_close(found.sum(), edited.logits[:, -1, 3], **CLOSE)


def test_channels_of_an_image_behind_a_relu():
    made, data = model("resnet")
    last = made.map.main.points[-1].name
    edited = made.trace(data, edits=ms.zero_dims(1, 3, at=last))
    assert float(edited.point(last)[:, [1, 3]].abs().max()) == 0.0
    assert float(edited.point(last).abs().max()) > 0.0


def test_gradients_flow_past_it():
    made, data = model("gpt2")
    trace = made.trace(data, edits=ms.zero_dims(*DIMS, at="L1.resid_post"), grad=True)
    (slope,) = torch.autograd.grad(trace.logits[:, -1, 3].sum(), made.module.transformer.h[1].mlp.c_proj.bias)
    assert float(slope[list(DIMS)].abs().max()) == 0.0
    assert float(slope.abs().max()) > 0.0


def test_it_adds_prints_and_travels():
    one = ms.zero_dims(3, 7, 3) + ms.zero("L0.mlp") + ms.zero_dims(1, at="L0.resid_post")
    assert str(one) == "zero dims 3, 7 at every point + zero L0.mlp + zero dims 1 at L0.resid_post"
    assert pickle.loads(pickle.dumps(one)) == one
    assert hash(ms.zero_dims(3, 7)) == hash(ms.zero_dims(3, 7, 7))


@pytest.mark.parametrize("dims", [(), (-1,), (1.0,), (True,), ("3",)])
def test_what_is_no_feature(dims):
    with pytest.raises(ms.InputError, match="name features, whole numbers from 0"):
        ms.zero_dims(*dims)


@pytest.mark.parametrize(
    ("name", "edit", "said"),
    [
        ("gpt2", ms.zero_dims(32), "entry has 32 features, counted from 0: it has no 32"),
        ("gpt2", ms.zero_dims(1, at="L9.resid_post"), "no point 'L9.resid_post' in this model; there are entry, L0.resid_mid"),
        ("gpt2", ms.zero_dims(1, at="L0.mlp"), "no point 'L0.mlp'"),
        ("bert", ms.zero_dims(1, at="L0.resid_post"), "L0.resid_post can be taken out alone: it is read behind a norm"),
    ],
)
def test_what_cannot_be_taken_out(name, edit, said):
    made, data = model(name)
    with pytest.raises(ms.InputError, match=said):
        made.trace(data, edits=edit)


def test_a_stream_by_its_name():
    module, _, kwargs = ZOO["t5"]()
    made = ms.load(module)
    more = {"decoder_input_ids": kwargs["decoder_input_ids"]}
    edited = made.trace(kwargs["input_ids"], edits=ms.zero_dims(2, at="enc.L0.resid_post"), stream="enc", **more)
    assert float(edited.point("enc.L0.resid_post", "sum")[..., 2].abs().max()) == 0.0
