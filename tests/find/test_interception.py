"""The one interception: nothing stays behind, keys name the same calls every time, threads do not meet, edits take."""

import gc
import threading
import weakref
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack

import nets
from find._found import charted, same, state
from mainstem.core import MapError, Site
from mainstem.find import Patch, Tap, find, run
from mainstem.find._record import record
from mainstem.find._watch import _local, _names
from mainstem.stream import take
from zoo import ZOO, ids, rows

GLOBAL = [
    name for name in vars(hooks) if name.startswith("_global_") and "hook" in name and name != "_global_module_registration_hooks"
]


def left_behind() -> list:
    """What an interception could leave: hooks of all modules, function modes, this thread's watch."""
    return [
        *(getattr(hooks, name) for name in GLOBAL if getattr(hooks, name)),
        *_get_current_function_mode_stack(),
        *filter(None, [getattr(_local, "watch", None)]),
    ]


@pytest.fixture(autouse=True)
def _nothing_is_left():
    assert not left_behind()
    yield
    assert not left_behind()


def test_what_is_looked_at_would_show():
    assert {"_global_forward_hooks", "_global_forward_pre_hooks", "_global_forward_hooks_always_called"} <= set(GLOBAL)
    handle = hooks.register_module_forward_hook(print)
    assert left_behind()
    handle.remove()
    with TorchFunctionMode():
        assert left_behind()
    tap = Tap(nn.Identity(), (), (), ())
    with tap.watch:
        assert len(left_behind()) >= 4


class Broken(nets.Tabular):
    """Fails two modules deep in its third block, where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks[2].up = nn.Sequential(self.blocks[2].up, nets.Stop())


@pytest.mark.parametrize("call", [find, lambda module, x: run(module, (x,), {})], ids=["find", "run"])
def test_an_error_in_the_module_leaves_nothing(call):
    module, x = Broken().eval(), rows(6, 16)
    before = state(module)
    for _ in range(3):
        with pytest.raises(ArithmeticError, match="stopped here"):
            call(module, x)
        assert not left_behind()
    assert same(state(module), before)
    module.blocks[2].up[1].on = False
    assert find(module, x).proof.closed


class Interrupt(BaseException):
    """What a user's Ctrl-C is: no Exception, so no hook is called for it."""


@pytest.mark.parametrize("error", [ValueError, Interrupt, KeyboardInterrupt])
def test_an_error_in_an_edit_leaves_nothing(error):
    (module, args, kwargs), found = charted("tabular")
    before = state(module)

    def fail(old: Tensor) -> Tensor:
        raise error

    for point in found.main.points[1:]:
        with pytest.raises(error):
            run(module, args, kwargs, (), [Patch(point.site, fail)])
        assert not left_behind()
    assert same(state(module), before)
    assert run(module, args, kwargs, {found.main.points[1].site.key}).calls


def test_an_error_in_anothers_hook_leaves_nothing():
    module, args, kwargs = ZOO["tabular"]()

    def fail(*_: object) -> None:
        raise ValueError("a hook's own")

    for register in (module.blocks[1].register_forward_pre_hook, module.blocks[1].up.register_forward_hook):
        handle = register(fail)
        with pytest.raises(ValueError, match="a hook's own"):
            find(module, *args, **kwargs)
        handle.remove()
        assert find(module, *args, **kwargs).streams == charted("tabular")[1].streams


def test_keys_stay_right_after_an_error_that_the_module_catches():
    module, x = nets.Catching().eval(), rows(6, 16)
    graph = record(module, (x,), {})
    keys = [n.key for n in graph.nodes if n.key]
    assert ("risky.inner.0", 0, "linear", 0) in keys
    assert [k for k in keys if k[2] == "mul"] == [("", 0, "mul", 0)]
    assert [k for k in keys if k[2] == "add"] == [("first", 0, "add", 0), ("last", 0, "add", 0)]
    found = find(module, x)
    assert found.proof.closed
    assert found.main.blocks == ("first", "last")


def test_calls_are_counted_afresh_in_every_forward_pass_of_the_root():
    (module, args, kwargs), found = charted("shared")
    seen: list[Tensor] = []
    patch = Patch(found.main.points[3].site, lambda old: seen.append(old.clone()) or old)
    tap = Tap(module, (), [patch], ())
    with tap.watch, torch.no_grad():
        module(*args, **kwargs)
        module(*args, **kwargs)
    assert len(seen) == 2
    assert torch.equal(*seen)


