"""Nothing stays behind: no hook, no patched attribute, no changed weight, no memory; also after errors and beside other threads."""

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as global_hooks
from transformers import GPT2Config, GPT2LMHeadModel

import mainstem as ms
from nets import Tabular
from zoo import GPT, ids, rows

GLOBAL = [name for name in vars(global_hooks) if name.startswith("_global_") and name.endswith("hooks")]


def state(module: nn.Module) -> dict[str, Any]:
    """All that could be left on a module, and on torch: attributes by identity, hooks, weights bit by bit, modes."""
    parts = {path: dict(vars(m)) for path, m in module.named_modules()}
    hooks = {
        (path, name): dict(held)
        for path, vs in parts.items()
        for name, held in vs.items()
        if "hook" in name and isinstance(held, dict)
    }
    return {
        "attributes": {
            path: {name: id(v) for name, v in vs.items() if not isinstance(v, bool | int)} for path, vs in parts.items()
        },
        "classes": {path: type(m) for path, m in module.named_modules()},
        "forwards": {path: type(m).forward for path, m in module.named_modules()},
        "hooks": hooks,
        "global": {name: dict(getattr(global_hooks, name)) for name in GLOBAL},
        "weights": {name: t.detach().clone() for name, t in module.state_dict().items()},
        "addresses": {name: (t.data_ptr(), t._version) for name, t in module.state_dict().items()},
        "modes": (torch.overrides._get_current_function_mode_stack(), torch.is_grad_enabled(), module.training),
    }


def same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before["weights"].keys() == after["weights"].keys()
    assert all(torch.equal(before["weights"][k], t) for k, t in after["weights"].items())
    for what in before.keys() - {"weights"}:
        assert before[what] == after[what], what
    assert not any(after["hooks"].values())
    assert not any(after["global"].values())


@pytest.fixture
def module() -> nn.Module:
    return GPT2LMHeadModel(GPT2Config(**GPT)).eval()


@pytest.fixture
def untouched(module: nn.Module) -> Iterator[None]:
    """The module and torch after the test are what they were before it."""
    module(ids())  # what a library keeps of its first run is its own
    before = state(module)
    yield
    same(before, state(module))


def everything(model: ms.Model, data: Any) -> None:
    """All that reads a trace."""
    trace = model.trace(data, edits=ms.zero("L0.mlp.N3", "L1.attn.H1"))
    for level in ("write", "head", "edge", "dim", "neuron"):
        trace.scores(3, level)
    trace.lens(), trace.carry(), trace.pattern(1), trace["L1.mlp.N5"], trace.words("L0.attn.H1")


def test_the_state_sees_what_could_be_left(module):
    """Each kind of leaving, planted."""
    before = state(module)
    with pytest.raises(AssertionError, match="hooks"):
        hook = module.transformer.register_forward_hook(lambda *_: None)
        same(before, state(module))
    hook.remove()
    with pytest.raises(AssertionError, match="global"):
        hook = global_hooks.register_module_forward_pre_hook(lambda *_: None)
        same(before, state(module))
    hook.remove()
    with pytest.raises(AssertionError, match="attributes"):
        module.lm_head.forward = module.lm_head.forward
        same(before, state(module))
    del module.lm_head.forward
    with pytest.raises(AssertionError):
        module.lm_head.weight.data.add_(1e-7)
        same(before, state(module))


