"""A text where it continues another: there it is cut into other tokens than by itself, and some texts do not begin with one."""

from mainstem.core import InputError

from ._text import Codec

_FAR = 40  # letters that a boundary is moved by, at most, to find one that will do


def continued(codec: Codec, prompt: str | None, text: str, what: str = "the target") -> list[int]:
    """The tokens of a text behind a prompt: those of both together, without those of the prompt.

    A tokenizer whose pieces do not tell where spaces are (WordPiece) gets one between the two: there a text is words, and what
    goes on within a word has a spelling of its own, such as ##ing.

    Parameters: `codec`; `prompt`, None where it is not known; `text`; `what` it is called in errors. Raises `InputError` where
    a token would reach from one into the other, with the tokens, and a boundary that none reaches over.
    """
    bare = codec.cut(text, what)
    if prompt is None:
        return _inside(codec, text, bare)
    joint = text if codec.spaced else " " + text
    alone, both = codec.cut(prompt, "the prompt"), codec.cut(prompt + joint, what)
    if both[: len(alone)] != alone:
        raise InputError(_merged(codec, prompt, joint, what))
    if len(both) == len(alone):
        raise InputError(f"{what} {text!r} adds no token to the prompt: give a text that does, such as ' Paris'.")
    return both[len(alone) :]


def continued_by_one(codec: Codec, prompt: str, text: str) -> int:
    """The id of a text that is one token behind a prompt.

    Parameters: `codec`; `prompt`; `text`. Raises `InputError` as `continued`, and with the pieces where there are several.
    """
    ids = continued(codec, prompt, text)
    return codec.single(text, ids, " " + text)


def _inside(codec: Codec, text: str, bare: list[int]) -> list[int]:
    """A text behind one that is not known: without the space that SentencePiece puts before everything, where it has its own."""
    alone, both = codec.cut("a"), codec.cut("a" + text)
    follows = codec.spaced and text.startswith(" ") and both[: len(alone)] == alone
    return both[len(alone) :] if follows else bare


def _merged(codec: Codec, prompt: str, text: str, what: str) -> str:
    alone, both = codec.cut(prompt), codec.cut(prompt + text)
    same = next(i for i, pair in enumerate(zip(alone, [*both, -1], strict=False)) if pair[0] != pair[1])
    cuts = f"the prompt ends in {codec.shown(alone[same:])}, which together become {codec.shown(both[same:])}"
    return f"{what} {text!r} does not begin a token behind this prompt: {cuts}. {_moved(codec, prompt, text)}"


def _moved(codec: Codec, prompt: str, text: str) -> str:
    """Where the boundary could be instead: the nearest place that no token reaches over."""
    whole = prompt + text
    both = codec.cut(whole)
    for step in range(1, _FAR):
        for end in (len(prompt) + step, len(prompt) - step):
            if 0 < end < len(whole) and (ids := codec.cut(whole[:end])) == both[: len(ids)]:
                return f"End the prompt with {whole[max(0, end - 12) : end]!r} and give {whole[end:]!r}, or give its id."
    return "Give its id."
