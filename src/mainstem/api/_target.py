"""What is scored, as a user says it: a token, a contrast, alternatives, a sequence. Plain values, made concrete where they are used."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mainstem.core import InputError

Token = str | int | Sequence[str | int] | Sequence[Sequence[str | int]] | Tensor


@dataclass(frozen=True)
class AnyOf:
    """Any of several tokens: log-probabilities are of their sum. Made by `any_of`.

    Parameters: `alternatives`, texts or ids, or each one of these for every prompt.
    """

    alternatives: tuple[Token, ...]

    def __post_init__(self) -> None:
        named = [token for token in self.alternatives if isinstance(token, (str, int))]
        if not self.alternatives:
            raise InputError('any_of() is empty: name the alternatives, such as any_of(" Paris", " paris").')
        if len(self.alternatives) == 1 and not named:
            raise InputError("any_of() takes the alternatives one by one: any_of(*tokens).")
        if twice := [token for i, token in enumerate(named) if token in named[:i]]:
            raise InputError(f"any_of() names {twice[0]!r} twice: each alternative counts once.")


@dataclass(frozen=True)
class TokenSequence:
    """Several tokens, one after another, each read behind those before it. Made by `sequence`.

    Parameters: `tokens`, a text or ids, or one of these for each prompt.
    """

    tokens: Token

    def __post_init__(self) -> None:
        every = self.tokens if isinstance(self.tokens, (list, tuple)) else [self.tokens]
        if not every or any(map(_is_empty, every)):
            raise InputError('the sequence is empty: give a text, such as sequence(" the capital"), or ids.')


def _is_empty(tokens: Token) -> bool:
    return not isinstance(tokens, int) and not (tokens.numel() if isinstance(tokens, Tensor) else len(tokens))


@dataclass(frozen=True)
class Contrast:
    """One target held against another: the difference of their logits, their log-odds. Made by `contrast`.

    Parameters: `token` and `against`, texts or ids, or one of these for each prompt; or alternatives.
    """

    token: Token | AnyOf
    against: Token | AnyOf


Target = Token | Contrast | AnyOf | TokenSequence | None


def contrast(token: Token | AnyOf, against: Token | AnyOf) -> Contrast:
    """A target held against another: log p(token) - log p(against), for two tokens the difference of their logits.

    Parameters: `token` and `against`, texts that are one token each, or ids; or a list of these, one for each prompt; or
    `any_of` several.
    """
    return Contrast(token, against)


def any_of(*alternatives: Token) -> AnyOf:
    """A target that is any of several tokens: log sum_w p(w), of logits log sum_w exp l_w.

    Parameters: `alternatives`, texts that are one token each, or ids; each can be a list, one for every prompt.

    Raises `InputError` for none, and for one that is named twice.
    """
    return AnyOf(alternatives)


def sequence(tokens: Token) -> TokenSequence:
    """A target of several tokens, teacher-forced: sum_i log p(token_i | prompt, token_1 ... token_{i-1}).

    The model is run on the prompt and all but the last of the tokens; what is scored is summed over the places where they are
    predicted. Needs a model that reads no later token than the one it predicts from.

    Parameters: `tokens`, a text that continues the prompt, or ids; or one of these for each prompt.

    Raises `InputError` for an empty one.
    """
    return TokenSequence(tokens)
