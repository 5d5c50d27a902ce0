"""mainstem itself, through its public calls."""

from torch import Tensor, nn

import mainstem as ms

from ._rows import TOKEN, Way, Ways


def ways(module: nn.Module, ids: Tensor) -> Ways:
    """Parameters: `module`, any; `ids`."""
    model = ms.load(module)
    model.trace(ids[:1, :8])  # mapped here, so that no row pays for it

    def ready() -> ms.Trace:
        return model.trace(ids)

    def scores(trace: ms.Trace, level: str, positions: int | str) -> object:
        return trace.scores(TOKEN, level=level, positions=positions), trace

    return {
        "points": Way(lambda _: model.trace(ids)),
        "writes": Way(lambda _: model.trace(ids)),
        "last": Way(lambda _: model.trace(ids, positions=-1)),
        "default": Way(lambda _: model.trace(ids)),
        "lens": Way(lambda _: model.trace(ids, positions=-1).lens()),
        "ready": Way(lambda _: ready()),
        "heads": Way(lambda trace: scores(trace, "head", "all"), ready),
        "one": Way(lambda trace: scores(trace, "neuron", -1), ready),
        "neurons": Way(lambda trace: scores(trace, "neuron", "all"), ready),
        "find": Way(lambda _: ms.find(module, ids)),
    }
