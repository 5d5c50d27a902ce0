"""A target made concrete: ids at every place that is scored, and what they are held against."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.models import Inputs, Loaded
from mainstem.score import Goal

from ._names import has_words, index_of, name_of
from ._target import AnyOf, Contrast, Target, Token, TokenSequence


@dataclass(frozen=True, eq=False)
class Sight:
    """What a target is made concrete against.

    Parameters: `loaded`; `inputs`; `output`, the run's, at every position or at the places alone; `places`, from `spots`.
    """

    loaded: Loaded
    inputs: Inputs
    output: Tensor
    places: Tensor | None

    @property
    def shape(self) -> tuple[int, ...]:
        """The rows of the output that are scored: [batch], [batch, pos], or what axes there are."""
        return tuple(self.output.shape[:-1] if self.places is None else self.output.shape[:1])

    def name(self, index: int) -> str:
        """A place on the output's last axis in words. Parameters: `index`."""
        return name_of(self.loaded, index, self.output)

    @cached_property
    def prompts(self) -> tuple[str | None, ...]:
        """The text of every prompt that ends where it is scored, which a target's text continues.

        None where ids were traced, where something follows, and where a token of another kind ends it, such as BERT's [SEP].
        """
        texts, ids, last = self.inputs.prompts, self.inputs.ids, self.inputs.last
        words = self.loaded.codec if has_words(self.loaded, self.output) else None
        if words is None or ids is None or last is None or self.places is None or len(texts) != len(self.places):
            return (None,) * self.output.shape[0]
        bare = [words.cut(text) for text in texts]
        ends = zip(texts, bare, ids, self.places.tolist(), last.tolist(), strict=True)
        return tuple(
            text if at == end and row[: at + 1].tolist()[-len(own) :] == own else None for text, own, row, at, end in ends
        )


def aim(sight: Sight, target: Target) -> Goal:
    """A target at the places that are scored, one cell of the result each.

    Parameters: `sight`; `target`, None for what the model predicts.

    Raises `InputError` for unknown tokens, texts of several tokens or that merge with the prompt, equal sides of a contrast.
    """
    if isinstance(target, TokenSequence):
        raise InputError("a sequence is of several places: score it with scores().")
    if isinstance(target, Contrast):
        ids, against = _side(sight, target.token), _side(sight, target.against)
        _check_sides(sight, ids, against)
        return _goal(sight, ids, against)
    return _goal(sight, _predicted(sight) if target is None else _side(sight, target), None)


def _goal(sight: Sight, ids: Tensor, against: Tensor | None) -> Goal:
    output, shape = sight.output, sight.shape
    if sight.places is None:
        places = torch.cartesian_prod(*(torch.arange(n, device=output.device) for n in shape)).reshape(-1, len(shape))
    else:
        places = torch.stack([torch.arange(shape[0], device=output.device), sight.places], 1)
    cells = shape if output.ndim == 3 else shape[:1]
    owner = torch.arange(len(places), device=output.device) if cells == shape else places[:, 0]
    mask = sight.inputs.mask
    real = mask.flatten().to(output) if mask is not None and mask.shape == shape else output.new_ones(len(places))
    rows = [t if t is None else t.reshape(len(places), -1) for t in (ids, against)]
    full = [t if t is None else torch.ones_like(t, dtype=torch.bool) for t in rows]
    text = _said(sight, ids) if against is None else _said(sight, ids, against)
    assert rows[0] is not None and full[0] is not None
    return Goal(places, rows[0], full[0], rows[1], full[1], real, owner, cells, text)


def _predicted(sight: Sight) -> Tensor:
    if sight.loaded.codec is not None and not has_words(sight.loaded, sight.output):
        raise InputError(
            f"this model has no vocabulary readout: its output has {sight.output.shape[-1]} features. Name one: target=0 (--target 0)."
        )
    output, places = sight.output, sight.places
    rows = torch.arange(output.shape[0], device=output.device)
    at = output if places is None else output[rows, places if output.shape[1] > 1 else 0]
    return at.argmax(-1, keepdim=True)


def _side(sight: Sight, target: Token | AnyOf) -> Tensor:
    """[place ..., alternative] of one side of a contrast, or of all there is."""
    each = target.alternatives if isinstance(target, AnyOf) else (target,)
    ids = torch.stack([_tokens(sight, token) for token in each], -1)
    order = ids.sort(-1).values
    if bool((twice := order[..., 1:][order[..., 1:] == order[..., :-1]]).numel()):
        raise InputError(f"two of the alternatives are the same token here, {sight.name(int(twice[0]))!r}: name it once.")
    return ids


def _check_sides(sight: Sight, ids: Tensor, against: Tensor) -> None:
    same = ids.shape == against.shape and (ids.sort(-1).values == against.sort(-1).values).all(-1)
    if isinstance(same, Tensor) and bool(same.any()):
        raise InputError(f"a contrast is of two different tokens; both are {_words(sight, ids[same][0].tolist())}.")


def _said(sight: Sight, *sides: Tensor) -> str | tuple[str, ...]:
    """The target in words: one text if it is the same everywhere, one for each prompt if there is one position of each."""
    rows = [side.flatten(0, -2) for side in sides]
    if sides[0].ndim > 2 and any(bool((row != row[:1]).any()) for row in rows):
        return "a token at each position"
    texts = [" over ".join(_words(sight, side) for side in row) for row in zip(*(r.tolist() for r in rows), strict=True)]
    return texts[0] if len(set(texts)) == 1 else tuple(texts)


def _words(sight: Sight, ids: list[int]) -> str:
    words = ", ".join(repr(sight.name(i)) for i in ids)
    return words if len(ids) == 1 else f"any of {words}"


def _tokens(sight: Sight, given: Token) -> Tensor:
    """The ids of a token, or of one for each prompt or place, as many as there are places."""
    size, shape = sight.output.shape[-1], sight.shape
    if isinstance(given, str) and any(prompt is not None for prompt in sight.prompts):
        given = [given] * shape[0]
    if isinstance(given, (str, int)):
        return torch.full(shape, index_of(sight.loaded, given, sight.output), device=sight.output.device)
    ids = given if isinstance(given, Tensor) else _listed(sight, given)
    if ids.shape not in ((), shape):
        raise InputError(_miscounted(tuple(ids.shape), shape))
    ids = ids.to(sight.output.device).long().expand(shape)
    if bool(((ids < 0) | (ids >= size)).any()):
        raise InputError(f"target ids go from 0 to {size - 1}.")
    return ids


def _miscounted(given: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """What is wrong with targets of a shape that is not that of the places."""
    names = ("prompts", "positions")[: len(shape)]
    wanted = " by ".join(f"{n} {name}" for n, name in zip(shape, names, strict=False))
    return f"{' by '.join(map(str, given))} targets for {wanted}: give one for all, or one for each."


def _listed(sight: Sight, given: object) -> Tensor:
    """Targets in a list, one for each prompt, or in lists of them, one for each position."""
    if not isinstance(given, (list, tuple)):
        return torch.tensor(index_of(sight.loaded, given, sight.output))
    if any(isinstance(one, (list, tuple)) for one in given):
        rows = [_listed(sight, one) for one in given]
        if len({row.shape for row in rows}) > 1:
            raise InputError(f"targets in lists of different lengths: give a target for each of {sight.shape}.")
        return torch.stack(rows)
    near = sight.prompts if sight.shape == (len(given),) else (None,) * len(given)
    return torch.tensor([index_of(sight.loaded, one, sight.output, text) for one, text in zip(given, near, strict=True)])
