"""Gradients along the stream: closed forms of linear models, torch's own gradients, and what blocks alone hand back."""

import pytest
import torch
from torch import Tensor, nn

from mainstem.core import InputError
from mainstem.find import Patch, find
from mainstem.find import run as find_run
from mainstem.score import backward
from mainstem.stream import Pass, take
from score.test_alternatives import same
from stream._runs import built, main
from zoo import ZOO

CLOSE = {"rtol": 1e-10, "atol": 1e-14}
WIDTH = 6


class Linear(nn.Module):
    """x + W x, block by block."""

    def __init__(self, depth: int, factor: float) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(5, WIDTH), nn.Linear(WIDTH, 4)
        self.blocks = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(depth))
        with torch.no_grad():
            for block in self.blocks:
                block.weight.mul_(factor)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def linear(depth: int = 4, factor: float = 1.0) -> Pass:
    torch.manual_seed(0)
    module, x = Linear(depth, factor).double().eval(), torch.randn(3, 5, dtype=torch.float64)
    return take(module, find(module, x), (x,), {})


def test_a_linear_model_has_the_closed_form():
    run = linear()
    found = backward(run, same(run, [1], None))
    with torch.no_grad():
        p = run.output().softmax(-1)
        p[:, 1] -= 1
        skip = blocks = p @ run.module.head.weight
        for t in reversed(range(5)):
            torch.testing.assert_close(found[t].skip, skip.norm(dim=1), **CLOSE)
            torch.testing.assert_close(found[t].blocks, blocks.norm(dim=1), **CLOSE)
            if t:
                w = run.module.blocks[t - 1].weight
                skip, blocks = skip @ (torch.eye(WIDTH, dtype=w.dtype) + w), blocks @ w
    assert len(found) == 5


def test_without_blocks_it_is_constant_and_nothing_comes_through_them():
    run = linear(factor=0.0)
    found = backward(run, same(run, [1], None))
    for one in found:
        torch.testing.assert_close(one.skip, found[-1].skip, **CLOSE)
    assert all(float(one.blocks.abs().max()) == 0 for one in found[:-1])


NAMES = ["gpt2", "llama", "bert", "gemma2", "falcon", "mamba", "vit", "resnet", "resnet_inplace", "cifar", "t5"]


@pytest.mark.parametrize("name", NAMES)
def test_with_skips_it_is_torch_s_own_gradient(name):
    """By differences: a step along a random direction at a point changes the loss by its product with the gradient."""
    run = main(name)
    goal = same(run, [1], None)
    found = backward(run, goal)
    assert all(bool(one.skip.isfinite().all()) for one in found)
    for t in (0, len(found) // 2):
        gradient = by_torch(run, goal, t)
        torch.testing.assert_close(found[t].skip.square().sum(), gradient.square().sum(), **CLOSE)
    assert float(found[0].skip.abs().max()) > 0
    torch.testing.assert_close(found[-1].skip, found[-1].blocks, **CLOSE)


def by_torch(run: Pass, goal, t: int) -> Tensor:
    held = []

    def hold(x: Tensor) -> Tensor:
        held.append(x.detach().clone().requires_grad_())
        return held[0]

    patch = Patch(run.stream.points[t].site, lambda x: hold(x).clone())
    with torch.enable_grad():
        seen = find_run(run.module, run.args, run.kwargs, {run.stream.output.key}, [patch], run.map.volatile, True)
        loss = -goal.value(goal.logits(run.shaped(seen.at(run.stream.output)))).sum()
        return torch.autograd.grad(loss, held[0])[0]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_without_skips_it_is_the_product_of_the_blocks_alone(name):
    """The block's own Jacobian by hand: its outputs' product with what came from behind, differentiated by what it reads."""
    run = main(name)
    goal = same(run, [1], None)
    found = backward(run, goal)
    layers = run.module.transformer.h if name == "gpt2" else run.module.model.layers
    last = layers[1]
    norm, mlp = (last.ln_2, last.mlp) if name == "gpt2" else (last.post_attention_layernorm, last.mlp)
    end, before = run.point(4).detach().requires_grad_(), run.point(3).detach().requires_grad_()
    final = run.module.transformer.ln_f if name == "gpt2" else run.module.model.norm
    with torch.enable_grad():
        loss = -goal.value(goal.logits(run.module.lm_head(final(end)))).sum()
        behind = torch.autograd.grad(loss, end)[0]
        through = torch.autograd.grad((mlp(norm(before)) * behind).sum(), before)[0]
    close = CLOSE if name == "gpt2" else {"rtol": 1e-5, "atol": 1e-9}  # its norms cast to float32 by hand
    torch.testing.assert_close(found[4].skip, behind.norm(dim=-1), **close)
    torch.testing.assert_close(found[3].blocks, through.norm(dim=-1), **close)
    torch.testing.assert_close(found[3].skip, (through + behind).norm(dim=-1), **close)


def test_a_run_of_one_position_says_the_same():
    module, args, kwargs = built("llama")
    run = take(module, main("llama").map, args, kwargs, only=torch.tensor([6, 6]))
    assert run.cut is not None
    for one, other in zip(
        backward(run, same(main("llama"), [1], None)), backward(main("llama"), same(main("llama"), [1], None)), strict=True
    ):
        torch.testing.assert_close(one.skip, other.skip, **CLOSE)


def test_weights_that_need_no_gradient_stay_so():
    module, args, kwargs = ZOO["gpt2"]()
    module.requires_grad_(False)
    run = take(module, find(module, *args, **kwargs), args, kwargs)
    found = backward(run, same(run, [1], None))
    assert float(found[0].skip.max()) > 0
    assert all(p.grad is None and not p.requires_grad for p in module.parameters())


def test_a_stream_with_no_output_has_no_loss():
    run = main("gpt2")
    from dataclasses import replace

    with pytest.raises(InputError, match="no loss"):
        backward(replace(run, stream=replace(run.stream, output=None)), same(run, [1], None))
