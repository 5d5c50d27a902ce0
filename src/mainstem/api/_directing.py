"""What the direction page asks, answered in plain data."""

import base64
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError
from mainstem.models import facts

from ._cells import Asked, text
from ._coloured import Streams, several
from ._directed import along_data
from ._direction import FORMS, Direction
from ._model import Model

COMPONENTS = 30
_FITS, _SHELF = 4, 100  # principal directions and named directions that are held
_FACTS = 40  # facts of the default model that principal directions are fitted on
_DIGITS = 8


class Directing:
    """Answers about directions. Parameters: `model`."""

    def __init__(self, model: Model) -> None:
        self.model, self._streams = model, Streams(model)
        self._fitted: OrderedDict[Any, list[Direction]] = OrderedDict()
        self._shelf: OrderedDict[str, Direction] = OrderedDict()

    def answers(self) -> dict[str, Callable[[Asked, Any], Any]]:
        """Every kind of question with what answers it."""
        kinds = {"open": self.opened, "next": self.following, "shelf": self.shelf, "keep": self.keep}
        return {f"direction.{name}": answer for name, answer in (kinds | {"upload": self.upload, "file": self.file}).items()}

    def opened(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """Every token of the prompts with how far it goes along the direction, or along each of the principal directions.

        Parameters: `asked`, {prompts, point, first} and what the direction is: {kind, token, against, side, label, end, fit, texts,
        standardised, kept}; `turn`.
        """
        prompts, found, point = several(text(asked, "prompts") or sample()), self._found(asked, turn), self._point(asked)
        return coloured(self._streams, prompts, list(self._streams.every(prompts, point, turn)), found, point)

    def following(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """The likeliest next tokens after one. Parameters: `asked`, {prompt, position}; `turn`."""
        prompt, position = text(asked, "prompt"), asked.get("position")
        if prompt is None or not isinstance(position, int):
            raise InputError("name a prompt and a position.")
        turn.check()
        return {"tops": self._streams.following(prompt, position)}

    def shelf(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """The directions that were named or uploaded. Parameters: `asked`, nothing; `turn`."""
        kept = [{"name": key, "point": d.point, "width": len(d.vector), "about": d.about} for key, d in self._shelf.items()]
        return {"kept": kept}

    def keep(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """Puts the direction that is looked at on the shelf. Parameters: `asked`, as of `opened` with {name, weights}; `turn`."""
        name = (text(asked, "name") or "").strip()
        if not name:
            raise InputError("give the direction a name.")
        made = replace(self._one(asked, turn), name=name[:80])
        return self._held(made) | self.shelf(asked, turn)

    def upload(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """Puts a direction of a file on the shelf. Parameters: `asked`, {file, data}: its name, and its bytes as base64; `turn`."""
        made = Direction.decoded(text(asked, "data") or "", text(asked, "file") or "direction")
        made.check(self.model.map.main.width, self._streams.points()[-1])
        return self._held(made) | self.shelf(asked, turn)

    def file(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """The direction that is looked at as a file. Parameters: `asked`, as of `keep`, with {form}; `turn`."""
        form = text(asked, "form") or FORMS[0]
        if form not in FORMS:
            raise InputError(f"a direction's file is {' or '.join(FORMS)}.")
        made = self._one(asked, turn)
        made = replace(made, name=(text(asked, "name") or made.name)[:80])
        return {"data": base64.b64encode(made.packed(form)).decode(), "name": made.name}

    def _held(self, made: Direction) -> dict[str, Any]:
        self._shelf.pop(made.name, None)
        self._shelf[made.name] = made
        while len(self._shelf) > _SHELF:
            self._shelf.popitem(last=False)
        return {"name": made.name}

    def _one(self, asked: Asked, turn: Any) -> Direction:
        """The direction that is looked at, a combination of principal directions made one, at unit length."""
        found = self._found(asked, turn)
        weights = _weights(asked, len(found))
        mixed = torch.stack([one.unit for one in found]).mT @ weights
        if len(found) == 1 or torch.count_nonzero(weights) == 1:
            one = found[int(weights.abs().argmax())]
            return Direction(mixed / mixed.norm(), one.name, self._point(asked), self.model.name, one.about)
        said = " ".join(f"{w:+.4f} {one.name}" for w, one in zip(weights.tolist(), found, strict=True) if w)
        return Direction(mixed / mixed.norm(), "combination", self._point(asked), self.model.name, f"{said}; {found[0].about}")

    def _found(self, asked: Asked, turn: Any) -> list[Direction]:
        turn.say("finding the direction")
        kind, word = text(asked, "kind") or "pca", text(asked, "token")
        if kind == "pca":
            return self._principal(asked, turn)
        if kind == "kept":
            return [self._on_shelf(text(asked, "kept"))]
        if kind in ("neuron", "head"):
            label = text(asked, "label")
            if label is None:
                raise InputError(f"name a {kind}, such as {'L3.mlp.N120' if kind == 'neuron' else 'L3.attn.H2'}.")
            return [self.model._named(label, text(asked, "end") or "writes")]
        if kind not in ("token", "difference") or word is None:
            raise InputError("name a token." if word is None else f"there is no kind {kind!r} of direction.")
        against = text(asked, "against") if kind == "difference" else None
        if kind == "difference" and against is None:
            raise InputError("name the token whose row is taken off.")
        return [self.model.direction(word, against, text(asked, "side") or "unembedding")]

    def _on_shelf(self, name: str | None) -> Direction:
        if name is None or name not in self._shelf:
            raise InputError(f"no direction {name!r} is held here: upload its file.")
        return self._shelf[name]

    def _principal(self, asked: Asked, turn: Any) -> list[Direction]:
        point, first, standardised = self._point(asked), asked.get("first") is True, asked.get("standardised") is True
        given = {"texts": text(asked, "texts"), "prompts": text(asked, "prompts") or sample()}
        texts = several(given.get(text(asked, "fit") or "", sample(_FACTS)) or "")
        key = tuple(texts), point, first, standardised
        if key not in self._fitted:
            rows = [r[0 if first else 1 :] for r in self._streams.every(texts, point, turn)]
            about = len(texts), point, self.model.name
            self._fitted[key] = along_data(torch.cat(rows), about, COMPONENTS, standardised)
            while len(self._fitted) > _FITS:
                self._fitted.popitem(last=False)
        return self._fitted[key]

    def _point(self, asked: Asked) -> str:
        points = self._streams.points()
        return text(asked, "point") or points[len(points) // 2]


def coloured(
    streams: Streams, prompts: Sequence[str], rows: Sequence[Tensor], found: Sequence[Direction], point: str
) -> dict[str, Any]:
    """Every token of prompts with how far it goes along directions.

    Parameters: `streams`, which has read them; `prompts`; `rows`, the stream of each at the point; `found`, the directions; `point`.
    """
    basis = torch.stack([one.unit for one in found])
    values = []
    for row in rows:
        found[0].check(row.shape[-1], point)
        values.append(_rounded(row.double().cpu() @ basis.mT))
    return {
        "prompts": list(prompts),
        "tokens": [list(streams.tokens(p)) for p in prompts],
        "values": values,
        "gram": _rounded(basis @ basis.mT),
        "directions": [{"name": d.name, "about": d.about, "length": float(d.vector.double().norm())} for d in found],
        "point": point,
        "points": streams.points(),
        "width": basis.shape[1],
    }


def sample(count: int = 8) -> str:
    """Prompts that are shown, or fitted on, where none were given: facts of the default model, parted by empty lines. Parameters: `count`."""
    known = [fact.prompt for fact in facts()]
    return "\n\n".join(known[:: max(1, len(known) // count)][:count])


def _weights(asked: Asked, count: int) -> Float[Tensor, " direction"]:
    """The weights of a combination, the first direction alone where there are none."""
    given = asked.get("weights") or [1.0]
    if not isinstance(given, list) or len(given) > count or not all(isinstance(w, (int, float)) for w in given):
        raise InputError(f"weights are {count} numbers or fewer.")
    found = torch.zeros(count, dtype=torch.float64)
    found[: len(given)] = torch.tensor(given, dtype=torch.float64)
    if not bool(found.isfinite().all()) or not bool(found.any()):
        raise InputError("weights are finite, and not all 0.")
    return found / found.norm()


def _rounded(values: Tensor) -> list[list[float]]:
    return [[float(f"{v:.{_DIGITS}g}") for v in row] for row in values.tolist()]
