"""Keys as vectors: the weights with the norm's gain folded in, and with them the pre-activation at every place."""

import pytest
import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.find import find
from mainstem.stream import Pass, key_vectors, take
from nets import SpelledGelu
from stream._runs import main, passes, plant_biases
from zoo import ids

CLOSE = {"rtol": 1e-11, "atol": 1e-13}


def weights(name: str, run: Pass) -> tuple[Tensor, Tensor, Tensor, Tensor, bool]:
    """By hand: rows of the block's matrix, its bias, the norm's gain and shift, and whether the norm centres."""
    module = run.module.requires_grad_(False)
    none = torch.zeros((), dtype=torch.float64)
    if name == "gpt2":
        block = module.transformer.h[1]
        return block.mlp.c_fc.weight.T, block.mlp.c_fc.bias, block.ln_2.weight, block.ln_2.bias, True
    if name == "neox":
        layer = module.gpt_neox.layers[1]
        up, norm = layer.mlp.dense_h_to_4h, layer.post_attention_layernorm
        return up.weight, up.bias, norm.weight, norm.bias, True
    if name == "bert":
        up = module.bert.encoder.layer[1].intermediate.dense
        return up.weight, up.bias, none + 1, none, False
    layer = module.model.layers[1]
    if name == "gemma2":
        return layer.mlp.gate_proj.weight, none, 1 + layer.pre_feedforward_layernorm.weight, none, False
    return layer.mlp.gate_proj.weight, none, layer.post_attention_layernorm.weight, none, False


def scale(run: Pass, t: int, centred: bool, eps: float) -> Tensor:
    x = run.face(t)
    size = x.var(-1, correction=0, keepdim=True) if centred else x.square().mean(-1, keepdim=True)
    return (size + eps).sqrt()


@pytest.mark.parametrize("name", ["gpt2", "neox", "bert", "llama", "gemma2"])
def test_rows_of_neurons_by_hand(name):
    run = passes(name, change=plant_biases)[0]
    w, b, gain, shift, centres = weights(name, run)
    found = key_vectors(run, "L1.mlp", None if name in ("gpt2", "neox", "bert") else "gate")
    raw = w * gain
    torch.testing.assert_close(found.raw, raw, **CLOSE)
    torch.testing.assert_close(found.centred, raw - raw.mean(-1, keepdim=True) if centres else raw, **CLOSE)
    torch.testing.assert_close(found.bias, (w @ shift.expand(32) + b).expand(len(w)), **CLOSE)


@pytest.mark.parametrize(("name", "eps"), [("gpt2", 1e-5), ("neox", 1e-5), ("llama", 1e-6), ("gemma2", 1e-6), ("bert", None)])
def test_with_the_scale_they_give_the_pre_activation_everywhere(name, eps):
    run = passes(name, change=plant_biases)[0]
    found = key_vectors(run, "L1.mlp", None if name in ("gpt2", "neox", "bert") else "up")
    at = 2 if name == "neox" else 3
    at = next(t for t, p in enumerate(run.stream.points) if p.name == found.point)
    sigma = 1.0 if eps is None else scale(run, at, name in ("gpt2", "neox"), eps)
    wanted = run.face(at) @ found.centred.T / sigma + found.bias
    torch.testing.assert_close(found.activation, wanted, rtol=1e-10, atol=1e-12)
    assert found.activation.shape == (2, 7, found.raw.shape[0])


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_rows_of_values_by_hand(name):
    run = passes(name, change=plant_biases)[0]
    module = run.module.requires_grad_(False)
    if name == "gpt2":
        block = module.transformer.h[1]
        raw = block.attn.c_attn.weight[:, 64:].T * block.ln_1.weight
    elif name == "llama":
        raw = module.model.layers[1].self_attn.v_proj.weight * module.model.layers[1].input_layernorm.weight
        raw = raw.unflatten(0, (2, 8)).repeat_interleave(2, 0).flatten(0, 1)
    else:
        raw = module.bert.encoder.layer[1].attention.self.value.weight
    found = key_vectors(run, "L1.attn")
    rows = (
        found.raw if found.raw.shape[0] == raw.shape[0] else found.raw.unflatten(0, (2, 8)).repeat_interleave(2, 0).flatten(0, 1)
    )
    torch.testing.assert_close(rows, raw, **CLOSE)
    assert found.activation.shape == (2, 7, found.raw.shape[0])


class Spelled(torch.nn.Module):
    """Norms spelled out, one with a mean and one without, before neurons."""

    def __init__(self, centre: bool) -> None:
        super().__init__()
        self.embed, self.head, self.centre = torch.nn.Embedding(20, 8), torch.nn.Linear(8, 20), centre
        self.gain, self.up, self.down = torch.nn.Parameter(torch.rand(8)), torch.nn.Linear(8, 12), torch.nn.Linear(12, 8)
        self.act = SpelledGelu()

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for _ in range(2):
            y = x - x.mean(-1, keepdim=True) if self.centre else x
            n = self.gain * (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-6))
            x = x + self.down(self.act(self.up(n)))
        return self.head(x)


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("length", [2, 7])
def test_norms_spelled_out(centre, length):
    module, tokens = Spelled(centre).double().eval(), ids(1, length, 20)
    found = key_vectors(take(module, find(module, tokens), (tokens,), {}), "L1.mlp")
    raw = (module.up.weight * module.gain).detach()
    torch.testing.assert_close(found.centred, raw - raw.mean(-1, keepdim=True) if centre else raw, **CLOSE)
    torch.testing.assert_close(found.bias, module.up.bias.detach(), **CLOSE)


@pytest.mark.parametrize(
    ("name", "label", "key", "said"),
    [
        ("llama", "L1.mlp", None, "has the keys 'gate' and 'up'"),
        ("mixtral", "L1.mlp", "gate", "L1.mlp has experts"),
        ("mamba", "L1.mixer", None, "L1.mixer has no key"),
        ("llama", "L1.mlp.N3", "up", "name a write"),
        ("llama", "entry.embed", None, "entry.embed has no parts"),
        ("t5", "dec.L1.cross", None, "a point of another stream"),
    ],
)
def test_what_has_none(name, label, key, said):
    with pytest.raises(InputError, match=said):
        key_vectors(main(name), label, key)
