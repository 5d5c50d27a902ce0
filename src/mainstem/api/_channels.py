"""What a folder of images does to the channels of a model, at every block."""

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError

from ._model import Model

BY = ("mean", "peak")
ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"}
MOST, _BATCH, _SIDE = 20_000, 4, 112  # images; of one run; pixels of a small picture
_NUMBERS = 2**28  # numbers that are held: one for every image and channel of every point


class Channels:
    """Images with two numbers of every channel of every point, as the next block reads it: its mean over places, and its peak.

    Parameters: `model`; `folder`, of images, None for none. Raises `InputError` for a folder that is not there, or without images.
    """

    def __init__(self, model: Model, folder: str | Path | None) -> None:
        self.model = model
        self.files = _images(Path(folder)) if folder is not None else []
        self.faults: dict[int, str] = {}
        self._peaks: list[dict[str, Tensor]] = []
        self._said: list[tuple[str, float]] = []

    def points(self) -> list[str]:
        """The labels of the points of the stream."""
        return [p.name for p in self.model.map.main.points]

    def seen(self, turn: Any) -> None:
        """Runs the images that were not yet; given up, it goes on from there. Parameters: `turn`, which is told."""
        while (done := len(self._peaks)) < len(self.files):
            turn.say("images run", done, len(self.files))
            for peaks, said in self._run(done, self.files[done : done + _BATCH]):
                self._peaks.append(peaks)
                self._said.append(said)
            if done == 0 and sum(p.numel() for p in self._peaks[0].values()) * len(self.files) > _NUMBERS:
                raise InputError(f"{len(self.files)} images are more than is held of a model this wide: give a smaller folder.")

    def _run(self, first: int, files: Sequence[Path]) -> Iterator[tuple[dict[str, Tensor], tuple[str, float]]]:
        try:
            trace = self.model.trace(list(files))
        except (InputError, OSError) as error:
            if len(files) > 1:
                for i, file in enumerate(files):
                    yield from self._run(first + i, [file])
                return
            self.faults[first] = str(error)
            yield {}, ("", 0.0)
            return
        flat = {p: trace.point(p).flatten(2) for p in self.points()}
        peaks = {p: torch.stack([value.mean(2), value.amax(2)], 1) for p, value in flat.items()}
        best = trace.logits.reshape(len(files), -1).softmax(-1).max(-1)
        for i in range(len(files)):
            yield {p: peak[i].clone() for p, peak in peaks.items()}, (trace.word(int(best.indices[i])), float(best.values[i]))

    def strongest(self, point: str, channel: int, k: int, by: str = "mean") -> list[dict[str, Any]]:
        """The images that a channel is strongest in. Parameters: `point`; `channel`; `k`, how many; `by`, "mean" or "peak"."""
        read = [i for i in range(len(self._peaks)) if i not in self.faults]
        values = torch.stack([self._peaks[i][point][BY.index(by), channel] for i in read]) if read else torch.zeros(0)
        best = values.topk(min(k, len(read)))
        return [self._about(read[i], v) for i, v in zip(best.indices.tolist(), best.values.tolist(), strict=True)]

    def _about(self, image: int, value: float) -> dict[str, Any]:
        word, prob = self._said[image]
        return {
            "image": image,
            "file": self.files[image].name,
            "value": value,
            "word": word,
            "prob": prob,
            "small": small(self.files[image]),
        }

    def file(self, image: Any) -> Path:
        """One of the images by its number. Parameters: `image`. Raises `InputError` where there is none."""
        if not isinstance(image, int) or not 0 <= image < len(self.files):
            raise InputError(f"there is no image {image!r}: there are {len(self.files)}, counted from 0.")
        return self.files[image]


def small(file: Path) -> str:
    """An image as a small picture that can stand in a page. Parameters: `file`."""
    from PIL import Image

    with Image.open(file) as opened:
        opened.draft("RGB", (2 * _SIDE, 2 * _SIDE))
        made = opened.convert("RGB")
    made.thumbnail((_SIDE, _SIDE))
    held = io.BytesIO()
    made.save(held, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(held.getvalue()).decode()}"


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: give one of images.")
    found = sorted(f for f in folder.rglob("*") if f.suffix.lower() in ENDINGS and f.is_file())
    if not found:
        raise InputError(f"there are no images in {folder}: they end in {', '.join(sorted(ENDINGS))}.")
    if len(found) > MOST:
        raise InputError(f"there are {len(found)} images in {folder}: give {MOST} or fewer.")
    return found


def class_rows(trace: Any) -> Float[Tensor, "class channel"]:
    """The weights by which classes read the pooled channels of the last point, as the module holds them.

    Parameters: `trace`. Raises `InputError` where the readout does not end in such a matrix.
    """
    from mainstem.score import unembedding

    matrix, _ = unembedding(trace.run)
    last = trace.run.face(len(trace.stream.points) - 1)
    if last.ndim != 4 or matrix.shape[1] != last.shape[1]:
        raise InputError("this model's classes do not read its channels one by one: they have no weights of their own here.")
    return matrix.detach().double()
