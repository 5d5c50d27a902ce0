"""The page of a model, served on this machine."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from torch import nn

from ._looking import Looking
from ._model import Model, load
from ._more import with_more

FIRST = "The capital of France is"  # what is shown where nothing was said


def view(
    model: "Model | str | Path | nn.Module" = "default",
    prompt: str | None = None,
    port: int = 0,
    browser: bool = True,
    data: str | Path | None = None,
    run: str | Path | None = None,
) -> Any:
    """Looks at a model in the browser: opens a page that is served on this machine alone, with nothing fetched from elsewhere.

    Returns at once; the page lives as long as the process, or until `.stop()`. Its address, `.url`, holds a random token, and
    who has the address has the page: nobody else on this machine gets anything.

    Parameters: `model`, one that is loaded, or what `load` takes; `prompt`, shown first; `port`, 0 for any that is free; `browser`, whether
    it is opened; `data`, a folder of images, for the page of an image model's channels; `run`, a folder of stored results, or one
    file, whose charts are shown first. Raises `InputError` where FastAPI or uvicorn is
    missing (the extra `view`), for a port that is taken, and for no such folder or file.
    """
    from mainstem.view import serve

    held = model if isinstance(model, Model) else load(model)
    answers, opening = with_more(held, *_pages(held), data, run)
    first = "#charts" if run is not None else ""
    at = first if prompt is None else f"#prompt?{urlencode({'prompt': prompt})}"
    return serve(answers, opening, port, browser, at)


def widget(model: "Model | str | Path | nn.Module" = "default", prompt: str | None = None) -> Any:
    """The page in a notebook's cell, answered by its kernel.

    A trace shows itself in a notebook without this, as a page that holds its answers. anywidget's own front end comes with Jupyter's
    extension; some other notebooks fetch it from elsewhere.

    Parameters: `model`, one that is loaded, or what `load` takes; `prompt`, shown first. Raises `InputError` where anywidget is missing (the
    extra `view`).
    """
    from mainstem.view import widget as made

    answers, opening = _pages(model)
    return made(answers, opening | ({"prompt": prompt} if prompt is not None else {}))


def _pages(model: "Model | str | Path | nn.Module") -> tuple[dict[str, Any], dict[str, Any]]:
    """What the pages of a model can be asked, and what they are told when they open."""
    held = model if isinstance(model, Model) else load(model)
    return Looking(held).answers(), {"model": held.name, "pages": ["prompt"], "prompt": FIRST}
