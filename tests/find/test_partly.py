"""A run that ends behind the last call that is wanted captures what the whole run does."""

from typing import Any

import pytest
import torch
from torch import nn

from mainstem.algebra import tensors
from mainstem.core import InputError, MapError
from mainstem.find import run
from mainstem.stream import needed
from stream._runs import main
from zoo import ZOO


class Blocks(nn.Module):
    """A stream that swallows what goes wrong in its blocks, as no module should."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(5))
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            self.calls += 1
            try:
                x = x + block(x)
            except Exception:
                raise AssertionError("it was caught") from None
        return x


@pytest.mark.parametrize("name", sorted(ZOO))
def test_what_is_captured_is_what_the_whole_run_has(name: str):
    held = main(name)
    for write in held.stream.writes:
        keys = needed(write)
        if not keys:
            continue
        how = held.module, held.args, held.kwargs, keys, (), held.map.volatile, held.double
        with torch.no_grad():
            whole, part = run(*how), run(*how, partly=True)
        assert part.calls.keys() == whole.calls.keys() and part.result is None
        for key in keys:
            both = zip(tensors(part.calls[key].out), tensors(whole.calls[key].out), strict=True)
            assert all(torch.equal(one, other) or bool((one != one).any()) for (_, one), (_, other) in both)
    assert torch._C._len_torch_function_stack() == 0


def test_later_calls_are_not_made():
    module, x = Blocks(), torch.randn(2, 4)
    key: Any = ("blocks.1", 0, "linear", 0)
    found = run(module, (x,), {}, {key}, partly=True)
    assert module.calls == 2 and torch.equal(found.calls[key].out, module.blocks[1](x + module.blocks[0](x)))
    assert run(module, (x,), {}, {key}).result is not None
    assert module.calls == 7


def test_a_call_that_does_not_happen_is_missed():
    key: Any = ("blocks.9", 0, "linear", 0)
    with pytest.raises((MapError, InputError), match="did not happen"):
        run(Blocks(), (torch.randn(2, 4),), {}, {key}, partly=True)
