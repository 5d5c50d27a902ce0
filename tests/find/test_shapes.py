"""How blocks are told, and where a stream ends, on modules of unusual build."""

import pytest
import torch
from torch import Tensor, nn

import nets
from mainstem.core import show
from mainstem.find import StreamMap, find, run
from zoo import ZOO, ids, rows


def labels(found: StreamMap) -> list[str]:
    """Labels of the main stream's writes. Parameters: `found`."""
    return [w.label for w in found.main.writes]


class Pair(nn.Module):
    """Two additions in one block, of another class than `TabularBlock`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.first(x.relu())
        return x + self.second(x.relu())


class Alternating(nn.Module):
    """Blocks of two classes in turn, behind an addition of its own."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.lone, self.head = nn.Linear(width, width), nn.Linear(width, 2)
        kinds = (nets.TabularBlock, Pair, nets.TabularBlock, Pair)
        self.blocks = nn.ModuleList(kind(width) for kind in kinds)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.lone(x.tanh())
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def test_blocks_of_two_classes_and_an_addition_by_itself():
    found = find(Alternating().eval(), rows(6, 8))
    assert labels(found) == ["L0.mlp", "L1.mlp", "L2.mlp", "L2.mlp2", "L3.mlp", "L4.mlp", "L4.mlp2"]
    assert found.main.blocks == ("", "blocks.0", "blocks.1", "blocks.2", "blocks.3")
    assert [p.name for p in found.main.points[2:5]] == ["L1.resid_post", "L2.resid_mid", "L2.resid_post"]


def test_the_smallest_module_that_tiles_is_the_block():
    wrapped = nn.Sequential(*(nn.Sequential(nets.TabularBlock(8)) for _ in range(3)), nn.Linear(8, 2))
    found = find(wrapped.eval(), rows(6, 8))
    assert found.main.block_kind == "TabularBlock"
    assert found.main.blocks == ("0.0", "1.0", "2.0")


class Ending(nets.Tabular):
    """A residual network that returns something else than logits."""

    def __init__(self, end: str) -> None:
        super().__init__(8)
        self.end = end

    def forward(self, x: Tensor) -> object:
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        ends = {
            "stream": x,
            "view": x.unsqueeze(0),
            "class": self.norm(x).argmax(-1),
            "loss": logits.square().mean(),
            "loss first": (logits.square().mean(), logits),
            "dictionary": {"deep": [{"logits": logits}]},
            "object": Result(logits),
        }
        return ends[self.end]


class Result:
    """What some modules return: an object with tensors as its attributes."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


ENDS = {
    "stream": "blocks.2/add",
    "view": "(root)/unsqueeze",
    "class": "norm@1/layer_norm",
    "loss": "head/linear",
    "loss first": "head/linear",
    "dictionary": "head/linear",
    "object": "head/linear",
}


@pytest.mark.parametrize("end", ENDS)
def test_whatever_a_module_returns_the_stream_ends_there(end):
    module, x = Ending(end).eval(), rows(6, 8)
    found = find(module, x)
    assert labels(found) == ["L0.mlp", "L1.mlp", "L2.mlp"]
    assert found.proof.closed
    assert show(found.main.output.key) == ENDS[end]
    with torch.no_grad():
        seen = run(module, (x,), {}, found.main.keys(), (), found.volatile)
        by_hand = nn.Sequential(*module.blocks)(x)
    torch.testing.assert_close(seen.at(found.main.points[-1].site), by_hand)


class OnlyLogits(nn.Module):
    """An encoder and a decoder whose encoder's end is not among what is returned."""

    def __init__(self) -> None:
        super().__init__()
        self.model = ZOO["t5"]()[0]

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.model(input_ids=source, decoder_input_ids=target).logits


def test_an_encoder_whose_end_is_not_returned():
    found = find(OnlyLogits().eval(), ids(), ids(length=5))
    assert [s.name for s in found.streams] == ["dec", "enc"]
    assert found.proof.bypass == ("model.encoder.block.1.layer.1/add",)
    assert found.proof.closed


class Subtracting(nn.Module):
    """x - f(x), f(x) - x, and sums with a factor: the signs and factors of what is added."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d = self.layers
        x = x - a(x.relu())
        x = torch.add(x, b(x.relu()), alpha=0.5)
        x = torch.sub(x, c(x.relu()), alpha=2)
        x = torch.rsub(x, d(x.relu()))
        return self.head(x)


def test_signs_and_factors():
    found = find(Subtracting().eval(), rows(6, 8))
    assert [w.factor for w in found.main.writes] == [-1.0, 0.5, -2.0, 1.0]
    assert [p.factor for p in found.main.points[1:]] == [1.0, 1.0, 1.0, -1.0]
    assert found.proof.closed


class TwoSteps(nn.Module):
    """The writes are added up before they are added to the stream."""

    def __init__(self, peek: bool, width: int = 8) -> None:
        super().__init__()
        self.left = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.right = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.head, self.peek = nn.Linear(width, 2), peek

    def forward(self, x: Tensor) -> Tensor:
        for left, right in zip(self.left, self.right, strict=True):
            both = left(x.relu()) + right(x.tanh())
            if self.peek:
                both.view(-1)
            x = x + both
        return self.head(x)


@pytest.mark.parametrize("peek", [False, True])
def test_a_sum_of_writes_is_two_writes_also_where_a_view_of_it_is_made_that_nobody_reads(peek):
    found = find(TwoSteps(peek).eval(), rows(6, 8))
    assert [len(p.writes) for p in found.main.points[1:]] == [2, 2]
    assert found.proof.closed


class Overwritten(nets.TabularBlock):
    """The sum is made anew and then overwritten by an activation in place."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu_()


def test_a_sum_that_an_activation_overwrites():
    module = nn.Sequential(*(Overwritten(8) for _ in range(4)), nn.Linear(8, 2)).eval()
    found = find(module, rows(6, 8))
    assert found.proof.closed
    assert all([step.key[2] for step in p.face.steps] == ["relu_"] for p in found.main.points[1:])
    assert not bool(
        (run(module, (rows(6, 8),), {}, found.main.keys(), (), found.volatile).at(found.main.points[2].site) >= 0).all()
    )
