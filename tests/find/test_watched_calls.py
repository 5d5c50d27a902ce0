"""The function mode stands on torch's stack only where something is mapped, and the keys are those of a pass watched throughout."""

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

from find._found import charted
from mainstem.core import InputError, Site
from mainstem.find import Patch, Tap, run
from mainstem.find._record import record
from mainstem.find._watch import Watch
from zoo import ZOO, rows


class Probe(nn.Module):
    """Notes which function modes are on while it runs."""

    def __init__(self, *inner: nn.Module, broken: bool = False) -> None:
        super().__init__()
        self.inner, self.broken = nn.ModuleList(inner), broken
        self.seen: list[list[type]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append([type(mode) for mode in _get_current_function_mode_stack()])
        for module in self.inner:
            x = module(x)
        if self.broken:
            raise ArithmeticError("stopped here")
        return x.sin() + 1


class Doubling(TorchFunctionMode):
    """A mode of the module's own."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        return out * 2 if getattr(func, "__name__", "") == "sin" else out


class Block(nn.Module):
    """Adds what two unmapped modules make, one of them twice, one that fails and is let go, one under a mode of its own."""

    def __init__(self, shared: Probe) -> None:
        super().__init__()
        self.first, self.shared, self.last = Probe(shared), shared, Probe()
        self.risky, self.own = Probe(Probe(broken=True)), Probe()

    def forward(self, x: Tensor) -> Tensor:
        y = self.shared(self.first(x))
        try:
            self.risky(y)
        except ArithmeticError:
            y = y * 0.5
        with Doubling():
            y = self.own(y)
        return x + self.last(y)


def net() -> nn.Sequential:
    """Two blocks around one shared module."""
    shared = Probe(nn.Linear(5, 5))
    return nn.Sequential(Block(shared), Block(shared)).eval()


def probes(module: nn.Module) -> dict[str, list[list[type]]]:
    return {name: m.seen for name, m in module.named_modules() if isinstance(m, Probe)}


ADDS = {("0", 0, "add", 0), ("1", 0, "add", 0)}


def test_unmapped_modules_run_without_the_mode():
    module, x = net(), rows(3, 5)
    seen = run(module, (x,), {}, ADDS)
    assert seen.calls.keys() == ADDS
    for name, stacks in probes(module).items():
        assert stacks
        assert all(Watch not in stack for stack in stacks), name
        assert all(stack == ([Doubling] if name.endswith("own") else []) for stack in stacks), name
    assert torch.equal(seen.result, module(x))


def test_a_mapped_module_inside_an_unmapped_one_runs_with_it():
    module, x = net(), rows(3, 5)
    every = [n.key for n in record(module, (x,), {}).nodes if n.key and n.key[2] == "linear"]
    assert len(every) == 4  # one module called from four places is counted over all of them
    before = {name: len(seen) for name, seen in probes(module).items()}
    seen = run(module, (x,), {}, every)
    assert seen.calls.keys() == set(every)
    for name, stacks in probes(module).items():
        assert all(Watch not in stack for stack in stacks[before[name] :]), name


@pytest.mark.parametrize("op", ["sin", "add", "mul", "linear"])
def test_any_call_is_found_by_the_key_that_a_full_recording_gives_it(op):
    """Keys of frames within frames, after errors, under a mode of the module's own, in shared modules: one by one."""
    module, x = net(), rows(3, 5)
    nodes = {n.key: n for n in record(module, (x,), {}).nodes if n.key and n.key[2] == op}
    assert nodes
    everywhere = run(module.train(), (x,), {}, nodes)  # in train mode all is watched
    module.eval()
    for key in nodes:
        seen = run(module, (x,), {}, {key})
        assert torch.equal(seen.calls[key].out, everywhere.calls[key].out), key
        changed = run(module, (x,), {}, (), [Patch(Site(key, "out"), lambda old: old + 1)]).result
        assert torch.equal(changed, run(module.train(), (x,), {}, (), [Patch(Site(key, "out"), lambda old: old + 1)]).result)
        module.eval()


def test_a_module_that_asks_whether_it_is_watched_is():
    """torch's encoder layers take a fused way where no mode is on, in which none of the mapped calls happens."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
    module = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x = torch.randn(2, 3, 8)
    with torch.no_grad():
        keys = {n.key for n in record(module, (x,), {}).nodes if n.key and n.key[2] == "linear"}
        assert keys
        assert run(module, (x,), {}, keys).calls.keys() == keys
        container = run(module, (x,), {}, {("layers.1.linear2", 0, "linear", 0)})
    assert len(container.calls) == 1


def test_in_train_mode_everything_is_looked_at():
    module, args, kwargs = ZOO["tabular"]()
    found = charted("tabular")[1]
    module.blocks[1].norm = nn.Sequential(module.blocks[1].norm, nn.Dropout(0.5).train())
    with pytest.raises(InputError, match="dropout is active"):
        run(module, args, kwargs, {found.main.points[1].site.key})


@pytest.mark.parametrize("name", ["gpt2", "llama", "mixtral", "bert", "t5", "shared", "mamba", "resnet_inplace", "falcon"])
def test_what_is_captured_is_what_a_pass_watched_throughout_captures(name):
    (module, args, kwargs), found = charted(name)
    for stream in found.streams:
        keys = stream.keys()
        assert len({key[0] for key in keys}) < sum(1 for _ in module.modules())
        with torch.no_grad():
            tap = Tap(module, keys, (), found.volatile)
            tap.watch.keys = None
            with tap.watch:
                module(*args, **kwargs)
            seen = run(module, args, kwargs, keys, (), found.volatile)
        for point in stream.points:
            assert torch.equal(seen.at(point.site), tap.captured.at(point.site))
            assert all(torch.equal(seen.at(w.site), tap.captured.at(w.site)) for w in point.writes)


def test_edits_in_shared_modules_are_counted_over_all_their_calls():
    (module, args, kwargs), found = charted("shared")
    for point in found.main.points[1:]:
        seen: list[Tensor] = []
        run(module, args, kwargs, (), [Patch(point.site, lambda old, seen=seen: seen.append(old) or old)])
        assert len(seen) == 1
