"""The models that come with mainstem: their files, their cards, and how each is made. No network, and no transformers."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import file_digest
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from mainstem.core import InputError, LoadError

from ._gpt2 import load_gpt2
from ._pixels import Pixels
from ._resnet import load_resnet
from ._text import Codec

HOME = Path(__file__).parent
T = TypeVar("T")
Made = tuple[nn.Module, Codec | None, Any]  # with its tokenizer or its image processor


@dataclass(frozen=True)
class Embedded:
    """A model that comes with mainstem, as its folder tells; `load(name)` gives the model itself.

    Parameters: `name`, what `load` knows it by; `kind`, what it reads, "text" or "image".
    """

    name: str
    kind: str

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return HOME / self.name

    @property
    def shape(self) -> str:
        """Its sizes in words."""
        return _KINDS[self.kind].shape(plain(self.folder / "config.json", dict))

    @property
    def size(self) -> int:
        """Bytes that its files take."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if path.is_file())

    @property
    def summary(self) -> str:
        """What it is, in a sentence."""
        return str(self._facts.get("summary", ""))

    @property
    def figures(self) -> dict[str, float | int | str]:
        """What was measured of it, by what it is; the first one says most."""
        return dict(self._facts.get("figures", {}))

    @property
    def licence(self) -> str:
        """The licence of its weights, as card.json says or else what stands before the card."""
        lines = (line.partition(":") for line in self._front.splitlines())
        said = next((value.strip() for key, _, value in lines if key == "license"), "")
        return str(self._facts.get("licence", said))

    @property
    def card(self) -> str:
        """Its model card in Markdown: data, training, scores, limits."""
        return _text(self.folder / "CARD.md").removeprefix(self._front).strip()

    def to_dict(self) -> dict[str, Any]:
        """All but the card, as plain JSON types."""
        said = {name: getattr(self, name) for name in ("name", "kind", "shape", "licence", "summary", "figures")}
        return {**said, "bytes": self.size}

    @property
    def _front(self) -> str:
        """What stands before the card itself, between two lines of dashes."""
        text = _text(self.folder / "CARD.md")
        end = text.find("\n---\n", 3) if text.startswith("---\n") else -1
        return text[: end + len("\n---\n")] if end >= 0 else ""

    @property
    def _facts(self) -> dict[str, Any]:
        return plain(self.folder / "card.json", dict)


@dataclass(frozen=True)
class _Kind:
    """How models of a kind are read: the files that are needed, the module with what reads its inputs, the sizes in words."""

    files: tuple[str, ...]
    made: Callable[[Path], Made]
    shape: Callable[[dict[str, Any]], str]


def embedded(name: str | None = None) -> dict[str, Embedded]:
    """The models that come with mainstem, by name.

    Parameters: `name`, of a single one. Raises `InputError`, with the names that there are, where none is called so.
    """
    found = {one.name: one for one in _ALL if one.folder.is_dir()}
    if name is None:
        return found
    if name not in found:
        raise InputError(f"no model called {name!r} comes with mainstem. {offered(name)}")
    return {name: found[name]}


def offered(name: str) -> str:
    """What to say to somebody who asked for a model that is not there. Parameters: `name`, what was asked for."""
    names = list(embedded())
    near = nearest(name)
    question = f": did you mean {near!r}?" if near else "."
    return f"Embedded {'are' if len(names) > 1 else 'is'} {', '.join(map(repr, names))}{question}"


def nearest(name: str, alike: float = 0.6) -> str | None:
    """The embedded model whose name is most like it. Parameters: `name`; `alike`, from 0 to 1, how much so at least."""
    return next(iter(get_close_matches(name, list(embedded()), 1, alike)), None)


def make(one: Embedded) -> Made:
    """The module with its tokenizer or image processor, from files that are what was shipped.

    Parameters: `one`. Raises `LoadError` for files that are missing, changed or unreadable.
    """
    kind = _KINDS[one.kind]
    _check(one, kind.files)
    try:
        return kind.made(one.folder)
    except LoadError:
        raise
    except Exception as error:  # a broken file fails in as many ways as there are libraries that read one
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise LoadError(f"{one.folder} cannot be read ({reason}){_REINSTALL}") from error


def sums(folder: Path) -> dict[str, str]:
    """The sha256 of a model's files, the card aside, as "sha256" in card.json has them. Parameters: `folder`."""
    return {path.name: _sum(path) for path in sorted(folder.iterdir()) if path.name not in ("card.json", "CARD.md")}


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _check(one: Embedded, names: tuple[str, ...]) -> None:
    wanted = one._facts.get("sha256", {})
    for name in (*names, *wanted):
        if not (one.folder / name).is_file():
            raise LoadError(f"{one.folder / name} is missing{_REINSTALL}")
    for name in wanted:
        if _sum(one.folder / name) != wanted[name]:
            raise LoadError(f"{one.folder / name} is not the file that was shipped{_REINSTALL}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise LoadError(f"{path} is missing{_REINSTALL}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"{path} cannot be read ({error}){_REINSTALL}") from error


def plain(path: Path, kind: type[T]) -> T:
    """What a JSON file of the package holds. Parameters: `path`; `kind`, dict or list. Raises `LoadError` where it is broken."""
    try:
        found = json.loads(_text(path))
    except ValueError as error:
        raise LoadError(f"{path} is not readable JSON ({error}){_REINSTALL}") from error
    if not isinstance(found, kind):
        raise LoadError(f"{path} does not hold a {kind.__name__}{_REINSTALL}")
    return found


def _decoder(folder: Path) -> Made:
    module = load_gpt2(folder)
    return module, Codec.from_file(folder / "tokenizer.json", module.config.n_positions, module.config.vocab_size), None


def _classifier(folder: Path) -> Made:
    return load_resnet(folder), None, Pixels.read(folder / "preprocessor_config.json")


def _of_decoder(config: dict[str, Any]) -> str:
    return f"{config['n_layer']} layers, {config['n_embd']} dims, {config['n_head']} heads"


def _of_classifier(config: dict[str, Any]) -> str:
    widths = "-".join(map(str, config["hidden_sizes"]))
    return f"{sum(config['depths'])} blocks, {widths} channels"


_REINSTALL = ": the installation is broken. Install mainstem again, or in a clone: git checkout src/mainstem/models"
_KINDS = {
    "text": _Kind(("config.json", "model.safetensors", "tokenizer.json"), _decoder, _of_decoder),
    "image": _Kind(("config.json", "model.safetensors", "preprocessor_config.json"), _classifier, _of_classifier),
}
_ALL = (Embedded("default", "text"), Embedded("tiny", "text"), Embedded("default-image", "image"))
