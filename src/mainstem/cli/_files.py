"""Output files: looked at before any work is done, and whole or not there at all."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import typer

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


def not_missing(text: str) -> str:
    """A prompt, or the name of a file that is there. Parameters: `text`. Raises `BadParameter` for a name alone of no file.

    A name is one word that ends as files do, or that has a folder in it; a tag such as </s> is none.
    """
    named = Path(text).suffix.lower() in _ENDINGS or re.search(r"[^<]/", text) or text.startswith("/")
    if named and not re.search(r"\s", text) and len(text) <= 255 and not Path(text).exists():
        raise typer.BadParameter(f"there is no file {text}")
    return text


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
