"""How data become batches of what a model reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mainstem.models import Loaded
from mainstem.scan import Batch, Batching

LENGTH = 1024  # tokens of a window where the model says nothing


def batching(loaded: Loaded, batch_tokens: int, length: int | None, pack: bool) -> Batching:
    """How examples become batches. Parameters: as of `measure`."""
    codec = loaded.codec
    if codec is None:
        return Batching(batch_tokens)
    most = min(length or LENGTH, codec.limit or length or LENGTH, batch_tokens)
    return Batching(batch_tokens, Windows(loaded, most), most if pack else None, codec.pad)


@dataclass(frozen=True)
class Windows:
    """Texts to windows of tokens, each as a prompt of the model's. Parameters: `loaded`; `length`, the most tokens of one."""

    loaded: Loaded
    length: int

    def __call__(self, text: str) -> Sequence[Sequence[int]]:
        assert self.loaded.codec is not None
        return self.loaded.codec.chunks(text, self.length)


def prompts_of(batch: Batch) -> Any:
    """What `prepare` is given of a batch: ids of every prompt without its pads, or images. Parameters: `batch`."""
    if batch.ids is None:
        return list(batch.images)
    return [ids[real].tolist() for ids, real in zip(batch.ids, batch.mask, strict=True)]
