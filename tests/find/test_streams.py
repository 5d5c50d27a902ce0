"""Which chains are one stream, what else is added to one, and what of a module is no hindrance to its proof."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mainstem as ms
import nets
from mainstem.core import InputError, NotClosedError
from mainstem.find import StreamMap, find
from mainstem.find._build import chosen
from mainstem.find._lab import lab
from mainstem.find._prove import examine
from mainstem.find._record import record
from zoo import rows


class Staged(nn.Module):
    """Two pairs of residual blocks, and something between them."""

    def __init__(self, between: str) -> None:
        super().__init__()
        self.first, self.second = (nn.ModuleList(nets.TabularBlock(8) for _ in range(2)) for _ in range(2))
        self.map, self.again, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.between = between

    def forward(self, given: Tensor) -> Tensor:
        x = given
        for block in self.first:
            x = block(x)
        end = x
        x = {
            "a linear map": lambda: self.map(x),
            "an activation, then a map": lambda: self.map(x.relu()),
            "a constant beside it": lambda: torch.cat([x, self.map.bias.expand(2, 8)]),
            "a map, then an activation": lambda: self.map(x).relu(),
            "two maps": lambda: self.again(self.map(x)),
            "a map that something goes around": lambda: self.map(x),
            "more of the input": lambda: torch.cat([self.map(x), self.again(given)]),
        }[self.between]()
        for block in self.second:
            x = block(x)
        return self.head(x if self.between != "a map that something goes around" else x * end.tanh())

    def found(self) -> StreamMap:
        return find(self.eval(), rows(6, 8))


@pytest.mark.parametrize("between", ["a linear map", "an activation, then a map", "a constant beside it"])
def test_chains_are_joined_where_one_linear_map_leads_from_end_to_beginning(between):
    found = Staged(between).found()
    assert [len(s.points) - 1 for s in found.streams] == [4]
    assert found.proof.closed
    assert found.main.points[2].face.steps or found.main.points[2].onward.steps


@pytest.mark.parametrize(
    "between", ["a map, then an activation", "two maps", "a map that something goes around", "more of the input"]
)
def test_and_are_streams_one_after_another_otherwise(between):
    found = Staged(between).found()
    assert [len(s.points) - 1 for s in found.streams] == [2, 2]
    assert [s.name for s in found.streams] == ["s0", "s1"]


class Beside(nn.Module):
    """x + f(x), and something else in the same sum."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.stem, self.side, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.fs = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.table, self.what = nn.Parameter(torch.randn(6, 8)), what

    def forward(self, given: Tensor) -> Tensor:
        first = x = self.stem(given)
        for f in self.fs:
            other = {
                "constant": lambda: self.table,
                "side": lambda: self.side(given),
                "skip": lambda: first,
                "mixing": lambda: F.layer_norm(x, (8,), self.table[0]).flip(0) * 0.5,
            }[self.what]()
            x = x + f(x.relu()) + other
        return self.head(x)


@pytest.mark.parametrize("what", ["constant", "side", "skip", "mixing"])
def test_what_else_is_added_has_a_kind_of_its_own(what):
    model, x = ms.load(Beside(what).eval()), rows(6, 8)
    found = model.verify(x)
    assert found.ok, str(found)
    assert [sorted(w.kind for w in p.writes) for p in found.map.main.points[1:]] == [sorted(["mlp", what])] * 2
    assert f"L1.{what}" in [w.label for w in found.map.main.writes]


class Copies(nn.Module):
    """Four copies of the stream on an axis of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.f, self.head = nn.Linear(8, 16), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        copies = x.unsqueeze(2).expand(-1, -1, 4, -1)
        for _ in range(2):
            matrix = self.mix(copies.mean(2)).reshape(*x.shape[:2], 4, 4).softmax(-1)
            copies = matrix @ copies + self.f(copies.sum(2).relu()).unsqueeze(2) * matrix[..., :1]
        return self.head(copies.sum(2))


def test_copies_that_are_blended_are_one_stream_as_wide_as_one_copy():
    found = find(Copies().eval(), torch.randn(2, 5, 8))
    assert [len(s.points) - 1 for s in found.streams] == [2]
    assert found.main.width == 8
    assert all(w.writer for w in found.main.writes)


def test_numbers_that_a_module_seeds_itself_are_the_same_in_every_pass():
    class Seeded(nets.Tabular):
        def forward(self, x: Tensor) -> Tensor:
            with torch.random.fork_rng():
                torch.manual_seed(3)
                return super().forward(x + torch.randn(x.shape[-1]))

    assert find(Seeded().eval(), rows(6, 16)).proof.closed


class Standardised(nn.Module):
    """Weights that are standardised by batch statistics of their own, or data that is."""

    def __init__(self, data: bool) -> None:
        super().__init__()
        self.fs, self.head, self.data = nn.ParameterList(torch.randn(8, 8) for _ in range(3)), nn.Linear(8, 2), data

    def forward(self, x: Tensor) -> Tensor:
        for w in self.fs:
            read = F.batch_norm(x, None, None, training=True) if self.data else x
            x = x + F.linear(read.relu(), F.batch_norm(w[None], None, None, training=True)[0])
        return self.head(x)


def test_batch_statistics_of_weights_are_no_hindrance():
    assert find(Standardised(False).eval(), rows(6, 8)).proof.closed
    with pytest.raises(InputError, match="batch statistics are live"):
        find(Standardised(True).eval(), rows(6, 8))


def test_a_module_that_takes_other_ids_amiss_is_proved_by_other_numbers():
    class Marked(nn.Module):
        """Where the id 3 stands, a row of the picture is put."""

        def __init__(self) -> None:
            super().__init__()
            self.embed, self.net = nn.Embedding(20, 16), nets.Tabular()

        def forward(self, ids: Tensor, picture: Tensor) -> Tensor:
            if int((ids == 3).sum()) != len(picture):
                raise ValueError("pictures and places for them do not match")
            x = self.embed(ids)
            return self.net(x.masked_scatter((ids == 3)[..., None], picture))

    ids = torch.tensor([[3, 5, 3, 3, 7, 7]])
    assert find(Marked().eval(), ids, torch.randn(3, 16)).proof.closed


def test_where_a_chain_stops_closing_is_said():
    module, x = nets.Tabular(8).eval(), rows(6, 8)
    graph = record(module, (x,), {})
    ready = lab(module, chosen(graph), graph, (x,), {})
    points = list(ready.map.main.points)
    points[2] = replace(points[2], writes=(replace(points[2].writes[0], factor=2.0),))
    wrong = replace(ready, map=replace(ready.map, streams=(replace(ready.map.main, points=tuple(points)),)))
    with pytest.raises(
        NotClosedError, match=r"closure: at L1\.resid_post \(blocks\.1/add\) .* up to L0\.resid_post the chain closes"
    ):
        examine(wrong)


def test_autocast_is_refused_also_where_the_map_is_there_already():
    model, x = ms.load(nets.Tabular(8).eval()), rows(6, 8)
    model.trace(x)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(InputError, match="autocast is on"):
        model.trace(x)
    found = model.trace(x).scores(0)
    assert found.error <= found.bound
