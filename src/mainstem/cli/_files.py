"""Output files: looked at before any work is done, and whole or not there at all."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import typer

from ._terminal import noted

_ENDINGS = {
    ".txt",
    ".json",
    ".jsonl",
    ".parquet",
    ".csv",
    ".safetensors",
    ".html",
    ".png",
    ".svg",
    ".jpg",
    ".jpeg",
    ".npz",
    ".npy",
}
_IMAGES = {".png", ".jpg", ".jpeg", ".svg"}
_NAME = re.compile(r"[^<]/|^/")


def not_missing(text: str) -> str:
    """A prompt, or the name of a file that is there. Parameters: `text`. Raises `BadParameter` for a name alone of no file.

    A name is one word that ends as files do, or that has a folder in it; a tag such as </s> is none.
    """
    named = Path(text).suffix.lower() in _ENDINGS or _NAME.search(text)
    if named and not re.search(r"\s", text) and len(text) <= 255 and not Path(text).exists():
        raise typer.BadParameter(f"there is no file {text}")
    return text


def prompt_of(text: str) -> str:
    """A prompt, or what stands in the text file that is named instead of one, without the end of its last line.

    A file is named by a name that ends as files do, or that has a folder in it; a plain word that a file here is called is still a prompt.
    Either way it is said on stderr. Parameters: `text`. Raises `BadParameter` for a file that is not there, or holds no prompt.
    """
    path = Path(not_missing(text))
    if not text or len(text) > 255 or not path.is_file():
        return text
    if not _NAME.search(text) and path.suffix.lower() not in (*_ENDINGS, ".md"):
        noted(f'{text} is read as the prompt, though a file here is called so; for what it says: "$(cat {text})"')
        return text
    if path.suffix.lower() in _IMAGES:
        raise typer.BadParameter(f"{text} is an image: --image {text}")
    if path.suffix.lower() in _ENDINGS - {".txt"}:
        raise typer.BadParameter(f"{text} is no text file: a prompt is text in quotes, or a .txt file that holds one")
    try:
        prompt = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{text} cannot be read as text in UTF-8") from error
    if not prompt.strip():
        raise typer.BadParameter(f"{text} is empty: write a prompt into it")
    noted(f"the prompt is what stands in the file {text}, {len(prompt):,} characters")
    return prompt


def output(ending: str) -> Callable[[Path | None], Path | None]:
    """A check, for an option, that a file can be written. Parameters: `ending`, what its name must end with."""

    def check(path: Path | None) -> Path | None:
        if path is not None and (fault := _fault(path, ending)):
            raise typer.BadParameter(fault)
        return path

    return check


def _fault(path: Path, ending: str) -> str | None:
    folder = path.parent
    if path.is_dir():
        return f"{path} is a folder: name a file in it, such as {path / ('mainstem' + ending)}"
    if path.exists() and not path.is_file():
        return f"{path} is not a plain file: name another"
    if path.suffix != ending:
        return f"{path} does not end with {ending}: call it {path.with_suffix(ending)}"
    if not folder.is_dir():
        return f"there is no folder {folder}: make it first, mkdir -p {folder}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"nothing can be written in {folder.resolve()}: name a file in another folder"
    return None
