"""A change of the stream on its way: closed forms of linear models, no blocks, norms live, held and without their scale."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from mainstem.core import InputError
from mainstem.find import find
from mainstem.stream import SCALES, Pass, Rerun, grown, spot, take
from score.test_backward import WIDTH, linear
from stream._runs import main

CLOSE = {"rel": 1e-8, "abs": 1e-12}


def sizes(run: Pass, start: int, place: tuple[int, ...], change: Tensor) -> dict[str, list[float]]:
    found = grown(run, start, spot(run, place), change)
    return {kind: [one.size for one in found if one.scales == kind] for kind in SCALES}


@pytest.mark.parametrize("factor", [1.0, 0.0])
def test_a_linear_model_has_the_closed_form(factor):
    run, change = linear(factor=factor), torch.linspace(-1, 1, WIDTH, dtype=torch.float64)
    found, x, want = sizes(run, 1, (2,), change), change, []
    with torch.no_grad():
        for block in [None, *run.module.blocks[1:]]:
            x = x if block is None else x + block.weight @ x
            want.append(float(x.norm()))
    for kind in SCALES:
        assert found[kind] == pytest.approx(want, **CLOSE)
    assert factor or found["live"] == pytest.approx([float(change.norm())] * 4, **CLOSE)  # no blocks: constant


class Normed(nn.Module):
    """x + W norm(x), with a norm by itself or spelled out."""

    def __init__(self, kind: str, depth: int = 3) -> None:
        super().__init__()
        self.kind, self.stem, self.head = kind, nn.Linear(5, WIDTH), nn.Linear(WIDTH, 4)
        self.blocks = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(depth))
        self.gain = nn.Parameter(torch.linspace(0.5, 2, WIDTH))
        self.shift = nn.Parameter(torch.linspace(-1, 1, WIDTH))

    def norm(self, x: Tensor) -> Tensor:
        if self.kind == "layer":
            return nn.functional.layer_norm(x, (WIDTH,), self.gain, self.shift)
        if self.kind == "rms":
            return nn.functional.rms_norm(x, (WIDTH,), self.gain)
        if self.kind == "rsqrt":
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.gain
        if self.kind == "sqrt":
            return self.gain * (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, correction=0) + 1e-5)
        if self.kind == "pow":
            return self.gain * x * (x * x).mean(-1, keepdim=True).pow(-0.5)
        if self.kind == "std":
            return self.gain * x / x.std(-1, keepdim=True)
        return (
            self.gain * x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)
            if self.kind == "length"
            else self.gain * nn.functional.normalize(x, dim=-1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(self.norm(x))
        return self.head(x)


KINDS = ["layer", "rms", "rsqrt", "sqrt", "pow", "std", "length", "normalize"]


@pytest.mark.parametrize("kind", KINDS)
def test_with_norms_held_or_without_scale_a_normed_linear_model_is_linear(kind):
    torch.manual_seed(0)
    module, x = Normed(kind).double().eval(), torch.randn(3, 5, dtype=torch.float64)
    run = take(module, find(module, x), (x,), {})
    change = 0.3 * torch.linspace(-1, 2, WIDTH, dtype=torch.float64)
    found = sizes(run, 0, (1,), change)
    with torch.no_grad():
        frozen = absent = live = change
        want = {"frozen": [], "absent": [], "live": []}
        for t, block in enumerate([None, *module.blocks]):
            if block is not None:
                at = run.point(t - 1)[1]
                centred = kind in ("layer", "sqrt")
                v = [d - d.mean() if centred else d for d in (frozen, absent)]
                scale = {"layer": (at.var(correction=0) + 1e-5).sqrt(), "sqrt": (at.var(correction=0) + 1e-5).sqrt()}
                scale |= {
                    "rms": (at.square().mean() + torch.finfo(at.dtype).eps).sqrt(),
                    "rsqrt": (at.square().mean() + 1e-6).sqrt(),
                }
                scale |= {"pow": at.square().mean().sqrt(), "std": at.std(), "length": at.norm(), "normalize": at.norm()}
                frozen = frozen + block.weight @ (module.gain * v[0]) / scale[kind]
                absent = absent + block.weight @ (module.gain * v[1])
                there = run.point(t - 1)[1]
                live = live + block(module.norm(there + live)) - block(module.norm(there))
            for name, d in (("frozen", frozen), ("absent", absent), ("live", live)):
                want[name].append(float(d.norm()))
    for name, values in want.items():
        assert found[name] == pytest.approx(values, **CLOSE), name
    assert len({round(found[name][-1], 6) for name in SCALES}) == 3


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "gemma2", "falcon", "vit", "resnet", "mixtral", "mamba"])
def test_live_it_is_the_difference_of_two_runs_and_small_changes_scale(name):
    run = main(name)
    place = (1, 3) if run.output().ndim == 3 else (1,)
    where = spot(run, place)
    at = where.of(run.point(0))[0]
    change = torch.randn(at.shape, generator=torch.Generator().manual_seed(0), dtype=at.dtype)
    one = grown(run, 0, where, 1e-8 * change, ("live", "frozen"))
    two = grown(run, 0, where, 2e-8 * change, ("live", "frozen"))
    for small, large in zip(one, two, strict=True):
        assert large.size == pytest.approx(2 * small.size, rel=1e-2)
        assert small.here <= small.size * (1 + 1e-12)
    assert [g.size for g in one if g.point == run.stream.points[0].name] == pytest.approx([1e-8 * float(change.norm())] * 2)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "gemma2", "t5", "resnet", "mixtral", "vit"])
@pytest.mark.parametrize("scales", ["live", "frozen"])
def test_a_run_again_with_nothing_changed_is_the_same_run(name, scales):
    run = main(name)
    again = Rerun(run).changed((), scales)
    for t in range(len(run.stream.points)):
        torch.testing.assert_close(again.point(t), run.point(t), rtol=1e-12, atol=1e-13)


def test_what_cannot_be_asked_is_said():
    run = main("gpt2")
    with pytest.raises(InputError, match="live, frozen, absent"):
        Rerun(run).changed((), "own")
    nets = partial(nn.GroupNorm, 2, WIDTH)

    class Grouped(Normed):
        def norm(self, x: Tensor) -> Tensor:
            return self.group(x)

    torch.manual_seed(0)
    module = Grouped("layer")
    module.group = nets()
    module, x = module.double().eval(), torch.randn(3, 5, dtype=torch.float64)
    grouped = take(module, find(module, x), (x,), {})
    with pytest.raises(InputError, match="group norm"):
        Rerun(grouped).changed((), "absent")
