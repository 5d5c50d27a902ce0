"""A model of a few lines, two measures of a few lines, and texts: what a scan is tested with."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mainstem.measure import Measure, Pair, State
from mainstem.scan import Batch, Batching, Job, Merged, Summary, merge, scan, source, survey

WORDS = "the river runs down to the sea and all its waters meet where no boat was ever seen".split()
WIDTH = 5


def texts(count: int, seed: int = 0) -> list[str]:
    """Texts of 1 to 12 words, some of them equal."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 13, (count,), generator=draw).tolist()
    return [" ".join(WORDS[i] for i in torch.randint(len(WORDS), (n,), generator=draw).tolist()) for n in lengths]


def tokenize(text: str) -> list[list[int]]:
    """Words as ids, at most eight to a window."""
    ids = [WORDS.index(word) for word in text.split()]
    return [ids[i : i + 8] for i in range(0, len(ids), 8)]


def embed(ids: Tensor) -> Tensor:
    """[batch, pos] to [batch, pos, 5], every token its own and none zero."""
    return torch.sin(ids[..., None] * torch.arange(1.0, WIDTH + 1, dtype=torch.float64) + 0.5)


def run(batch: Batch) -> Iterator[Any]:
    """Two sites: words, and words after one more step. Pads are said to count: the scan must know better."""
    assert batch.ids is not None
    x = embed(batch.ids)
    yield "entry", x, torch.ones_like(batch.mask)
    yield "L0", x * x.sum(-1, keepdim=True), batch.mask


def load() -> Any:
    """What a batch is run by."""
    return run


@dataclass(frozen=True)
class Moment(Measure):
    """The mean of a power of each feature, and the sum of all tokens' indices. Parameters: `power`."""

    name = "moment"
    about = "A moment."
    power: int = 2

    def empty(self, width: int, device: Any) -> State:
        zero = torch.zeros(width + 1, dtype=torch.float64, device=device)
        return {"sum": zero[1:], "n": zero[0], "ids": torch.zeros((), dtype=torch.int64, device=device)}

    def of(self, piece: Any) -> State:
        return {"sum": (piece.x**self.power).sum(0), "n": piece.weight.sum(), "ids": (piece.ids * piece.counted).sum()}

    def joined(self, one: State, other: State) -> State:
        return {name: one[name] + other[name] for name in ("sum", "n", "ids")}

    def numbers(self, state: State) -> dict[str, Tensor]:
        return {"mean": state["sum"] / state["n"], "ids": state["ids"]}


@dataclass(frozen=True)
class Dot(Pair):
    """The mean product of two sites."""

    name = "dot"
    about = "A product."
    sites = ("all",)

    def empty(self, width_x: int, width_y: int, device: Any) -> State:
        return dict(zip(("sum", "n"), torch.zeros(2, dtype=torch.float64, device=device), strict=True))

    def of(self, one: Any, other: Any) -> State:
        return {"sum": (one.x * other.x).sum(), "n": one.weight.sum()}

    def joined(self, one: State, other: State) -> State:
        return {name: one[name] + other[name] for name in ("sum", "n")}

    def numbers(self, state: State) -> dict[str, Tensor]:
        return {"mean": state["sum"] / state["n"]}


MEASURES = (Moment(), Moment(power=3))
PAIRS = ((Dot(), (("entry", "L0"),)),)


def job(batch_tokens: int = 40, pack: int | None = None, **more: Any) -> Job:
    """The work: two measures and a pair over two sites."""
    batching = Batching(batch_tokens, tokenize, pack)
    given = {"batching": batching, "load": load, "measures": MEASURES, "pairs": PAIRS, "model": {"weights": "abc"}}
    return Job(**(given | more))


def scanned(out: Path, data: Any, work: Job | None = None, piece: int = 300, **more: Any) -> Summary:
    """A scan of data in pieces of about ten texts."""
    return scan(work or job(), survey(source(data), piece), out, **more)


def result(*folders: Path) -> Merged:
    """All pieces together."""
    return merge(folders, (*MEASURES, Dot()))


def same(one: Merged, other: Merged) -> bool:
    """Whether all states are the same bits, and the counts too."""
    assert one.states.keys() == other.states.keys() and one.states
    pairs = [(one.states[k][name], other.states[k][name]) for k in one.states for name in one.states[k]]
    return one.counts == other.counts and all(torch.equal(a, b) for a, b in pairs)


def until(path: Path, most: float = 60.0) -> None:
    """Waits for a file. Parameters: `path`; `most`, seconds."""
    end = time.monotonic() + most
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.01)
