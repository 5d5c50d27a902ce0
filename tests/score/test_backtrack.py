"""Channels followed back: planted weights, and sums that close on real networks."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from mainstem.core import InputError
from mainstem.find import find
from mainstem.score import Backtrack, backtrack
from mainstem.stream import Pass, take


class Block(nn.Module):
    """x + f(x), rectified; with a projection where the width changes."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(into, 5, 3, padding=1, stride=out // into), nn.Conv2d(5, out, 3, padding=1)
        self.skip = nn.Conv2d(into, out, 1, stride=2, bias=False) if into != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.last(torch.relu(self.conv(x))) + self.skip(x))


class Net(nn.Module):
    def __init__(self, widths: tuple[int, ...] = (4, 4, 8, 8, 16)) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(Block(a, b) for a, b in pairwise(widths))
        self.head = nn.Linear(widths[-1], 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


def made(seed: int = 0) -> tuple[Net, Tensor]:
    torch.manual_seed(seed)
    return Net().double().eval(), torch.randn(1, 3, 16, 16, dtype=torch.float64)


def ran(net: Net, image: Tensor) -> Pass:
    return take(net, find(net, image), (image,), {})


def total(found: Backtrack) -> float:
    return float(sum(o.channels.sum() for o in found.origins))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("point", [0, 1, 2, 3, 4])
def test_the_parts_sum_to_the_peak(seed: int, point: int):
    run = ran(*made(seed))
    face = run.face(point)[0]
    for channel in range(0, face.shape[0], 3):
        found = backtrack(run, point, channel)
        assert found.value == float(face[channel].max())
        assert total(found) == pytest.approx(found.value, abs=1e-10)
        assert found.error <= found.bound
        assert float(face[(channel, *found.place)]) == found.value


def test_planted_weights_are_followed_back():
    """The last stage's shortcut makes channel 9 of channel 3 alone, and no branch writes to either."""
    net, image = made()
    with torch.no_grad():
        for block in net.blocks[2:]:
            block.last.weight.zero_(), block.last.bias.zero_()
        net.blocks[1].last.bias[3] = 50  # what channel 3 has from its own block
        net.blocks[3].skip.weight.zero_()
        net.blocks[3].skip.weight[9, 3] = 2
    run = ran(net, image)
    found = backtrack(run, 4, 9)
    writes = {o.label: o.channels for o in found.origins}
    assert float(writes["L1.conv"][3]) == pytest.approx(float(writes["L1.conv"].sum())) and float(writes["L1.conv"][3]) > 90
    assert not writes["L2.conv"].any() and not writes["L3.conv"].any()
    y, x = found.place
    assert found.value == pytest.approx(2 * float(run.face(3)[0, 3, 2 * y, 2 * x]))


def test_inside_a_stage_only_the_channel_itself_leads_on():
    found = backtrack(ran(*made()), 3, 5)
    writes = {o.label: o.channels for o in found.origins}
    assert writes["L2.conv"].nonzero().flatten().tolist() in ([5], [])
    assert writes["L1.conv"].nonzero().flatten().tolist() in ([5], [])
    assert (writes["L0.conv"] != 0).sum() > 1


@pytest.mark.parametrize("channel", [-1, 16])
def test_a_channel_that_is_not_there_is_refused(channel: int):
    with pytest.raises(InputError, match="there is no channel"):
        backtrack(ran(*made()), 4, channel)


def test_several_images_are_refused():
    net, image = made()
    with pytest.raises(InputError, match="one image at a time"):
        backtrack(ran(net, torch.cat([image, image])), 4, 0)
