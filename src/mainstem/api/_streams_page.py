"""What the map page asks: the streams of a model as a picture and as rows of numbers."""

import base64
from collections.abc import Callable
from typing import Any

from mainstem.find import Proof, Stream, bottleneck
from mainstem.stream import Pass
from mainstem.view import diagram

from ._cells import Asked
from ._model import Model


class MapAnswers:
    """Answers about the map. Parameters: `model`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._made: dict[str, Any] | None = None

    def answers(self) -> dict[str, Callable[[Asked, Any], Any]]:
        """Every kind of question with what answers it."""
        return {"map.open": self.opened}

    def opened(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """The picture, and for every stream its points with widths, writes and sizes. Parameters: `asked`, nothing; `turn`."""
        if self._made is None:
            turn.say("finding the streams")
            found = self.model.map
            turn.say("measuring them")
            run = self.model._traced(None).run
            svg = base64.b64encode(diagram(found).encode()).decode()
            streams = [_stream(s, run if s is run.stream else None) for s in found.streams]
            proof = _proof(found.proof) if found.proof else None
            self._made = {
                "module": found.module,
                "picture": f"data:image/svg+xml;base64,{svg}",
                "streams": streams,
                "proof": proof,
            }
        return self._made


def _stream(stream: Stream, run: Pass | None) -> dict[str, Any]:
    """One stream. Parameters: `stream`; `run`, of an example, None where it is not of this stream."""
    rows = []
    for t, point in enumerate(stream.points):
        sizes = {w.label: _size(run, run.write(w), t) for w in point.writes} if run else {}
        writes = [{"label": w.label, "kind": w.kind, "module": w.module, "size": sizes.get(w.label)} for w in point.writes]
        about = {"point": point.name, "block": point.block, "writes": writes}
        rows.append(
            about | {"width": _width(run, t) if run else stream.width, "size": _size(run, run.point(t), t) if run else None}
        )
    return {
        "name": stream.name,
        "width": stream.width,
        "classes": list(stream.classes),
        "bottleneck": bottleneck(stream),
        "rows": rows,
    }


def _width(run: Pass, t: int) -> int:
    value = run.point(t)
    return int(value.shape[1] if value.ndim > 3 else value.shape[-1])


def _size(run: Pass, value: Any, t: int) -> float:
    """The mean length of a vector over the places of the example. Parameters: `run`; `value`, of point `t`; `t`."""
    wide = value.expand_as(run.point(t)) if value.shape != run.point(t).shape else value
    return float(wide.double().norm(dim=1 if wide.ndim > 3 else -1).mean())


def _proof(proof: Proof) -> dict[str, Any]:
    return {"closed": proof.closed, "error": proof.max_error, "bound": proof.bound, "dtype": proof.dtype}
