"""How data become batches of what a model reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mainstem.core import whole
from mainstem.models import Loaded, reads_images
from mainstem.scan import Batch, Batching

LENGTH = 1024  # tokens of a window where the model says nothing


def batching(loaded: Loaded, batch_tokens: int, length: int | None, pack: bool) -> Batching:
    """How examples become batches: windows are cut the same however large a batch is, but for packed rows. Parameters: as of `measure`."""
    codec, most = loaded.codec, whole("batch_tokens", batch_tokens, 1)
    if codec is None:
        wanted = "give a folder of images, or a list of them" if reads_images(loaded) else "pass tokenizer=... to load"
        reads = "reads images" if reads_images(loaded) else "has no tokenizer"
        return Batching(batch_tokens, textless=f"these data are text, and {loaded.name} {reads}: {wanted}.")
    window = min(length or LENGTH, codec.limit or length or LENGTH)
    if pack:
        window = min(window, most)
    return Batching(batch_tokens, Windows(loaded, window), window if pack else None, codec.pad, longest=window)


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
