"""`mainstem view`: the page in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from . import _options as opt
from ._files import not_missing
from ._help import explained
from ._open import opened
from ._terminal import busy

HELP = explained(
    "Opens a page in the browser on which a model is looked at.",
    """The page is served on this machine alone, and nothing is fetched from elsewhere. Its address holds a random token: who has the
    address has the page, nobody else gets anything. It shows what every point of the stream would predict, at every token; a
    click on a cell takes that prediction apart. Further pages show directions, an image model's channels, the map of the
    stream, and charts of stored results. It ends with Ctrl-C.""",
    examples="""
    mainstem view
    mainstem view "The Eiffel Tower is in the city of"
    mainstem view prompt.txt --model path/to/model
    mainstem view run/
    mainstem view --model default-image --data photographs/
    mainstem view --port 8765 --no-browser
    """,
)

_RESULTS = {".safetensors", ".parquet", ".csv", ".json", ".svg", ".png"}
What = Annotated[
    str | None,
    typer.Argument(
        metavar="PROMPT|FILE|RUN",
        help="What is shown first: a prompt in quotes, a text file that holds one, or a folder or file of stored results.",
    ),
]
Images = Annotated[
    Path | None, typer.Option("--data", metavar="FOLDER", help="Images, for the page of an image model's channels.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="The port; 0 for any that is free.")]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in the browser, or only print its address.")]


def view(
    what: What = None,
    model: opt.ModelOption = "default",
    port: Port = 0,
    browser: Browser = True,
    data: Images = None,
    device: opt.Device = None,
    dtype: opt.DtypeOption = None,
    revision: opt.Revision = None,
    trust_remote_code: opt.Trust = False,
    pickles: opt.Pickles = False,
) -> None:
    """Serves what `mainstem.view` does until it is interrupted.

    Parameters: `what`, a prompt, a file with one, or stored results; `port`, `browser` and `data`, as of `mainstem.view`; `model`, `device`, `dtype`, `revision`,
    `trust_remote_code`, `pickles`, as of `mainstem.load`.
    """
    run = _stored(what if what is None else not_missing(what))
    prompt = None if run else _prompt(what)
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("opening the page"):
        from mainstem.api import view as look

        served = look(held, prompt, port, browser, data, run)
    typer.echo(served.url)  # whole on one line, and at once also where it is read by a program
    served.wait()


def _stored(what: str | None) -> Path | None:
    """The folder or the file of stored results that is named, if one is."""
    if what is None or len(what) > 255 or "\n" in what:
        return None
    place = Path(what)
    return place if place.is_dir() or (place.suffix.lower() in _RESULTS and place.is_file()) else None


def _prompt(what: str | None) -> str | None:
    """The prompt itself, or what stands in the file of that name."""
    if what is None or len(what) > 255 or "\n" in what or not Path(what).is_file():
        return what
    try:
        prompt = Path(what).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{what} is no text in UTF-8") from error
    if not prompt.strip():
        raise typer.BadParameter(f"{what} is empty: write a prompt into it")
    return prompt
