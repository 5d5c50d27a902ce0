"""The page of a model, served on this machine."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from torch import nn

from ._directing import Directing, sample
from ._looking import Looking
from ._model import Model, load

FIRST = "The capital of France is"  # what is shown where nothing was said


def view(
    model: "Model | str | Path | nn.Module" = "default",
    prompt: str | None = None,
    port: int = 0,
    browser: bool = True,
) -> Any:
    """Looks at a model in the browser: opens a page that is served on this machine alone, with nothing fetched from elsewhere.

    Returns at once; the page lives as long as the process, or until `.stop()`. Its address, `.url`, holds a random token, and
    who has the address has the page: nobody else on this machine gets anything.

    Parameters: `model`, one that is loaded, or what `load` takes; `prompt`, shown first; `port`, 0 for any that is free; `browser`, whether
    it is opened. Raises `InputError` where FastAPI or uvicorn is missing (the extra `view`), or for a port that is taken.
    """
    from mainstem.view import serve

    held = model if isinstance(model, Model) else load(model)
    answers = Looking(held).answers() | Directing(held).answers()
    opening = {"model": held.name, "pages": ["prompt", "direction"], "prompt": FIRST, "prompts": sample()}
    at = "" if prompt is None else f"#prompt?{urlencode({'prompt': prompt})}"
    return serve(answers, opening, port, browser, at)
