"""`mainstem view`: the page in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from . import _options as opt
from ._help import explained
from ._open import opened
from ._terminal import busy, show

HELP = explained(
    "Opens a page in the browser on which a model is looked at.",
    """The page is served on this machine alone, and nothing is fetched from elsewhere. Its address holds a random token: who has the
    address has the page, nobody else gets anything. It shows what every point of the stream would predict, at every token; a
    click on a cell takes that prediction apart. It ends with Ctrl-C.""",
    examples="""
    mainstem view
    mainstem view "The Eiffel Tower is in the city of"
    mainstem view prompt.txt --model path/to/model
    mainstem view --port 8765 --no-browser
    """,
)

What = Annotated[
    str | None,
    typer.Argument(metavar="PROMPT|FILE", help="What is shown first: a prompt in quotes, or a text file that holds one."),
]
Port = Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="The port; 0 for any that is free.")]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open it in the browser, or only print its address.")]


def view(
    what: What = None,
    model: opt.ModelOption = "default",
    port: Port = 0,
    browser: Browser = True,
    device: opt.Device = None,
    dtype: opt.DtypeOption = None,
    revision: opt.Revision = None,
    trust_remote_code: opt.Trust = False,
    pickles: opt.Pickles = False,
) -> None:
    """Serves what `mainstem.view` does until it is interrupted.

    Parameters: `what`, a prompt or a file with one; `port` and `browser`, as of `mainstem.view`; `model`, `device`, `dtype`, `revision`,
    `trust_remote_code`, `pickles`, as of `mainstem.load`.
    """
    prompt = _prompt(what)
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("opening the page"):
        from mainstem.api import view as look

        served = look(held, prompt, port, browser)
    show([served.url])
    served.wait()


def _prompt(what: str | None) -> str | None:
    """The prompt itself, or what stands in the file of that name."""
    if what is None or len(what) > 255 or "\n" in what or not Path(what).is_file():
        return what
    try:
        return Path(what).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{what} is no text in UTF-8") from error
