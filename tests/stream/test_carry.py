"""Parts carried to later points and to the output: they sum to what is there, and each is what one carries there by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mainstem.core import Parts
from mainstem.find import find
from mainstem.score import component, direct
from mainstem.stream import Pass, carry, push, rows, take
from stream._runs import main, passes, plant_biases
from zoo import ZOO

TIGHT = {"rtol": 1e-9, "atol": 1e-13}


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, **TIGHT)


def places(run: Pass) -> list[int | None]:
    """Every point, and the output where the stream has a readout of its own."""
    return [*range(len(run.stream.points)), *([None] if run.stream.output else [])]


@pytest.mark.parametrize("name", ZOO)
def test_parts_sum_to_every_point_and_to_the_output(name):
    for run in passes(name, change=plant_biases):
        for end in places(run):
            parts = carry(run, end)
            there = run.output() if end is None else run.point(end)
            values = torch.stack([g.values.expand_as(there) for g in parts.groups])
            assert bool(((values.sum(0) - there).abs() <= 1e-12 * values.abs().sum(0).max()).all()), end
            assert torch.equal(parts.whole, there)


@pytest.mark.parametrize("name", ZOO)
def test_parts_sum_to_the_output_in_float32(name):
    run = main(name, torch.float32)
    parts = carry(run)
    total = sum(g.values.double() for g in parts.groups)
    assert float((total - run.output().double()).abs().max()) <= parts.bound


@pytest.mark.parametrize("name", ["bert", "resnet", "bloom", "granite", "cifar"])
def test_carrying_goes_by_way_of_every_point_between(name):
    run = main(name)
    for row in rows(run):
        if row.write is not None and row.start < len(run.stream.points) - 1:
            vector = row.vector.expand_as(run.point(row.start))[None]
            last = len(run.stream.points) - 1
            close(push(run, push(run, vector, row.start, row.start + 1), row.start + 1, last), push(run, vector, row.start, last))
            close(
                push(run, 2 * vector - 3 * vector.flip(-1), row.start, last),
                2 * push(run, vector, row.start, last) - 3 * push(run, vector.flip(-1), row.start, last),
            )


def frozen_norm(norm: nn.LayerNorm, x: Tensor, v: Tensor) -> Tensor:
    """What a layer norm makes of a part v of its input x: its scale as it is at x, its shift left out."""
    return (v - v.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt() * norm.weight


def test_bert_norms_after_additions_by_hand():
    run = passes("bert", change=plant_biases)[0]
    module, layers = run.module.requires_grad_(False), run.module.bert.encoder.layer
    norms = [
        module.bert.embeddings.LayerNorm,
        *(n for layer in layers for n in (layer.attention.output.LayerNorm, layer.output.LayerNorm)),
    ]
    v, at_end = component(run, "L0.attn"), carry(run, 4)
    for t in (1, 2, 3):
        v = frozen_norm(norms[t], run.point(t), v)
    close(at_end["L0.attn"], v)
    shift = norms[1].bias.expand_as(v)
    for t in (2, 3):
        shift = frozen_norm(norms[t], run.point(t), shift)
    close(at_end["L0.resid_mid.bias"], shift)
    head = module.cls.predictions
    v = head.transform.dense(frozen_norm(norms[4], run.point(4), v)) - head.transform.dense.bias
    dense = head.transform.dense(run.face(4))
    v = v * F.gelu(dense) / dense
    close(carry(run)["L0.attn"], frozen_norm(head.transform.LayerNorm, F.gelu(dense), v) @ head.decoder.weight.T)


def scaled(norm: nn.BatchNorm2d, v: Tensor) -> Tensor:
    return v * (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None]


def test_resnet_relu_projection_and_pooling_by_hand():
    run = passes("resnet", change=plant_biases)[0]
    module = run.module.requires_grad_(False)
    shortcut = module.resnet.encoder.stages[1].layers[0].shortcut
    v = component(run, "L0.conv") * (run.point(1) > 0) * (run.point(2) > 0)
    v = scaled(shortcut.normalization, F.conv2d(v, shortcut.convolution.weight, stride=2))
    close(carry(run, 3)["L0.conv"], v)
    v = v * (run.point(3) > 0) * (run.point(4) > 0)
    close(carry(run)["L0.conv"], v.mean((2, 3)) @ module.classifier[1].weight.T)
    norm = shortcut.normalization
    shift = (norm.bias - norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None].expand_as(
        run.point(3)
    )
    close(carry(run, 3)["L1.resid_post.bias"], shift)
    close(carry(run)["readout.bias"], module.classifier[1].bias.expand(2, 5))
    assert float(carry(run)["L1.resid_post.bias"].abs().max()) > 0.1


def test_cifar_shortcut_without_parameters_by_hand():
    run = main("cifar")
    v = component(run, "L2.conv") * (run.point(3) > 0)
    v = F.pad(v[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
    close(carry(run, 4)["L2.conv"], v)
    close(
        carry(run)["L8.conv"], (component(run, "L8.conv") * (run.point(9) > 0)).mean((2, 3)) @ run.module.linear.weight.detach().T
    )


def read_by(run: Pass, path: str) -> Tensor:
    """What a module was given in a plain run."""
    found = []
    hook = run.module.get_submodule(path).register_forward_pre_hook(lambda m, args: found.append(args[0].clone()))
    with torch.no_grad():
        run.module(*run.args, **run.kwargs)
    hook.remove()
    return found[0]


def test_sandwich_norm_by_hand():
    """Gemma-2 norms a write before it is added: a head's share is frozen at what all heads together were."""
    run = main("gemma2")
    layer = run.module.requires_grad_(False).model.layers[1]
    z, norm = read_by(run, "model.layers.1.self_attn.o_proj"), layer.post_attention_layernorm
    whole = layer.self_attn.o_proj(z)
    scale = (1 + norm.weight) / (whole.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    for head in range(4):
        some = slice(8 * head, 8 * head + 8)
        wanted = z[..., some] @ layer.self_attn.o_proj.weight[:, some].T * scale
        torch.testing.assert_close(component(run, f"L1.attn.H{head}"), wanted, rtol=1e-5, atol=1e-7)
        assert float(wanted.abs().max()) > 0.01


def test_residual_multiplier_by_hand():
    run = main("granite")
    layer = run.module.requires_grad_(False).model.layers[1]
    h = read_by(run, "model.layers.1.mlp.down_proj")
    wanted = 0.3 * h[..., 5, None] * layer.mlp.down_proj.weight[:, 5]
    torch.testing.assert_close(component(run, "L1.mlp.N5"), wanted, rtol=1e-5, atol=1e-8)
    close(carry(run, 2)["entry.embed"], 2.0 * component(run, "entry.embed"))
    x, c = run.point(4), run.module.config
    frozen = component(run, "L1.mlp") * run.module.model.norm.weight / (x.square().mean(-1, keepdim=True) + c.rms_norm_eps).sqrt()
    close(carry(run)["L1.mlp"], frozen @ run.module.lm_head.weight.T / c.logits_scaling)


def test_soft_capped_logits_keep_the_caps_ratio():
    run = main("gemma2")
    module, x = run.module.requires_grad_(False), run.point(4)
    normed = (1 + module.model.norm.weight) / (x.square().mean(-1, keepdim=True) + module.model.norm.eps).sqrt()
    cap, logits = module.config.final_logit_softcapping, (x * normed) @ module.lm_head.weight.T
    ratio = torch.where(logits == 0, 1.0, cap * (logits / cap).tanh() / logits)  # the padding token's logits are exactly 0
    close(carry(run)["L0.mlp"], (component(run, "L0.mlp") * normed) @ module.lm_head.weight.T * ratio)


class Scaled(nn.Module):
    """The stream is scaled in the addition itself or before it, a write is subtracted, or the stream, normed, from the write."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.head = nn.Linear(5, 8), nn.LayerNorm(8), nn.Linear(8, 3, bias=False)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))
        nn.init.normal_(self.norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        a, b, c, d = self.layers
        x = 0.9 * x + 0.5 * a(F.gelu(x))
        x = torch.add(b(F.gelu(x)), x, alpha=0.7)
        x = self.norm(x - c(F.gelu(x)))
        return self.head(d(F.gelu(x)) - x)


def test_factors_of_the_stream_and_of_writes():
    module, x = Scaled().double().eval().requires_grad_(False), torch.randn(4, 5).double()
    run = take(module, find(module, x), (x,), {})
    a, b, c, d = module.layers
    points = [module.stem(x)]
    points += [0.9 * points[0] + 0.5 * a(F.gelu(points[0]))]
    points += [0.7 * points[1] + b(F.gelu(points[1]))]
    points += [points[2] - c(F.gelu(points[2]))]
    read = module.norm(points[3])
    written = [0.5 * a(F.gelu(points[0])), b(F.gelu(points[1])), -c(F.gelu(points[2])), d(F.gelu(read))]
    assert {p.factor for p in run.stream.points} == {1.0, 0.7, -1.0}
    g = torch.randn_like(run.output())
    parts, scores = carry(run), direct(run, g)

    def onward(t: int, v: Tensor) -> Tensor:
        v = v if t == 3 else -frozen_norm(module.norm, points[3], 0.7 * v if t == 0 else v)
        return v @ module.head.weight.T

    for t, vector in enumerate(written):
        close(component(run, f"L{t}.mlp"), vector)
        close(parts[f"L{t}.mlp"], onward(t, vector))
        close(scores[f"L{t}.mlp"], (g * onward(t, vector)).sum(1))
    close(parts["entry.embed"], onward(0, 0.9 * points[0]))
    close(carry(run, 2)["entry.embed"], 0.63 * points[0])
    shift = (-module.norm.bias @ module.head.weight.T).expand_as(g)
    close(parts["L2.resid_post.bias"], shift)
    close(scores["L2.resid_post.bias"], (g * shift).sum(1))
    close(direct(run, g, "neuron").sum(), (g * module(x)).sum(1))


def total(parts: Parts) -> Tensor:
    return sum(g.values for g in parts.groups)


def test_nothing_past_the_point_is_there():
    labels = [g.label for g in carry(main("gpt2"), 2).groups]
    assert labels == ["entry.embed", "entry.pos", "L0.attn", "L0.mlp"]
    close(total(carry(main("gpt2"), 0)), main("gpt2").point(0))
