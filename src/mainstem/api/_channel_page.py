"""The channel page as a file: given channels of an image model, with nothing behind it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from mainstem.core import InputError, tracked
from mainstem.models import reads_images

from ._alone import Alone
from ._channelling import Channelling
from ._channels import BY
from ._model import Model, load

_FEWER = "give fewer channels or classes"
Answer = tuple[str, dict[str, Any], Any]


def channel_page(
    path: str | Path,
    channels: int | Sequence[int],
    model: "Model | str | Path | nn.Module" = "default-image",
    data: str | Path | None = None,
    classes: Sequence[str] = (),
    backs: int = 1,
) -> Path:
    """Writes the channel page as one HTML file that opens with no network: given channels of the last stage of an image model.

    Of every channel it holds the images that it is strongest in at the last blocks, by its mean over places or its peak, as small pictures; the
    five classes with the largest weights on it, with how these are spread; and where its peak comes from in the strongest images. Other
    channels and classes, and the channels inside a write, need `mainstem.view`.

    Parameters: `path`, replaced if it is there; `channels`, one number or several, counted from 0; `model`, one that is loaded, or what `load` takes; `data`, a
    folder of images, None for none; `classes`, more of them by their words, whose weights are held too; `backs`, how many of the strongest
    images of each block are followed back. Raises `InputError` for a model that reads no images, a channel that it does not have, and where the
    file would be larger than 16 MiB.
    """
    from mainstem.view import save_held

    held = model if isinstance(model, Model) else load(model)
    if not reads_images(held.loaded):
        raise InputError(f"{held.name} reads no images: the channel page is of a model that does.")
    channels = [channels] if isinstance(channels, int) else channels
    if not channels or backs < 0:
        raise InputError("name the channels that are shown, such as channels=[7], and 0 or more images to follow back.")
    asking, every = Channelling(held, data), list(dict.fromkeys(channels))
    answers = [one for channel in tracked(every, "channels", len(every)) for one in _of(asking, channel, backs)]
    words = [one["word"] for kind, _, made in answers if kind == "channel.open" for one in made["classes"] or []]
    words = list(dict.fromkeys([*(asking.trace.word(asking.trace.index(word)) for word in classes), *words]))
    answers += [("channel.class", {"class": word}, asking.of_class({"class": word}, Alone())) for word in words]
    backs_of = {f"{asked['point']} {asked['image']} {asked['channel']}" for kind, asked, _ in answers if kind == "channel.back"}
    points = list(
        dict.fromkeys(block["point"] for kind, _, made in answers if kind == "channel.open" for block in made["blocks"])
    )
    said = f"{len(every)} of the channels and {len(words)} of the classes. Other ones, and the channels inside a write: mainstem view."
    opening: dict[str, Any] = {
        "page": "channel",
        "model": held.name,
        "images": data is not None,
        "about": f"This file holds {said}",
    }
    opening |= {
        "held": {"channels": every, "classes": words, "points": points or asking.images.points()[-1:], "backs": sorted(backs_of)}
    }
    return save_held(opening, answers, path, _FEWER)


def _of(asking: Channelling, channel: int, backs: int) -> Iterator[Answer]:
    """What the page asks about one channel: at the last point, and at the blocks that its images stand at."""
    last, turn = asking.images.points()[-1], Alone()
    first = asking.opened({"channel": channel, "by": BY[0]}, turn)
    for point in dict.fromkeys([last, *(block["point"] for block in first["blocks"])]):
        for by in BY:
            asked = {"channel": channel, "point": point, **({} if by == BY[0] else {"by": by})}
            made = asking.opened({"channel": channel, "point": point, "by": by}, turn)
            yield "channel.open", asked, made
            if point == last:
                yield "channel.open", {k: v for k, v in asked.items() if k != "point"}, made
            here: list[dict[str, Any]] = next((block["images"] for block in made["blocks"] if block["point"] == point), [])
            for image in (one["image"] for one in here[:backs]):
                yield from _followed(asking, channel, point, image)


def _followed(asking: Channelling, channel: int, point: str, image: int) -> Iterator[Answer]:
    """Where a channel's peak in an image comes from. The page asks the same whichever way its images were chosen."""
    found = asking.back({"channel": channel, "point": point, "image": image}, Alone())
    shut = found | {"rows": [row | {"into": None} for row in found["rows"]]}
    for way in BY:
        yield "channel.back", {"channel": channel, "point": point, "image": image, **({} if way == BY[0] else {"by": way})}, shut
