"""What a pass shows as it goes is what a trace holds of it; it ends where nothing more is asked for, and leaves nothing behind."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from mainstem.core import InputError, MapError
from mainstem.find import find
from mainstem.stream import BASES, Pass, passing, shown
from stream._runs import main, mapped
from zoo import ZOO

NAMES = [
    "gpt2",
    "gptj",
    "neox",
    "llama",
    "gemma2",
    "falcon",
    "bloom",
    "granite",
    "mixtral",
    "mamba",
    "bert",
    "t5",
    "vit",
    "resnet",
    "cifar",
]
EXACT = {"rtol": 0.0, "atol": 1e-12}


def seen(run: Pass, bases: tuple[str, ...]) -> dict[str, Tensor]:
    """All that a pass shows, copied as it is shown."""
    found: dict[str, Tensor] = {}

    def show(label: str, value: Tensor) -> None:
        assert label not in found
        found[label] = value.clone()

    with torch.no_grad():
        passing(run.module, run.args, run.kwargs, shown(run.stream, bases), show, run.prompts)
    return found


def tokens(run: Pass, t: int, value: Tensor) -> Tensor:
    """[batch, pos, width] of a tensor of point t's shape."""
    axis = run.stream.points[t].axis
    value = value if axis == -1 else value.movedim(axis, -1)
    return value.reshape(run.prompts, -1, value.shape[-1])


@pytest.mark.parametrize("name", NAMES)
def test_points_and_writes_are_those_of_a_trace(name):
    run = main(name, torch.float32)
    found = seen(run, ("points", "writes"))
    for t, point in enumerate(run.stream.points):
        torch.testing.assert_close(found[point.name], tokens(run, t, run.face(t)), **EXACT)
        for write in point.writes:
            torch.testing.assert_close(found[write.label], tokens(run, t, run.write(write).expand_as(run.point(t))), **EXACT)
    assert len(found) == sum(1 + len(point.writes) for point in run.stream.points)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "vit", "t5"])
def test_heads_and_neurons_are_what_writes_are_made_of(name):
    run = main(name, torch.float32)
    found = seen(run, ("values", "pre", "post"))
    sources = {w.label: w.writer.sources[0] for w in run.stream.writes}
    assert found
    for label, value in found.items():
        write, _, basis = label.rpartition(".") if "pre." not in label else label.rpartition(".pre.")
        source = sources[write]
        site = source.site if basis in ("z", "post") else next(k for k in source.keys if basis in ("pre", k.name)).site
        held = run.again({site.key}).at(site)
        held = held.transpose(1, 2) if basis == "z" and held.ndim == 4 else held
        assert value.shape[-1] == (source.sizes[0] * source.sizes[1] if basis == "z" else source.sizes[-1])
        torch.testing.assert_close(value.flatten(), held.flatten(), **EXACT)


def test_what_follows_the_last_value_is_not_run_and_nothing_is_left_behind():
    run, ran = main("gpt2"), []
    handle = run.module.lm_head.register_forward_hook(lambda *_: ran.append("head"))
    try:
        seen(run, ("points",))
        assert ran == []
        run.module(*run.args, **run.kwargs)
        assert ran == ["head"]
        with pytest.raises(RuntimeError, match="mine"):
            passing(
                run.module, run.args, run.kwargs, shown(run.stream), lambda *_: (_ for _ in ()).throw(RuntimeError("mine")), 2
            )
        assert torch.equal(run.module(*run.args, **run.kwargs).logits, run.module(*run.args, **run.kwargs).logits)
    finally:
        handle.remove()


def test_in_place_additions_are_shown_as_they_were():
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(11, 8), nn.Linear(8, 11)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(3)
            )

        def forward(self, ids: Tensor) -> Tensor:
            x = self.embed(ids)
            for block in self.blocks:
                x += block(x)
            return self.head(x)

    module, ids = InPlace().double().eval(), torch.arange(10).reshape(2, 5)
    found: dict[str, Tensor] = {}
    stream = find(module, ids).main
    passing(module, (ids,), {}, shown(stream), lambda label, x: found.update({label: x.detach().clone()}), 2)
    x = module.embed(ids)
    torch.testing.assert_close(found[stream.points[0].name], x, **EXACT)
    for point, block in zip(stream.points[1:], module.blocks, strict=True):
        x = x + block(x)
        torch.testing.assert_close(found[point.name], x, **EXACT)


def test_a_write_is_shown_as_it_is_added():
    class Subtracts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(11, 8), nn.Linear(8, 11)
            self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8)) for _ in range(2))

        def forward(self, ids: Tensor) -> Tensor:
            x = self.embed(ids)
            for block in self.blocks:
                x = x - block(x)
            return self.head(x)

    module, ids = Subtracts().double().eval(), torch.arange(10).reshape(2, 5)
    found: dict[str, Tensor] = {}
    stream = find(module, ids).main
    passing(module, (ids,), {}, shown(stream, ("points", "writes")), lambda label, x: found.update({label: x.detach()}), 2)
    for before, point in pairwise(stream.points):
        (write,) = point.writes
        torch.testing.assert_close(found[before.name] + found[write.label], found[point.name], **EXACT)


def test_another_way_through_the_module_is_noticed():
    _, args, _ = ZOO["bert"]()
    other, *_ = ZOO["gpt2"]()
    with pytest.raises(MapError):
        passing(other, args, {}, shown(mapped("bert").main), lambda *_: None, 2)


def test_names_that_are_none_are_refused():
    with pytest.raises(InputError, match=f"nothing is looked at under the name 'logits'; there are {', '.join(BASES)}"):
        shown(main("gpt2").stream, ("logits",))
    with pytest.raises(InputError, match=r"no values to look at; there are points, writes"):
        shown(main("resnet").stream, ("values",))
