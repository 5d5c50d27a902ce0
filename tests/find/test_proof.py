"""The proof can fail: maps that are wrong, chains that are not the stream, ways around it."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nets
from find._found import charted, mapped
from mainstem.algebra import Program, tensors
from mainstem.core import NoStreamError, NotClosedError
from mainstem.find import Point, StreamMap, Write, find
from mainstem.find._build import build, chosen
from mainstem.find._chain import chains
from mainstem.find._cut import crossings, is_recurrence, origin
from mainstem.find._lab import Lab, lab
from mainstem.find._prove import _largest, _response, examine
from mainstem.find._record import Graph, record
from mainstem.find._sums import residual, sums
from mainstem.find._swap import swap
from zoo import STREAMLESS, ZOO, rows

Change = Callable[[Point], Point]


@cache
def prepared(name: str) -> Lab:
    """A model of the zoo as the proofs get it."""
    module, args, kwargs = {**ZOO, **STREAMLESS}[name]()
    graph = record(module, args, kwargs)
    return lab(module, chosen(graph), graph, args, kwargs)


def changed(ready: Lab, at: int, change: Change, stream: int = 0) -> Lab:
    """The laboratory with one point of its map changed. Parameters: `ready`, `at`, `change`, `stream`."""
    streams = list(ready.map.streams)
    points = list(streams[stream].points)
    points[at] = change(points[at])
    streams[stream] = replace(streams[stream], points=tuple(points))
    return replace(ready, map=replace(ready.map, streams=tuple(streams)))


MODELS = ["gpt2", "bert", "granite", "t5", "cifar", "tabular", "entry_again"]


@pytest.mark.parametrize("name", MODELS)
def test_a_right_map_passes(name):
    assert examine(prepared(name)).closed


@pytest.mark.parametrize("name", MODELS)
def test_a_dropped_write_is_noticed(name):
    ready = prepared(name)
    for s, stream in enumerate(ready.map.streams):
        for t, point in enumerate(stream.points):
            for i in range(len(point.writes) if t or len(point.writes) > 1 else 0):
                wrong = changed(ready, t, lambda p, i=i: replace(p, writes=p.writes[:i] + p.writes[i + 1 :]), s)
                with pytest.raises(NotClosedError, match="closure"):
                    examine(wrong)


def of_writes(change: Callable[[Write], Write]) -> Change:
    """A change of a point's first write."""
    return lambda p: replace(p, writes=(change(p.writes[0]), *p.writes[1:]))


WRONG: dict[str, tuple[Change, str]] = {
    "a write's sign": (of_writes(lambda w: replace(w, factor=-w.factor)), "closure"),
    "a write's factor": (of_writes(lambda w: replace(w, factor=w.factor * (1 + 1e-9))), "closure"),
    "a write twice": (lambda p: replace(p, writes=(*p.writes, p.writes[0])), "closure"),
    "a write for the stream": (of_writes(lambda w: replace(w, site=w.site._replace(path=(1 - w.site.path[0],)))), "closure"),
    "the stream's factor": (lambda p: replace(p, factor=p.factor * 0.5), "closure"),
}


@pytest.mark.parametrize("fault", WRONG)
@pytest.mark.parametrize("name", ["gpt2", "cifar"])
def test_a_wrong_addition_is_noticed(name, fault):
    change, says = WRONG[fault]
    ready = prepared(name)
    for t in (1, len(ready.map.main.points) - 1):
        with pytest.raises(NotClosedError, match=says):
            examine(changed(ready, t, change))


@pytest.mark.parametrize(
    ("name", "at", "part"), [("bert", 1, "face"), ("bert", 3, "onward"), ("cifar", 3, "onward"), ("resnet", 0, "face")]
)
def test_a_transport_left_out_is_noticed(name, at, part):
    ready = prepared(name)
    point = ready.map.main.points[at]
    if not getattr(point, part).steps:
        part = "face" if part == "onward" else "onward"
    with pytest.raises((NotClosedError, RuntimeError), match=r"closure|continuity|size of tensor"):
        examine(changed(ready, at, lambda p: replace(p, **{part: Program()})))


