"""One direction of the stream as users hold it: what it is, and its file."""

import base64
import binascii
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError

from ._store import store

if TYPE_CHECKING:
    from ._trace import Trace

FORMS = (".safetensors", ".json")
_NAMES = ("name", "point", "model", "about")
_LONG = 200  # characters of a name, and of what is said of it
_WIDEST = 2**20
_FILE = "it is no direction: a .safetensors or .json file that holds one vector of numbers"


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction of the stream. Made by `Model.direction`, `Model.principal` or `Direction.load`.

    Parameters: `vector`, of any length above 0; `name`; `point`, the label of the point it was made for, "" where it is of none; `model`,
    whose; `about`, how it was made, in words.
    """

    vector: Float[Tensor, " d_model"]
    name: str = "direction"
    point: str = ""
    model: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        v = self.vector
        if v.ndim != 1 or not 0 < len(v) <= _WIDEST or not v.is_floating_point():
            raise InputError(f"a direction is one vector of real numbers, not {v.dtype} of shape {tuple(v.shape)}.")
        if not bool(v.isfinite().all()) or not bool(v.any()):
            raise InputError("a direction has finite numbers that are not all 0.")

    @property
    def unit(self) -> Float[Tensor, " d_model"]:
        """The direction at unit length, in float64."""
        return self.vector.double() / self.vector.double().norm()

    def along(self, trace: "Trace", point: str | None = None) -> Float[Tensor, "batch pos"]:
        """How far the stream goes along the direction at every place: x . v / |v|, in float64.

        Parameters: `trace`; `point`, a label, the direction's own by default. Raises `InputError` for a point of another width, and for a
        direction with no point where none is named.
        """
        label = point or self.point
        if not label:
            raise InputError(f"{self.name} is of no point: name one, such as {trace.stream.points[-1].name}.")
        here = trace.point(label).double()
        self.check(here.shape[-1], label)
        return here @ self.unit.to(here.device)

    def check(self, width: int, label: str) -> None:
        """Raises `InputError` where a point is of another width. Parameters: `width`; `label`, of the point."""
        if width != len(self.vector):
            raise InputError(f"{self.name} is {len(self.vector)} wide, the stream at {label} is {width}: it is of another model.")

    def save(self, path: str | Path) -> Path:
        """Writes the direction with its name, point, width and model. Parameters: `path`, ending in `.safetensors` or `.json`."""
        forms = {form: lambda half, form=form: half.write_bytes(self.packed(form)) for form in FORMS}
        return store(path, forms)

    @classmethod
    def load(cls, path: str | Path) -> "Direction":
        """Reads a direction that `save` wrote, or any file that holds one vector. Parameters: `path`. Raises `InputError` for another file."""
        place = Path(path)
        if not place.is_file():
            raise InputError(f"there is no file {path}.")
        if place.stat().st_size > 64 * _WIDEST:
            raise InputError(f"cannot read {path}: {_FILE}.")
        return cls.unpacked(place.read_bytes(), place.stem)

    def packed(self, form: str) -> bytes:
        """The bytes of the file. Parameters: `form`, ".safetensors" or ".json"."""
        said = {name: getattr(self, name) for name in _NAMES} | {"width": len(self.vector)}
        if form == ".json":
            return json.dumps({"mainstem": "direction", **said, "vector": self.vector.tolist()}).encode()
        from safetensors.torch import save

        about = {"mainstem": "direction", **{name: str(value) for name, value in said.items()}}
        return save({"direction": self.vector.detach().cpu().contiguous()}, about)

    @classmethod
    def unpacked(cls, data: bytes, name: str = "direction") -> "Direction":
        """A direction from the bytes of a file. Parameters: `data`; `name`, where the file does not say it. Raises `InputError`."""
        try:
            vector, said = _tensors(data) if _headed(data) else _json(data)
        except (ValueError, TypeError, KeyError, struct.error, RecursionError) as error:
            raise InputError(f"cannot read {name}: {_FILE}.") from error
        words = {key: str(said[key])[:_LONG] for key in _NAMES if isinstance(said.get(key), str)}
        return cls(vector, **({"name": name[:_LONG]} | words))

    @classmethod
    def decoded(cls, text: str, name: str) -> "Direction":
        """A direction from a file that came as base64. Parameters: `text`; `name`, of the file. Raises `InputError`."""
        try:
            return cls.unpacked(base64.b64decode(text, validate=True), name)
        except binascii.Error as error:
            raise InputError(f"cannot read {name}: {_FILE}.") from error

    def __repr__(self) -> str:
        return f"Direction({self.name}; {len(self.vector)} wide{f', at {self.point}' if self.point else ''})"


def _headed(data: bytes) -> bool:
    """Whether a file begins as one of safetensors does: with the length of a header, and the header."""
    return len(data) > 8 and data[8:9] == b"{" and struct.unpack("<Q", data[:8])[0] <= len(data) - 8


def _json(data: bytes) -> tuple[Tensor, dict[str, Any]]:
    """A list of numbers, or an object with one as `vector`."""
    found = json.loads(data)
    numbers, said = (found, {}) if isinstance(found, list) else (found["vector"], found)
    if not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers):
        raise ValueError
    return torch.tensor([float(n) for n in numbers], dtype=torch.float64), said


def _tensors(data: bytes) -> tuple[Tensor, dict[str, Any]]:
    """The one tensor of a safetensors file, and what its header says beside it."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        held = load(data)
    except SafetensorError as error:
        raise ValueError from error
    (found,) = held.values()
    vector = found[0] if found.ndim == 2 and found.shape[0] == 1 else found
    if vector.ndim != 1 or not vector.is_floating_point():
        raise ValueError
    (length,) = struct.unpack("<Q", data[:8])
    return vector, json.loads(data[8 : 8 + length]).get("__metadata__") or {}
