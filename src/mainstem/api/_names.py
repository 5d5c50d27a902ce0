"""Places on the output's last axis in words, and back: tokens, classes, numbers."""

from torch import Tensor

from mainstem.core import InputError
from mainstem.models import Loaded, continued_by_one


def has_words(loaded: Loaded, output: Tensor) -> bool:
    """Whether the output's last axis is the tokenizer's vocabulary. Parameters: `loaded`; `output`."""
    return loaded.codec is not None and (loaded.codec.size is None or output.shape[-1] >= loaded.codec.size)


def name_of(loaded: Loaded, index: int, output: Tensor) -> str:
    """A place on the output's last axis in words: a token, a class, else its number. Parameters: `loaded`; `index`; `output`."""
    if has_words(loaded, output) and loaded.codec is not None:
        return loaded.codec.piece(index)
    classes = getattr(getattr(loaded.module, "config", None), "id2label", None) or {}
    return str(classes.get(index, index)) if len(classes) == output.shape[-1] else str(index)


def index_of(loaded: Loaded, target: object, output: Tensor, prompt: str | None = None) -> int:
    """The place of a token or class on the output's last axis.

    Parameters: `loaded`; `target`, a text, or the place itself; `output`; `prompt`, what a text continues, None where it
    stands by itself. Raises `InputError` for a text that is none or several, and for a place that is not there.
    """
    if isinstance(target, str):
        target = _named(loaded, target, output, prompt)
    if not isinstance(target, int) or isinstance(target, bool):
        raise InputError(
            f"a target is a token's text or id, or a list or tensor of these; any_of() and contrast() are of such, not of {target!r}."
        )
    if not 0 <= target < output.shape[-1]:
        raise InputError(f"there is no target {target}: the output has {output.shape[-1]} entries, counted from 0.")
    return target


def _named(loaded: Loaded, text: str, output: Tensor, prompt: str | None) -> int:
    if loaded.codec is not None and has_words(loaded, output):
        return loaded.codec.one(text) if prompt is None else continued_by_one(loaded.codec, prompt, text)
    classes = getattr(getattr(loaded.module, "config", None), "id2label", None) or {}
    found = [i for i, name in classes.items() if text.lower() in (str(name).lower(), *str(name).lower().split(", "))]
    if not found and text.isdecimal():
        return int(text)
    if len(found) != 1:
        some = ", ".join(repr(str(name)) for name in list(classes.values())[:4])
        known = f"{some}, ..." if len(classes) > 4 else some or "not named"
        raise InputError(f"no class {text!r} in this model: its {output.shape[-1]} are {known}; a number from 0 will do too.")
    return int(found[0])
