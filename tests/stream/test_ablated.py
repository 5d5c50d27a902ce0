"""Blocks taken out, all in one pass, against an edit for each and a pass for each."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

import zoo
from mainstem import InputError, StreamMap, find, without_skip, zero
from mainstem.find import run
from mainstem.stream import SIDES, Ablated, Unshared, patches

FAMILIES = ("gpt2", "gptj", "llama", "gemma2", "granite", "falcon", "mixtral", "mamba", "bert", "vit")
IMAGES = ("resnet", "resnet_basic", "resnet_inplace", "cifar")
OTHERS = ("tabular", "shared", "experts", "recurrent")
ONE = ("gptj", "falcon", "gemma2")  # whose masks have a row for every prompt: copies are made of a single one


@cache
def held(name: str) -> tuple[nn.Module, StreamMap, Any, Any]:
    module, args, kwargs = zoo.ZOO[name]()
    found = find(module, *args, **kwargs)
    rows = tuple((a.double() if a.is_floating_point() else a)[: 1 if name in ONE else None] for a in args)
    return module.double(), found, rows, kwargs


def made(name: str, side: str, norm: str = "own") -> tuple[Ablated, Any, Any]:
    module, found, args, kwargs = held(name)
    return Ablated(module, found, found.main, side, norm), args, kwargs


def together(name: str, side: str, norm: str = "own", only: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The outputs of one pass, and those of a pass for each."""
    engine, args, kwargs = made(name, side, norm)
    fast, slow = engine.shared(args, kwargs, only), engine.alone(args, kwargs, only)
    return torch.cat([some for _, some in fast]), torch.cat([some for _, some in slow])


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", [*FAMILIES, *IMAGES, *OTHERS])
def test_one_pass_says_what_a_pass_for_each_says(name: str, side: str) -> None:
    fast, slow = together(name, side)
    assert (fast - slow).abs().max() <= 1e-12 * slow.abs().max()
    assert all((one - slow[0]).abs().max() > 1e-6 * slow[0].abs().max() for one in slow[1:])


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "resnet"])
def test_a_frozen_readout_is_the_same_in_one_pass(name: str, side: str) -> None:
    fast, slow = together(name, side, "final")
    assert (fast - slow).abs().max() <= 1e-12 * slow.abs().max()
    assert (slow[1:] - together(name, side)[1][1:]).abs().max() > 1e-4 * slow.abs().max()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", [*FAMILIES, *IMAGES])
def test_what_an_edit_says_is_said_in_one_pass(name: str, side: str) -> None:
    engine, args, kwargs = made(name, side)
    module, found, _, _ = held(name)
    fast = torch.cat([some for _, some in engine.shared(args, kwargs)])
    assert found.main.output is not None
    for gone, output in zip(engine.sets[1:], fast[1:], strict=True):
        edit = (without_skip if side == "skip" else zero)(*(engine.labels[b] for b in gone))
        seen = run(module, args, kwargs, {found.main.output.key}, patches(found, edit), found.volatile, True)
        assert (seen.at(found.main.output) - output).abs().max() <= 1e-12 * output.abs().max()


@pytest.mark.parametrize("side", ["tail", "head"])
@pytest.mark.parametrize("name", [*FAMILIES, *IMAGES])
def test_nothing_removed_is_the_module_and_all_removed_is_the_same_from_both_ends(name: str, side: str) -> None:
    module, found, args, kwargs = held(name)
    fast, _ = together(name, side)
    assert found.main.output is not None
    own = run(module, args, kwargs, {found.main.output.key}, (), found.volatile, True).at(found.main.output)
    assert (fast[0] - own).abs().max() <= 1e-13 * own.abs().max()
    assert (fast[-1] - together(name, "tail")[1][-1]).abs().max() <= 1e-12 * own.abs().max()


@pytest.mark.parametrize("side", SIDES)
def test_one_position_of_each_prompt_is_that_of_all(side: str) -> None:
    only = torch.tensor([2, 5])
    fast, slow = together("llama", side, "own", only)
    every = together("llama", side)[1]
    want = every[:, torch.arange(2), only][:, :, None]
    assert fast.shape == want.shape
    assert max((fast - want).abs().max(), (slow - want).abs().max()) <= 1e-12 * want.abs().max()


class Adds(nn.Module):
    """x + a x, then + b x, then + c x: without a block its factor is 1, without its skip it is a, b or c."""

    def __init__(self, factors: tuple[float, ...]) -> None:
        super().__init__()
        self.start = nn.Linear(3, 3, bias=False)
        self.blocks = nn.ModuleList(Scaled(f) for f in factors)
        self.end = nn.Linear(3, 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.start(x)
        for block in self.blocks:
            x = block(x)
        return self.end(x)


class Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.inner.weight.copy_(factor * torch.eye(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


@pytest.mark.parametrize(
    ("side", "want"),
    [
        ("tail", (24.0, 6.0, 2.0, 1.0)),
        ("head", (24.0, 12.0, 4.0, 1.0)),
        ("single", (24.0, 12.0, 8.0, 6.0)),
        ("skip", (24.0, 12.0, 16.0, 18.0)),
    ],
)
def test_by_hand(side: str, want: tuple[float, ...]) -> None:
    """(1 + 1) (1 + 2) (1 + 3) = 24 times what is read at the start."""
    module = Adds((1.0, 2.0, 3.0)).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    found = find(module, x)
    engine = Ablated(module, found, found.main, side)
    bare = module.end(module.start(x))
    expected = torch.tensor(want, dtype=torch.float64)[:, None, None] * bare
    for coming in (engine.shared((x,), {}), engine.alone((x,), {})):
        got = torch.cat([some for _, some in coming])
        assert (got - expected).abs().max() <= 1e-13 * expected.abs().max()


@pytest.mark.parametrize(("side", "norm", "said"), [("left", "own", "there are tail, head"), ("tail", "none", "own, final")])
def test_what_there_is_not_is_refused(side: str, norm: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        made("gpt2", side, norm)


def test_a_copy_that_says_other_things_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, args, kwargs = made("gpt2", "single")
    whole = Ablated._copies

    def wrong(self: Ablated, *inputs: Any) -> Any:
        noted, states, output = whole(self, *inputs)
        return noted, 1.01 * states, output

    monkeypatch.setattr(Ablated, "_copies", wrong)
    with pytest.raises(Unshared, match="other things"):
        next(engine.shared(args, kwargs))