@pytest.mark.parametrize("name", ["gpt2", "bert", "tabular"])
def test_a_readout_that_stops_early_is_noticed(name):
    ready = prepared(name)
    last = ready.map.main.points[-1]
    short = Program(last.onward.steps[:-1], ()) if len(last.onward.steps) > 1 else Program()
    with pytest.raises((NotClosedError, RuntimeError), match=r"continuity|size of tensor"):
        examine(changed(ready, -1, lambda p: replace(p, onward=short)))


def test_swapping_a_write_for_a_point_fails_the_cut():
    """A write of another input in place of this one's does not make what follows the other's."""
    ready = prepared("tabular")
    point = ready.map.main.points[2]
    aside = changed(ready, 2, lambda p: replace(p, site=point.writes[0].site)).map.main
    n = len(ready.map.main.points)
    for pattern in ([int(t >= 2) for t in range(n)], [t % 2 for t in range(n)], [1] * n):
        assert max(swap(ready, ready.map.main, ready.chains[0], [], pattern)) < 1e-14
    with pytest.raises(NotClosedError, match="cut: with L1.resid_post"):
        swap(ready, aside, ready.chains[0], [], [int(t >= 2) for t in range(n)])


class Detour(nn.Module):
    """The stream's value leaves torch and comes back by another way: what is read off the graph is not all that flows."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.head = nets.Tabular(8), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.net.blocks[0](x)
        secret = torch.tensor((x * 3.0).tolist(), dtype=x.dtype)
        for block in self.net.blocks[1:]:
            hidden = block(hidden) + 0.1 * block.down(F.relu(block.up(secret)))
        return self.head(hidden)


def test_what_flows_around_torch_fails_the_cut():
    with pytest.raises(NotClosedError, match=r"cut: with L\d.resid_post .* replaced by another input's"):
        find(Detour().eval(), rows(6, 8))


def test_a_planted_bypass_is_listed():
    assert mapped("bypass")[1].proof.bypass == ("input 0",)
    assert mapped("tabular_linear")[1].proof.bypass == ()


def test_a_bypass_is_named_by_where_it_comes_from():
    """Two inputs, one of which only gates the writes."""

    class Gated(nets.Tabular):
        def forward(self, x: Tensor, gate: Tensor) -> Tensor:
            for block in self.blocks:
                x = x + block.down(F.relu(block.up(block.norm(x)))) * gate
            return self.head(self.norm(x))

    found = find(Gated().eval(), rows(6, 16), gate=rows(6, 1))
    assert found.proof.bypass == ("input gate",)


def test_a_planted_second_path_is_uncovered():
    proof = mapped("second_path")[1].proof
    assert proof.uncovered == ("beside.bias", "beside.weight", "gain.bias", "gain.weight")
    assert proof.bypass == ("input 0",)


def every_chain(graph: Graph) -> list:
    """All chains of additions, the stream's and others."""
    candidates = sums(graph)
    return chains(graph, residual(graph, candidates), candidates)


def test_a_states_chain_closes_but_is_not_the_stream():
    """The recurrence's state is a chain of additions like any other, longer than the stream; the cut tells them apart."""
    module, args, kwargs = ZOO["recurrent"]()
    graph = record(module, args, kwargs)
    (stream,), longest = chosen(graph), max(len(c.sums) for c in every_chain(graph))
    states = [c for c in every_chain(graph) if len(c.sums) == longest]
    assert [len(c.sums) for c in (stream, *states)] == [2, 11, 11]
    assert [is_recurrence(graph, c) for c in (stream, *states)] == [False, True, True]
    found = build("Recurrent", graph, states[:1])
    output = next(n for _, n in graph.outputs)
    ways_around = {origin(graph, c.operand, ()) for c in crossings(graph, states[0], output)}
    assert ways_around, "something must pass a state by"
    assert not crossings(graph, stream, output)
    assert len(found.main.points) == 12


def test_the_streams_cut_holds_and_the_states_does_not():
    """By hand, with hooks: another input's value at a point of the stream decides the output, a recurrence's state does not."""
    module, (first,), _ = ZOO["recurrent"]()
    second = (first + 1) % 20

    def swapped(target: nn.Module, call: int) -> tuple[Tensor, Tensor]:
        values, calls = [], [0]

        def keep(m, a, out):
            values.append(out.clone())

        def put(m, a, out):
            calls[0] += 1
            return values[call] if calls[0] == call + 1 else out

        with torch.no_grad():
            handle = target.register_forward_hook(keep)
            wanted = module(second)
            handle.remove()
            handle = target.register_forward_hook(put)
            got = module(first)
            handle.remove()
        return got, wanted

    assert torch.allclose(*swapped(module.blocks[0], 0), atol=1e-6)
    assert not torch.allclose(*swapped(module.blocks[0].cell.hold, 5), atol=1e-2)


