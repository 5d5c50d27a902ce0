"""The direction page as a file: given directions over given texts, with nothing behind it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mainstem.core import InputError

from ._alone import Alone
from ._coloured import MOST_PROMPTS, Streams
from ._directed import along_data
from ._directing import COMPONENTS, coloured, sample
from ._direction import Direction
from ._model import Model, load

_NUMBER, _NEXT = 10, 300  # bytes that a number, and the next tokens of a place, take in the file
_FEWER = "give fewer texts, points or directions"


def direction_page(
    path: str | Path,
    model: "Model | str | Path | nn.Module" = "default",
    directions: Direction | Sequence[Direction] = (),
    texts: str | Sequence[str] | None = None,
    points: Sequence[str] | None = None,
    principal: bool = True,
) -> Path:
    """Writes the direction page as one HTML file that opens with no network: texts with every token coloured along a direction.

    Along a direction v a token has x . v / |v|, x the stream at a point, as `Direction.along` gives it. In the file one chooses among
    the directions and points that were given, standardised principal directions or plain ones and their mix, the colour scale, and
    tokens, with what the model says next. Other texts, points and directions need `mainstem.view`.

    Parameters: `path`, replaced if it is there; `model`, one that is loaded, or what `load` takes; `directions`, one or several, each by a name of its own, the first shown first;
    `texts`, one or several, facts of the default model where there are none; `points`, labels, by default those of the directions, or the middle of the stream;
    `principal`, whether the principal directions of these very texts are in it, with and without first positions. Raises `InputError` for what is no direction, one
    of another width, two of one name, none at all, and where the file would be larger than 16 MiB.
    """
    from mainstem.view import LARGEST, save_held

    held = model if isinstance(model, Model) else load(model)
    directions = _given(directions)
    names = [one.name for one in directions]
    if len(set(names)) < len(names):
        raise InputError(f"two directions are called {max(names, key=names.count)!r}: give each a name of its own.")
    if not names and not principal:
        raise InputError("there is no direction to show: give some, or leave principal on.")
    streams, said = Streams(held), list(dict.fromkeys(_texts(texts)))
    if not said or len(said) > MOST_PROMPTS:
        raise InputError(f"give 1 to {MOST_PROMPTS} texts, not {len(said)}.")
    places = list(dict.fromkeys(points or [d.point for d in directions if d.point])) or [
        streams.points()[len(streams.points()) // 2]
    ]
    tokens = sum(len(held.ids(text)) for text in said)
    size = tokens * (_NEXT + _NUMBER * len(places) * (len(names) + 4 * COMPONENTS * principal))
    if size > LARGEST:
        raise InputError(f"this file would have about {size / 2**20:.0f} MiB, more than {LARGEST // 2**20}: {_FEWER}.")
    about = f"{len(said)} texts at {', '.join(places)}. Other texts, points and directions, and saving them: mainstem view."
    opening: dict[str, Any] = {"page": "direction", "model": held.name, "about": f"This file holds {about}", "directions": names}
    opening |= {"principal": principal, "points": places, "point": places[0]}
    return save_held(opening, _answers(streams, said, places, directions, principal), path, _FEWER)


def _given(directions: Any) -> list[Direction]:
    found: list[Any] = [directions] if isinstance(directions, (Direction, str)) else list(directions)
    for one in found:
        if not isinstance(one, Direction):
            made = f"m.direction({one!r})" if isinstance(one, str) else 'm.direction(" Paris")'
            raise InputError(f"{one!r:.60} is no direction: make one, {made} of a loaded model m.")
    return found


def _texts(texts: str | Sequence[str] | None) -> list[str]:
    if texts is None:
        return sample().split("\n\n")
    return [texts] if isinstance(texts, str) else list(texts)


def _answers(
    streams: Streams, texts: list[str], points: list[str], directions: Sequence[Direction], principal: bool
) -> Iterator[tuple[str, dict[str, Any], Any]]:
    turn, lengths = Alone(), list[int]()
    for point in points:
        rows = list(streams.every(texts, point, turn))
        lengths = [len(row) for row in rows]
        for one in directions:
            one.check(rows[0].shape[-1], point)
            yield "direction.open", {"kept": one.name, "point": point}, coloured(streams, texts, rows, [one], point)
        for first in (False, True) if principal else ():
            data = torch.cat([row[0 if first else 1 :] for row in rows])
            for standardised in (False, True):
                found = along_data(data, (len(texts), point, streams.model.name), COMPONENTS, standardised)
                asked = {"point": point, "first": first, "standardised": standardised}
                yield "direction.open", asked, coloured(streams, texts, rows, found, point)
    for row, (text, length) in enumerate(zip(texts, lengths, strict=True)):
        for position in range(length):
            yield "direction.next", {"row": row, "position": position}, {"tops": _few(streams.following(text, position))}


def _few(tops: list[tuple[str, float]]) -> list[tuple[str, float]]:
    return [(word, float(f"{prob:.4g}")) for word, prob in tops]
