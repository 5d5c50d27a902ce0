"""Which pages a model has beside the prompt page, and what these are asked."""

from pathlib import Path
from typing import Any

from mainstem.core import InputError
from mainstem.models import reads_images

from ._channelling import Channelling
from ._charting import Charting
from ._directing import Directing, sample
from ._model import Model
from ._streams_page import MapAnswers

Answers = dict[str, Any]


def with_more(
    model: Model, answers: Answers, opening: Answers, data: str | Path | None, run: str | Path | None
) -> tuple[Answers, Answers]:
    """Answers and opening with those of the other pages: directions of a model of text, channels of one of images, its map, charts.

    Parameters: `model`; `answers` and `opening`, of the prompt page; `data`, a folder of images; `run`, a folder of results, or one
    file. Raises `InputError` for images with a model that reads none, and for a folder or file that is not there.
    """
    images = reads_images(model.loaded)
    if data is not None and not images:
        raise InputError(f"{model.name} reads no images: a folder of them is of no use to it.")
    made = Channelling(model, data).answers() if images else Directing(model).answers() if model.loaded.codec else {}
    pages = ["channel"] if images else [*opening["pages"], *(["direction"] if made else [])]
    stored = Charting(run).answers() if run is not None else {}
    said = {"pages": [*pages, "map", *(["charts"] if stored else [])], "prompts": sample(), "images": data is not None}
    return answers | made | MapAnswers(model).answers() | stored, opening | said
