"""Maps and runs of the zoo's models, made once for all tests of a process."""

from functools import cache

import torch
from torch import nn

from mainstem.find import Captured, StreamMap, find, run
from mainstem.find._build import build, chosen
from mainstem.find._record import record
from zoo import ZOO, Built


@cache
def mapped(name: str) -> tuple[Built, StreamMap, list]:
    """A model of the zoo, its map, found once, and what the module was before."""
    built = ZOO[name]()
    module, args, kwargs = built
    before = state(module)
    return built, find(module, *args, **kwargs), before


@cache
def seen(name: str) -> Captured:
    """One run of a model of the zoo with all that its streams need."""
    (module, args, kwargs), found, _ = mapped(name)
    with torch.no_grad():
        return run(module, args, kwargs, {key for s in found.streams for key in s.keys()}, (), found.volatile)


@cache
def charted(name: str) -> tuple[Built, StreamMap]:
    """A model of the zoo and its map, without the proof, which takes most of the time."""
    built = ZOO[name]()
    module, args, kwargs = built
    return built, unproved(module, *args, **kwargs)


def unproved(module: nn.Module, *args, **kwargs) -> StreamMap:
    """The map alone. Parameters: `module`, and its inputs."""
    graph = record(module, args, kwargs)
    return build(type(module).__name__, graph, chosen(graph))


def state(module: torch.nn.Module) -> list:
    """All that a module holds, tensors copied: of every module inside its attributes, hooks among them, and its mode."""
    held = [[name, t.detach().clone()] for name, t in [*module.named_parameters(), *module.named_buffers()]]
    kept = [
        [path, m.training, m.forward, str(vars(m).keys()), len(m._forward_hooks), len(m._forward_pre_hooks)]
        for path, m in module.named_modules()
    ]
    return [*held, *kept]


def same(a: list, b: list) -> bool:
    """Whether two states are bit for bit the same."""
    pairs = [pair for x, y in zip(a, b, strict=True) for pair in zip(x, y, strict=True)]
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs)