def test_activations_position_signals_and_gates_make_no_stream():
    """Additions that close but whose terms are not made of each other by weights."""

    class Rotated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.gate, self.down = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            h = self.up(x) + torch.linspace(0, 1, 8)
            h = h * 0.8 + h.flip(-1) * 0.6
            h = h + 0.044715 * h**3
            return self.down(h * torch.sigmoid(self.gate(x)))

    with pytest.raises(NoStreamError):
        find(Rotated().eval(), rows(6, 8))


def test_of_two_chains_the_one_that_most_weights_write_to_is_the_stream():
    """A short residual network inside the head of a longer one is a stream of its own at most, never the main one."""

    class Headed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.tail = nets.Tabular(16, 4), nn.ModuleList(nets.TabularBlock(6) for _ in range(5))
            self.join, self.out = nn.Linear(1, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            h = self.join(self.body(x))
            for block in self.tail[:2]:
                h = block(h)
            return self.out(h)

    found = find(Headed().eval(), rows(6, 16))
    assert [p.site.key[0] for p in found.main.points[1:]] == [f"body.blocks.{i}" for i in range(4)]


@pytest.mark.parametrize("name", ["gpt2", "bert", "cifar"])
def test_a_wrong_response_is_noticed(name):
    """Later writes that are not pinned answer to the one that was removed: the end changes by more than was carried."""
    ready = prepared(name)
    stream = ready.map.main
    assert _response(ready, stream) < 1e-14
    live = [p if t <= len(stream.points) // 2 else replace(p, writes=()) for t, p in enumerate(stream.points)]
    with pytest.raises(
        NotClosedError, match=f"response: removing {stream.points[len(live) // 2].writes[0].label} changes the end"
    ):
        _response(ready, replace(stream, points=tuple(live)))


def test_the_proofs_two_inputs_differ():
    for name in ("gpt2", "t5", "vit", "tabular"):
        ready = prepared(name)
        assert not torch.equal(*(r.at(ready.map.main.points[0].site) for r in ready.runs))


def test_what_is_no_number_is_the_largest():
    nan = float("nan")
    assert _largest([1.0, 3.0, 2.0]) == 3.0
    assert _largest([]) == 0.0
    for values in ([nan, 1.0], [1.0, nan], [1.0, nan, 2.0]):
        assert _largest(values) != _largest(values)


@pytest.mark.parametrize("name", ["gpt2", "bert", "cifar", "resnet_inplace"])
def test_the_map_that_is_handed_out_is_the_one_that_was_proved(name):
    """In float32 the map of the module and the one made in the laboratory are the same plain data."""
    ready, found = prepared(name), charted(name)[1]
    assert isinstance(ready.map, StreamMap)
    assert ready.map.streams == found.streams


def test_what_a_traceback_prints_is_short():
    """A graph in full would be printed by way of every path through it, which takes for ever."""
    module, args, kwargs = ZOO["gpt2"]()
    graph = record(module, args, kwargs)
    (chain,) = chosen(graph)
    assert repr(graph) == f"Graph({len(graph.nodes)} nodes)"
    assert repr(graph.nodes[-1]).startswith(f"Node({len(graph.nodes) - 1}, linear, (2, 7, 50)")
    assert len(repr(chain)) < 20_000


@pytest.mark.parametrize("name", ["llama", "gemma2", "mixtral", "t5"])
def test_a_proof_in_float64_computes_in_nothing_less(name):
    """Norms and softmax that cast to float32 inside are raised with the rest, call by call."""
    ready = prepared(name)
    keys = {n.key for n in ready.graph.nodes if n.key and n.floating}
    seen = ready.run(0, keys)
    precisions = {t.dtype for call in seen.calls.values() for _, t in tensors((call.args, call.out)) if t.is_floating_point()}
    assert precisions == {torch.float64}
