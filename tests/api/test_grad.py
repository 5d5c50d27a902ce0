"""grad=True: tensors of a trace carry gradients, and they are the true ones."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mainstem as ms
from stream._runs import cast
from zoo import ZOO

NAMES = ["gpt2", "llama", "bert", "falcon", "resnet_inplace", "vit"]


def model(name: str) -> tuple[ms.Model, Any]:
    module, args, _ = ZOO[name]()
    made = ms.load(module)
    made.trace(args[0])
    module.double()
    return made, cast(args, torch.float64)[0]


def weight(module: nn.Module) -> nn.Parameter:
    """A weight early in the stream."""
    return next(p for n, p in module.named_parameters() if p.ndim > 1 and "embed" not in n and "wte" not in n and "wpe" not in n)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_by_finite_differences(name):
    """Of a logit, a late point and a late write in one weight."""
    made, data = model(name)
    w = weight(made.module)
    step = 1e-6 * torch.randn_like(w)

    def read(grad: bool = False) -> list[Tensor]:
        trace = made.trace(data, grad=grad)
        point = trace.stream.points[-1].name
        write = trace.stream.writes[-1].label
        return [(t * t).sum() for t in (trace.logits, trace[point], trace.point(point, "sum"), trace[write])]

    values = read(True)
    found = [float((torch.autograd.grad(v, w, retain_graph=True)[0] * step).sum()) for v in values]
    with torch.no_grad():
        w.add_(step)
        up = read()
        w.sub_(2 * step)
        down = read()
    for slope, a, b in zip(found, up, down, strict=True):
        assert slope == pytest.approx(float(a - b) / 2, rel=1e-4, abs=1e-12)
        assert slope != 0.0


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("level", ["write", "head", "edge", "neuron"])
def test_scores_carry_gradients(name, level):
    """The parts sum to the logit, so that their gradients sum to its gradient: frozen scales are not constants to it."""
    made, data = model(name)
    w = weight(made.module)
    trace = made.trace(data, grad=True)
    scores = trace.scores(3, level)
    assert scores.tensor.requires_grad
    found = torch.autograd.grad(scores.sum().sum(), w, retain_graph=True)[0]
    wanted = torch.autograd.grad(trace.logits[:, -1, 3].sum(), w)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-7, atol=1e-12)


def test_a_lens_and_a_pattern_carry_gradients():
    made, data = model("llama")
    w = weight(made.module)
    trace = made.trace(data, grad=True)
    for value in (trace.lens(3).values.logprob[-1], trace.pattern(1), trace["L1.mlp.N3"], trace.carry().parts.groups[-1].values):
        assert float(torch.autograd.grad(value.square().sum(), w, retain_graph=True)[0].abs().max()) > 0


@pytest.mark.parametrize("label", ["L0.mlp", "L0.attn.H1", "L0.mlp.N3", "L0.attn"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_gradients_flow_through_edits(name, label):
    """With what comes before the edit cut off, nothing of it has a gradient; what stays has its own."""
    made, data = model(name)
    logits = made.trace(data, edits=ms.zero(label), grad=True).logits
    params = dict(made.module.named_parameters())
    down = next(k for k in params if k.endswith(("h.0.mlp.c_proj.weight", "layers.0.mlp.down_proj.weight")))
    late = next(k for k in params if "1." in k and k.endswith(("mlp.c_proj.weight", "mlp.down_proj.weight")))
    grads = torch.autograd.grad(logits.square().sum(), [params[down], params[late]], allow_unused=True)
    if label == "L0.mlp":
        assert grads[0] is None or float(grads[0].abs().max()) == 0.0
    else:
        assert float(grads[0].abs().max()) > 0
    assert float(grads[1].abs().max()) > 0


def test_in_place_additions_keep_their_gradients_under_an_edit():
    made, data = model("falcon")
    w = weight(made.module)
    loss = made.trace(data, edits=ms.zero("L1.mlp.N3", "L1.attn"), grad=True).logits.square().sum()
    found = torch.autograd.grad(loss, w)[0]
    step = 1e-6 * torch.randn_like(w)
    with torch.no_grad():
        w.add_(step)
        up = made.trace(data, edits=ms.zero("L1.mlp.N3", "L1.attn")).logits.square().sum()
        w.sub_(2 * step)
        down = made.trace(data, edits=ms.zero("L1.mlp.N3", "L1.attn")).logits.square().sum()
    assert float((found * step).sum()) == pytest.approx(float(up - down) / 2, rel=1e-4)


def test_without_grad_nothing_is_recorded():
    made, data = model("gpt2")
    trace = made.trace(data)
    tensors = [
        trace.logits,
        trace["L1.mlp"],
        trace.pattern(0),
        trace.scores(3, "neuron").tensor,
        trace.lens(3).values.kl,
        trace["L1.mlp.N3"],
    ]
    assert not any(t.requires_grad for t in tensors)
    assert torch.is_grad_enabled()
    with torch.no_grad():
        assert made.trace(data, grad=True).logits.requires_grad
        assert not torch.is_grad_enabled()