STABLE = ["gpt2", "llama", "falcon", "mixtral", "mamba", "bert", "shared", "experts"]


@pytest.mark.parametrize("shape", [(1, 1), (3, 13)])
@pytest.mark.parametrize("name", STABLE)
def test_keys_are_stable_over_batches_lengths_and_masks(name, shape):
    (module, _, _), found = charted(name)
    stream, own = found.main, name in ("shared", "experts")
    tokens = ids(*shape, 20 if own else 50)
    for kwargs in [{}] if own else [{}, {"attention_mask": left_padded(tokens)}]:
        with torch.no_grad():
            seen = run(module, (tokens,), kwargs, stream.keys(), (), found.volatile)
        assert [seen.at(p.site).shape for p in stream.points] == [(*shape, stream.width)] * len(stream.points)
        assert torch.equal(logits(seen.result), logits(plain(module, tokens, kwargs)))


def left_padded(tokens: Tensor) -> Tensor:
    """A mask that leaves the first token of the first prompt out, where there is more than one."""
    mask = torch.ones_like(tokens)
    mask[0, : min(1, tokens.shape[1] - 1)] = 0
    return mask


def plain(module: nn.Module, tokens: Tensor, kwargs: dict) -> object:
    """The module called as ever."""
    with torch.no_grad():
        return module(tokens, **kwargs)


def logits(result: object) -> Tensor:
    """What a module of the zoo returned, as a tensor."""
    return result if isinstance(result, Tensor) else result.logits


