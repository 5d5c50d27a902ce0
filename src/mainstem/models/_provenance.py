"""Where a loaded model came from, and which weights it has now."""

from collections import Counter

from torch import nn

from mainstem.core import Provenance, versions

from ._digest import digest
from ._load import Loaded


def provenance(loaded: Loaded, hashed: bool = True) -> Provenance:
    """Where a model came from, and its weights as they are now: hashed anew at every call, about a second for a gigabyte.

    Parameters: `loaded`; `hashed`, False to leave the weights unsaid. Raises `LoadError` for weights that have no values at hand.
    """
    module = loaded.module
    return Provenance(
        name=loaded.name,
        origin=loaded.origin,
        source=loaded.source,
        revision=loaded.revision or _revision(module),
        weights=digest(module) if hashed else None,
        module=type(module).__name__,
        parameters=sum(p.numel() for p in module.parameters()),
        dtype=_dtypes(module),
        versions=versions(),
    )


def _revision(module: nn.Module) -> str | None:
    """The commit that transformers 4 notes on a module that somebody loaded from the hub."""
    found = getattr(getattr(module, "config", None), "_commit_hash", None)
    return found if isinstance(found, str) else None


def _dtypes(module: nn.Module) -> str:
    sizes: Counter[str] = Counter()
    for p in module.parameters():
        if p.is_floating_point() or p.is_complex():
            sizes[str(p.dtype).removeprefix("torch.")] += p.numel()
    return ", ".join(name for name, _ in sizes.most_common())
