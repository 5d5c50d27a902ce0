"""The weights that a run was made with, for what is saved of it."""

from contextlib import suppress
from typing import Any

from mainstem.core import LoadError, Provenance
from mainstem.models import Loaded, provenance, stamp


class Weights:
    """The weights that a run was made with. They are hashed when somebody asks, not in the run; pickled, they are their hash.

    Parameters: `loaded`, the model, just after the run.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._known: Provenance | None = None
        self._loaded, self._stamp = loaded, stamp(loaded.module)

    @classmethod
    def known(cls, provenance: Provenance) -> "Weights":
        """Those that were stored with a result. Parameters: `provenance`."""
        made = cls.__new__(cls)
        made._known = provenance
        return made

    def provenance(self) -> Provenance:
        """Where the model came from and its weights: None for these where they are no longer those of the run, or cannot be hashed."""
        if self._known is not None:
            return self._known
        if stamp(self._loaded.module) == self._stamp:
            with suppress(LoadError):  # nobody shall lose a result for it
                return provenance(self._loaded)
        return provenance(self._loaded, hashed=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"_known": self.provenance()}