def test_two_threads_each_get_their_own():
    (module, _, _), found = charted("gpt2")
    before = state(module)
    stream = found.main
    inputs = [ids(2, 7), ids(3, 5)]
    with torch.no_grad():
        alone = [run(module, (x,), {}, stream.keys(), (), found.volatile) for x in inputs]
    faults: list[str] = []
    start = threading.Barrier(4)

    def watched(which: int) -> None:
        start.wait()
        for _ in range(10):
            with torch.no_grad():
                seen = run(module, (inputs[which],), {}, stream.keys(), (), found.volatile)
            if not all(torch.equal(seen.at(p.site), alone[which].at(p.site)) for p in stream.points):
                faults.append(f"thread {which} saw another's values")

    def unwatched() -> None:
        start.wait()
        for _ in range(10):
            if not torch.equal(logits(plain(module, inputs[0], {})), logits(alone[0].result)):
                faults.append("a plain pass was changed")

    def failing() -> None:
        start.wait()
        for _ in range(10):
            try:
                run(module, (inputs[0],), {}, (), [Patch(stream.points[2].site, lambda old: old[:, :1] @ old)])
            except RuntimeError:
                continue
            faults.append("an error was lost")

    threads = [threading.Thread(target=watched, args=(i,)) for i in (0, 1)] + [
        threading.Thread(target=unwatched),
        threading.Thread(target=failing),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert same(state(module), before)


def test_two_threads_with_edits_of_their_own():
    (module, args, kwargs), found = charted("tabular_linear")
    site = found.main.points[1].site

    def edited(by: float) -> Tensor:
        return run(module, args, kwargs, (), [Patch(site, lambda old: old + by)]).result.detach()

    alone, seen = [edited(float(i)) for i in range(4)], [[] for _ in range(4)]
    threads = [threading.Thread(target=lambda i=i: seen[i].extend(edited(float(i)) for _ in range(25))) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(s) == 25 and all(torch.equal(r, alone[i]) for r in s) for i, s in enumerate(seen))


def test_a_run_inside_an_edit_of_another_run():
    (module, args, kwargs), found = charted("tabular_linear")
    inner_module, inner_args, inner_kwargs = ZOO["tabular"]()
    inner_site = charted("tabular")[1].main.points[1].site
    expected = run(inner_module, inner_args, inner_kwargs, {inner_site.key}).at(inner_site)
    inside: list[Tensor] = []

    def change(old: Tensor) -> Tensor:
        inside.append(run(inner_module, inner_args, inner_kwargs, {inner_site.key}).at(inner_site))
        return old

    points = found.main.points
    seen = run(module, args, kwargs, {p.site.key for p in points}, [Patch(points[1].site, change)])
    usual = run(module, args, kwargs, {p.site.key for p in points})
    assert torch.equal(inside[0], expected)
    assert all(torch.equal(seen.at(p.site), usual.at(p.site)) for p in points)


def test_a_call_that_does_not_happen_is_an_error_with_the_fix():
    (module, args, kwargs), _ = charted("tabular")
    key = ("blocks.7", 0, "add", 0)
    with pytest.raises(MapError, match=r"1 mapped calls did not happen, the first is blocks.7/add. Map it again"):
        run(module, args, kwargs, {key})
    with pytest.raises(MapError, match=r"blocks\.7/add"):
        run(module, args, kwargs, (), [Patch(Site(key, "out"), lambda old: old)])


def test_modules_and_tensors_are_let_go():
    module, args, kwargs = ZOO["tabular_linear"]()
    found = find(module, *args, **kwargs)
    run(module, args, kwargs, found.main.keys())
    names, gone = len(_names), weakref.ref(module)
    gc.collect()
    alive = sum(issubclass(type(o), Tensor) for o in gc.get_objects())
    for _ in range(30):
        run(module, args, kwargs, found.main.keys(), [Patch(found.main.points[1].site, lambda old: old * 2)])
    gc.collect()
    assert sum(issubclass(type(o), Tensor) for o in gc.get_objects()) <= alive
    assert len(_names) == names
    del module
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("name", ["gpt2", "resnet"])
@pytest.mark.parametrize("by", ["run", "take"])
def test_what_was_captured_goes_with_its_result_and_waits_for_no_collector(name, by):
    module, args, kwargs = ZOO[name]()
    found = find(module, *args, **kwargs)
    gc.collect()
    gc.disable()
    try:
        seen = run(module, args, kwargs, found.main.keys()) if by == "run" else take(module, found, args, kwargs).seen
        gone = weakref.ref(seen.at(found.main.points[1].site))
        assert gone() is not None
        del seen
        assert gone() is None
    finally:
        gc.enable()


# Edits, each against what the module gives when it is changed by hand.


def zeroed(module: nn.Module, *names: str) -> nn.Module:
    """The module with parameters set to zero. Parameters: `module`, `names`."""
    with torch.no_grad():
        for name in names:
            module.get_parameter(name).zero_()
    return module


WRITERS = {
    "tabular": lambda i: (f"blocks.{i}.down.weight", f"blocks.{i}.down.bias"),
    "cifar": lambda i: (f"layer{i // 3 + 1}.{i % 3}.bn2.weight", f"layer{i // 3 + 1}.{i % 3}.bn2.bias"),
    "resnet_inplace": lambda i: (f"stages.{i}.bn3.weight", f"stages.{i}.bn3.bias"),
    "resnet": lambda i: tuple(
        f"resnet.encoder.stages.{i // 2}.layers.{i % 2}.layer.2.normalization.{p}" for p in ("weight", "bias")
    ),
    "gpt2": lambda i: tuple(f"transformer.h.{i // 2}.{('attn', 'mlp')[i % 2]}.c_proj.{p}" for p in ("weight", "bias")),
    "falcon": lambda i: (f"transformer.h.{i // 2}." + ("self_attention.dense", "mlp.dense_4h_to_h")[i % 2] + ".weight",),
    "bloom": lambda i: tuple(
        f"transformer.h.{i // 2}." + ("self_attention.dense", "mlp.dense_4h_to_h")[i % 2] + f".{p}" for p in ("weight", "bias")
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_write_set_to_zero_is_a_writer_set_to_zero(name):
    """In-place additions, two-step sums and additions inside a module included."""
    (module, args, kwargs), found = charted(name)
    for i, write in enumerate(found.main.writes):
        with torch.no_grad():
            edited = run(module, args, kwargs, (), [Patch(write.site, torch.zeros_like)]).result
            by_hand = zeroed(ZOO[name]()[0], *WRITERS[name](i))(*args, **kwargs)
        torch.testing.assert_close(logits(edited), logits(by_hand), rtol=1e-5, atol=1e-6)
        assert not torch.allclose(logits(edited), logits(module(*args, **kwargs)), atol=1e-4)


@pytest.mark.parametrize("name", ["tabular", "resnet_inplace", "cifar"])
def test_a_point_put_in_is_what_the_rest_of_the_module_goes_on_with(name):
    (module, args, kwargs), found = charted(name)
    for t in range(1, len(found.main.points)):
        point = found.main.points[t]
        value = torch.randn(point.shape, generator=torch.Generator().manual_seed(t))
        with torch.no_grad():
            edited = run(module, args, kwargs, (), [Patch(point.site, lambda old, value=value: value)]).result
            torch.testing.assert_close(edited, rest(name, module, t, value), rtol=1e-5, atol=1e-6)


def rest(name: str, module: nn.Module, t: int, x: Tensor) -> Tensor:
    """What comes of a value at point t, by the module's own parts."""
    if name == "tabular":
        return module.head(module.norm(nn.Sequential(*module.blocks[t:])(x)))
    if name == "resnet_inplace":
        return module.head(module.pool(module.stages[t:](x.relu())).flatten(1))
    blocks = nn.Sequential(*module.layer1, *module.layer2, *module.layer3)
    return module.linear(blocks[t:](x.relu()).mean((2, 3)))


class Spelled(nn.Module):
    """Operands by keyword, in a list, results in a tuple, sums in place and with a factor."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4, generator=torch.Generator().manual_seed(3)))

    def forward(self, x: Tensor) -> Tensor:
        left, right = (x @ self.weight).chunk(2, -1)
        y = torch.add(x, other=torch.cat([right, left], -1), alpha=2)
        y.add_(torch.tanh(y))  # the result is thrown away: an edit of it has to be written into y
        return F.relu(y, inplace=True)


def by_hand(x: Tensor, weight: Tensor, where: str, f: Callable[[Tensor], Tensor]) -> Tensor:
    """What `Spelled` computes with `f` applied at one place."""

    def at(name: str, value: Tensor) -> Tensor:
        return f(value) if name == where else value

    left, right = (x @ weight).chunk(2, -1)
    left, right = at("left", left), at("right", right)
    joined = at("joined", torch.cat([at("listed", right), left], -1))
    y = at("sum", x + 2 * at("keyword", joined))
    second = at("second", torch.tanh(y))
    y = at("total", at("first", y) + second)
    return at("relu", at("before", y).relu())


PLACES = {
    "left": Site(("", 0, "chunk", 0), "out", (0,)),
    "right": Site(("", 0, "chunk", 0), "out", (1,)),
    "listed": Site(("", 0, "cat", 0), "arg", (0, 0)),
    "joined": Site(("", 0, "cat", 0), "out", ()),
    "keyword": Site(("", 0, "add", 0), "arg", ("other",)),
    "sum": Site(("", 0, "add", 0), "out", ()),
    "first": Site(("", 0, "add_", 0), "arg", (0,)),
    "second": Site(("", 0, "add_", 0), "arg", (1,)),
    "total": Site(("", 0, "add_", 0), "out", ()),
    "before": Site(("", 0, "relu", 0), "arg", (0,)),
    "relu": Site(("", 0, "relu", 0), "out", ()),
}


@pytest.mark.parametrize("place", PLACES)
def test_an_edit_at_every_kind_of_place(place):
    module, x = Spelled().double(), rows(5, 4).double()

    def change(old: Tensor) -> Tensor:
        return old * 1.5 - 0.1

    edited = run(module, (x,), {}, {PLACES[place].key}, [Patch(PLACES[place], change)])
    torch.testing.assert_close(edited.result, by_hand(x, module.weight, place, change), rtol=1e-12, atol=1e-12)
    plain_run = run(module, (x,), {}, {PLACES[place].key})
    torch.testing.assert_close(plain_run.result, by_hand(x, module.weight, "", change), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("place", PLACES)
def test_gradients_flow_through_an_edit(place):
    """Finite differences, with an edit whose own gradient needs the value that was there."""
    module, x = Spelled().double(), rows(5, 4).double()
    site = PLACES[place]
    sizes = run(module, (x,), {}, {site.key}).at(site).shape

    def output(a: Tensor, b: Tensor) -> Tensor:
        return run(module, (x,), {}, (), [Patch(site, lambda old: old * a + old.square() * b)]).result

    a, b = (torch.randn(sizes[-1:], dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    assert torch.autograd.gradcheck(output, (a.requires_grad_(), b.requires_grad_()))
    output(a, b).sum().backward()
    assert module.weight.grad is not None


@pytest.mark.parametrize(
    ("name", "label"), [("tabular_linear", "L1.mlp"), ("resnet_inplace", "L1.conv"), ("falcon", "L0.attn"), ("gpt2", "L1.attn")]
)
def test_gradients_flow_through_an_edit_of_a_write(name, label):
    module, args, kwargs = ZOO[name]()
    module = module.double()
    args = tuple(a.double() if a.is_floating_point() else a for a in args)
    (write,) = [w for w in charted(name)[1].main.writes if w.label == label]

    def output(scale: Tensor, shift: Tensor) -> Tensor:
        edit = Patch(write.site, lambda old: old * scale + shift)
        return logits(run(module, args, kwargs, (), [edit]).result).square().mean()

    scale, shift = (
        torch.tensor(0.8, dtype=torch.float64, requires_grad=True),
        torch.tensor(0.1, dtype=torch.float64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(output, (scale, shift))


def test_patches_at_one_place_follow_one_another():
    module, x = Spelled().double(), rows(5, 4).double()
    site = PLACES["total"]
    edited = run(module, (x,), {}, (), [Patch(site, lambda old: old + 1), Patch(site, lambda old: old * 2)]).result
    torch.testing.assert_close(edited, by_hand(x, module.weight, "total", lambda y: (y + 1) * 2))


def test_what_is_overwritten_later_is_copied():
    """Without the copy the stream of an in-place network reads as what overwrote it: the test shows that it can tell."""
    (module, args, kwargs), found = charted("resnet_inplace")
    stream = found.main
    assert stream.points[1].site.key in found.volatile
    seen = run(module, args, kwargs, stream.keys(), (), found.volatile)
    careless = run(module, args, kwargs, stream.keys())
    graph_free = []
    handle = module.stages[0].bn3.register_forward_hook(lambda m, a, out: graph_free.append(out.clone()))
    run(module, args, kwargs)
    handle.remove()
    (write,) = stream.points[1].writes
    assert torch.equal(seen.at(write.site), graph_free[0])
    assert not torch.equal(careless.at(write.site), graph_free[0])
    assert bool((careless.at(stream.points[1].site) >= 0).all())
    assert not bool((seen.at(stream.points[1].site) >= 0).all())


def test_captured_tensors_have_gradients_where_asked():
    (module, args, kwargs), found = charted("tabular_linear")
    points = found.main.points
    seen = run(module, args, kwargs, found.main.keys())
    values = [seen.at(p.site) for p in points]
    grads = torch.autograd.grad(seen.result.sum(), values)
    assert all(bool((g != 0).any()) for g in grads)


def test_a_tensor_that_is_put_in_is_not_overwritten():
    """What another run had there is still that run's after a module has added to it in place."""
    (module, args, kwargs), found = charted("resnet_inplace")
    other = run(module, (args[0].flip(0),), kwargs, found.main.keys(), (), found.volatile)
    for point in found.main.points[1:]:
        for site in (point.site, point.stream, point.writes[0].site):
            value = other.at(site)
            before = value.clone()
            run(module, args, kwargs, (), [Patch(site, lambda old, value=value: value)])
            assert torch.equal(value, before)


class MaskedByVmap(nn.Module):
    """Attention under a mask that a vectorised function of two positions makes, as transformers 4.57 makes its masks."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.out = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 20)

    def forward(self, ids: Tensor) -> Tensor:
        x, places = self.embed(ids), torch.arange(ids.shape[1])
        allowed = torch.vmap(torch.vmap(lambda i, j: (j <= i) & j.new_ones((), dtype=torch.bool), (None, 0)), (0, None))
        x = x + F.scaled_dot_product_attention(x, x, self.mix(x), attn_mask=allowed(places, places))
        return self.out(x + self.mix(x).tanh())


def test_a_function_that_the_module_vectorises_is_one_step():
    found = find(MaskedByVmap().eval(), ids(vocab=20))
    assert found.proof.closed and found.proof.uncovered == ()
    assert [w.kind for w in found.main.writes] == ["attn", "mlp"]
