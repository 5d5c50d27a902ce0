"""Where a model came from and which weights it has, as it is written into what is saved."""

import sys
from dataclasses import dataclass, field
from typing import Any

from ._plain import from_plain, to_plain


@dataclass(frozen=True)
class Provenance:
    """Where a model came from, and which weights it has. Plain data; equal for equal weights from the same place.

    Parameters: `name`, what the model is called in results; `origin`, "embedded", "folder", "hub" or "module"; `source`, the
    embedded name, the folder as it was given or the hub id, None for a module that was handed over; `revision`, the hub's
    commit where it is known; `weights`, their sha256 as `docs/decisions.md` (19) spells it out, None where they were changed
    between the run and the saving or cannot be hashed; `module`, the class; `parameters`, how many, shared ones once; `dtype`, of the floating
    weights, that of most first where there are several; `versions`, of mainstem, torch and, where it is in use, transformers.
    """

    name: str
    origin: str
    source: str | None
    revision: str | None
    weights: str | None
    module: str
    parameters: int
    dtype: str
    versions: dict[str, str] = field(hash=False)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON types."""
        return dict(to_plain(self))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Provenance":
        """What `to_dict` gave. Parameters: `data`."""
        return from_plain(cls, data)

    def frame(self) -> Any:
        """A polars frame of one row, a column for each version too."""
        import polars

        record = self.to_dict()
        return polars.DataFrame([record | {f"{name}_version": v for name, v in record.pop("versions").items()}])


def versions() -> dict[str, str]:
    """Versions of what computes: mainstem, torch, and transformers where something has imported it."""
    loaded: dict[str, Any] = {name: sys.modules.get(name) for name in ("mainstem", "torch", "transformers")}
    return {name: str(module.__version__) for name, module in loaded.items() if module is not None}
