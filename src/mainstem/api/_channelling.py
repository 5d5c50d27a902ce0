"""What the channel page asks, answered in plain data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError
from mainstem.score import Backtrack, backtrack

from ._cells import Asked, text
from ._channels import BY, Channels, class_rows
from ._model import Model

IMAGES, BLOCKS, CLASSES, BINS, SHOWN = 8, 3, 5, 41, 12


class Channelling:
    """Answers about channels. Parameters: `model`; `folder`, of images, None for none."""

    def __init__(self, model: Model, folder: str | Path | None = None) -> None:
        self.model, self.images = model, Channels(model, folder)
        self._traced: Any = None
        self._back: tuple[tuple[Any, ...], Backtrack] | None = None

    def answers(self) -> dict[str, Callable[[Asked, Any], Any]]:
        """Every kind of question with what answers it."""
        kinds = {"open": self.opened, "class": self.of_class, "back": self.back, "inside": self.inside}
        return {f"channel.{name}": answer for name, answer in kinds.items()}

    @property
    def trace(self) -> Any:
        """A trace of an example, to read weights off."""
        self._traced = self._traced or self.model._traced(None)
        return self._traced

    @property
    def weights(self) -> Float[Tensor, "class channel"]:
        """The rows of the classes, as of `class_rows`."""
        return class_rows(self.trace)

    def opened(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """A channel: images that it is strongest in, at the last blocks up to a point; the classes that weigh it most.

        Parameters: `asked`, {channel, point, by}; `turn`.
        """
        by = text(asked, "by") or BY[0]
        if by not in BY:
            raise InputError(f"images are held against each other by {' or '.join(BY)}, not by {by!r}.")
        point, channel = self._point(asked), self._channel(asked)
        turn.say("reading weights")
        points = self.images.points()
        widths = [int(self.trace.run.point(t).shape[1]) for t in range(len(points))]
        at = points.index(point)
        self.images.seen(turn)
        blocks = [p for p, width in zip(points[: at + 1], widths, strict=False) if width == widths[at]][-BLOCKS:]
        shown = [{"point": p, "images": self.images.strongest(p, channel, IMAGES, by)} for p in reversed(blocks)]
        return {
            "channel": channel,
            "point": point,
            "points": points,
            "widths": widths,
            "count": len(self.images.files) - len(self.images.faults),
            "faults": len(self.images.faults),
            "blocks": shown if self.images.files else [],
            "classes": self._classes(channel) if widths[at] == widths[-1] else None,
        }

    def _classes(self, channel: int) -> list[dict[str, Any]]:
        column = self.weights[:, channel]
        best = column.abs().topk(min(CLASSES, len(column))).indices.tolist()
        return [{"class": i, "word": self.trace.word(i), "weight": float(column[i])} for i in best]

    def of_class(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """A class: how its weights are spread, and the channels it weighs most either way. Parameters: `asked`, {class}; `turn`."""
        turn.check()
        named = asked.get("class")
        index = self.trace.index(named if isinstance(named, int) else text(asked, "class") or "")
        row = self.weights[index]
        most = float(row.abs().max()) or 1.0
        counts = torch.histc(row, BINS, -most, most).int().tolist()
        ends = {"first": row.topk(SHOWN), "last": row.topk(SHOWN, largest=False)}
        found = {
            name: [{"channel": c, "weight": w} for c, w in zip(e.indices.tolist(), e.values.tolist(), strict=True)]
            for name, e in ends.items()
        }
        return {"class": index, "word": self.trace.word(index), "most": most, "counts": counts, **found}

    def back(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """Where a channel's peak in one image comes from: every write before it. Parameters: `asked`, {channel, point, image}; `turn`."""
        found = self._backtracked(asked, turn)
        rows = [
            {
                "component": o.label,
                "kind": o.kind,
                "value": float(o.channels.sum()),
                "into": "channels" if o.kind != "constant" else None,
                "point": o.point,
            }
            for o in found.origins
        ]
        return _table(found, rows, found.value) | {"place": list(found.place)}

    def inside(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """A write by the channels that it wrote. Parameters: `asked`, as of `back`, with {component}; `turn`."""
        found, label = self._backtracked(asked, turn), text(asked, "component")
        origin = next((o for o in found.origins if o.label == label), None)
        if origin is None:
            raise InputError(f"there is no part {label!r}.")
        values = origin.channels
        order = values.abs().argsort(descending=True)[:SHOWN].tolist()
        rows = [
            {
                "component": f"channel {c}",
                "kind": origin.kind,
                "value": float(values[c]),
                "into": "channel",
                "channel": c,
                "point": origin.point,
            }
            for c in order
            if values[c]
        ]
        left = int((values != 0).sum()) - len(rows)
        if left:
            rest = float(values.sum()) - sum(r["value"] for r in rows)
            rows.append({"component": "", "kind": "others", "value": rest, "into": None, "count": left})
        return _table(found, rows, float(values.sum()))

    def _backtracked(self, asked: Asked, turn: Any) -> Backtrack:
        file = self.images.file(asked.get("image"))
        key = file, self._point(asked), self._channel(asked)
        if self._back is None or self._back[0] != key:
            turn.say("following the channel back")
            trace = self.model.trace([file])
            self._back = key, backtrack(trace.run, self.images.points().index(key[1]), key[2])
        return self._back[1]

    def _point(self, asked: Asked) -> str:
        points = self.images.points()
        point = text(asked, "point") or points[-1]
        if point not in points:
            raise InputError(f"there is no point {point!r}: there are {points[0]}, {points[1]} and so on to {points[-1]}.")
        return point

    def _channel(self, asked: Asked) -> int:
        channel, t = asked.get("channel", 0), self.images.points().index(self._point(asked))
        width = int(self.trace.run.point(t).shape[1])
        if not isinstance(channel, int) or isinstance(channel, bool) or not 0 <= channel < width:
            raise InputError(f"there is no channel {channel!r} at {self._point(asked)}: there are 0 to {width - 1}.")
        return channel


def _table(found: Backtrack, rows: list[dict[str, Any]], whole: float) -> dict[str, Any]:
    total = sum(row["value"] for row in rows)
    return {"rows": rows, "sum": total, "whole": whole, "error": abs(total - whole), "bound": found.bound}