@pytest.mark.usefixtures("untouched")
def test_after_all_there_is(module):
    wanted = module(ids()).logits
    everything(ms.load(module), ids())
    everything(ms.load(module), [[1, 2, 3], [4, 5]])
    assert torch.equal(module(ids()).logits, wanted)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("fails", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_after_an_error_inside_a_forward(module, fails, monkeypatch):
    model = ms.load(module)
    wanted = model.trace(ids()).logits
    with monkeypatch.context() as patch:
        patch.setattr(type(module.transformer.h[1].mlp), "forward", raising(fails))
        with pytest.raises((fails, ms.InputError)):
            model.trace(ids())
        with pytest.raises((fails, ms.MainstemError)):
            ms.find(module, ids())
    assert torch.equal(model.trace(ids()).logits, wanted)


def raising(error: type[BaseException]) -> Callable[..., Any]:
    def forward(*_: Any) -> Any:
        raise error("stopped here")

    return forward


@pytest.mark.usefixtures("untouched")
def test_after_an_error_inside_an_edit(module):
    model = ms.load(module)
    with pytest.raises(ms.InputError, match="H9 does not exist"):
        model.trace(ids(), edits=ms.zero("L0.mlp") + ms.zero("L1.attn.H9"))
    with pytest.raises(ms.InputError, match="the model cannot run this input"):
        model.trace(torch.arange(70)[None] % 50)
    everything(model, ids())


@pytest.mark.usefixtures("untouched")
def test_after_inference_mode_and_gradients(module):
    model = ms.load(module)
    with torch.inference_mode():
        model.trace(ids())
    model.trace(ids(), grad=True)
    assert all(p.grad is None for p in module.parameters())


def live_tensors() -> int:
    gc.collect()
    return sum(issubclass(type(o), Tensor) for o in gc.get_objects())


def test_a_thousand_traces_take_no_memory():
    """Of a tiny model: tensors alive, all objects alive, the process."""
    model, x = ms.load(Tabular(8, 2, 5).eval()), rows(2)

    def some(n: int) -> tuple[int, int, int]:
        for i in range(n):
            trace = model.trace(x, edits=ms.zero("L0.mlp.N3") if i % 2 else None)
        trace.scores(0, "neuron")
        with pytest.raises(ms.InputError):
            model.trace(torch.zeros(2, 3))
        del trace
        return live_tensors(), len(gc.get_objects()), psutil.Process().memory_info().rss

    before, after = some(50), some(1000)
    assert after[0] == before[0]
    assert after[1] - before[1] < 100  # objects: not one in ten traces
    assert after[2] - before[2] < 20 * 2**20


def test_a_trace_lets_go_of_what_it_held(module):
    model = ms.load(module)
    model.trace(ids())
    before = live_tensors()
    trace = model.trace(ids())
    trace.scores(3, "neuron")
    assert live_tensors() > before
    del trace
    assert live_tensors() == before


def test_two_threads_at_once(module):
    """Different prompts and different edits of one model; the switch between threads is made as often as can be."""
    model = ms.load(module)
    before = state(module)
    jobs = [(ids(1, n), ms.zero(f"L{n % 2}.mlp") if n % 3 else None) for n in range(3, 11)] * 2

    def work(job: tuple[Tensor, Any]) -> list[Tensor]:
        trace = model.trace(job[0], edits=job[1])
        return [
            trace.logits,
            trace["L1.attn"],
            trace.pattern(0),
            *(trace.scores(3, level).tensor for level in ("edge", "neuron")),
        ]

    serial = [work(job) for job in jobs]
    together = in_threads(work, jobs)
    for one, two in zip(serial, together, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    same(before, state(module))


def test_a_model_is_mapped_once_by_many_threads(module, monkeypatch):
    from mainstem.api import _model

    maps, find = [], _model.find
    monkeypatch.setattr(_model, "find", lambda *args, **kwargs: maps.append(args) or find(*args, **kwargs))
    model = ms.load(module)
    found = in_threads(lambda n: model.trace(ids(1, n)).logits, range(3, 9))
    assert [tuple(t.shape) for t in found] == [(1, n, 50) for n in range(3, 9)]
    assert len(maps) == 1


def test_edits_of_one_thread_are_not_those_of_another(module):
    model, data, ready, go = ms.load(module), ids(), threading.Event(), threading.Event()
    plain = model.trace(data).logits

    def editing() -> Tensor:
        with model.edited(ms.zero("L0.mlp")):
            ready.set()
            go.wait(20)
            return model.trace(data).logits

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(editing)
        assert ready.wait(20)
        mine = model.trace(data).logits
        go.set()
        theirs = other.result()
    assert torch.equal(mine, plain)
    assert torch.equal(theirs, model.trace(data, edits=ms.zero("L0.mlp")).logits)


def in_threads(work: Callable[[Any], Any], jobs: Any) -> list[Any]:
    import sys

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(work, jobs))
    finally:
        sys.setswitchinterval(interval)
