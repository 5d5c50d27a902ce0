"""mainstem itself, through its public calls."""

from torch import Tensor, nn

import mainstem as ms

from ._rows import TOKEN, Way, Ways


def ways(module: nn.Module, ids: Tensor) -> Ways:
    """Parameters: `module`, any; `ids`."""
    model = ms.load(module)
    model.trace(ids[:1, :8])  # mapped here, so that no row pays for it

    def ready(positions: int | str = "all", levels: tuple[str, ...] = ("head", "neuron")) -> ms.Trace:
        return model.trace(ids, positions=positions, levels=levels)

    def scores(trace: ms.Trace, level: str) -> object:
        return trace.scores(TOKEN, level=level), trace

    found = {
        "points": Way(lambda _: model.trace(ids)),
        "writes": Way(lambda _: model.trace(ids)),
        "last": Way(lambda _: model.trace(ids, positions=-1)),
        "default": Way(lambda _: model.trace(ids)),
        "lens": Way(lambda _: model.trace(ids, positions=-1).lens()),
        "ready": Way(lambda _: ready()),
        "heads": Way(lambda trace: scores(trace, "head"), lambda: ready(levels=("head",))),
        "one": Way(lambda trace: scores(trace, "neuron"), lambda: ready(positions=-1)),
        "neurons": Way(lambda trace: scores(trace, "neuron"), ready),
    }
    return found | ({"find": Way(lambda _: ms.find(module, ids))} if ids.numel() <= 64 else {})  # once a model, on a short input
