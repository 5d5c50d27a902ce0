"""Which chart scores are drawn as, and what stands above it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from mainstem.core import InputError
from mainstem.score import score_named
from mainstem.view import MINUS, Chart, head_map, score_by_layer, source_map, top_components

_TITLES = {
    "layers": "Score by layer",
    "heads": "Score by layer and head",
    "sources": "Score by source",
    "neurons": "Strongest neurons",
    "ranking": "Strongest components",
}
_SCORES = {
    "dla": "direct logit attribution",
    "logprob_increase": "log-probability increase",
    "prob_increase": "probability increase",
}
_UNSAID = ("model", "target", "worked_out", "of", "prompt", "position")
_WORDS = 5
Words = Callable[..., Any]


@runtime_checkable
class Scored(Protocol):
    """What a chart says of the scores that it shows."""

    @property
    def model(self) -> str: ...
    @property
    def target(self) -> str | tuple[str, ...]: ...
    @property
    def tokens(self) -> tuple[tuple[str, ...], ...]: ...
    @property
    def mask(self) -> Tensor | None: ...
    @property
    def choices(self) -> dict[str, Any]: ...


def chart(
    scored: Scored,
    frame: Any,
    foot: str,
    kind: str | None = None,
    k: int = 20,
    words: Words | None = None,
    title: str | None = None,
) -> Chart:
    """Scores of one prompt at one position as a chart.

    Parameters: `scored`, what they are of; `frame`, their rows; `foot`, what stands behind the choices; `kind`, a name in
    `_TITLES`, None for what fits; `k`, components or heads at most; `words`, gives the first words of labels at a
    position, as `Trace.words`; `title`, another than the kind's.
    """
    kind = _fitting(frame) if kind is None else kind
    if kind not in _TITLES:
        raise InputError(f"no chart {kind!r}; there are {', '.join(_TITLES)}.")
    if words is not None and kind not in ("neurons", "ranking"):
        raise InputError(f'words stand in chart("neurons") and chart("ranking"), not in chart({kind!r}): leave them out.')
    prompt = (frame["prompt"][0] if len(frame) else None) or 0
    target = scored.target if isinstance(scored.target, str) else scored.target[prompt]
    said = {"title": f"{title or _TITLES[kind]}: {target}", "about": _about(scored, frame, foot), "measure": _measure(scored)}
    match kind:
        case "layers":
            return score_by_layer(frame, **said)
        case "heads":
            return head_map(frame, **said)
        case "sources":
            return source_map(frame, k, **said)
    rows = _neurons(frame) if kind == "neurons" else frame
    return top_components(rows, k, words and _first(words, scored, rows), **said)


def _fitting(frame: Any) -> str:
    """By the finest coordinate that the rows have; layers where they have none."""
    fits = {"neuron": "neurons", "dim": "ranking", "key_pos": "sources", "head": "heads", "layer": "layers"}
    return next((kind for column, kind in fits.items() if frame[column].null_count() < len(frame)), "ranking")


def _neurons(frame: Any) -> Any:
    found = frame.filter(frame["neuron"].is_not_null())
    if found.is_empty():
        raise InputError('these scores have no neurons: scores(..., level="neuron").')
    return found


def _first(words: Words, scored: Scored, frame: Any) -> Callable[[Sequence[str]], list[list[str]]]:
    """The first words of labels, at the scored place where there is one: `Trace.words` counts it from the first real token."""
    prompt, position = frame.select("prompt", "position").row(0) if len(frame) else (None, None)
    padded = 0 if scored.mask is None or prompt is None else int(scored.mask[prompt].argmax())
    place = {} if position is None else {"position": position - padded}
    return lambda labels: [[word for word, _ in said] for said in words(labels, _WORDS, 0, **place).raised]


def _measure(scored: Scored) -> str:
    if (by := scored.choices.get("by")) is None:
        return "score"
    name, unit = _SCORES.get(by, by.replace("_", " ")), score_named(by).unit
    return name if name.startswith(unit) else f"{name} ({unit})"


def _about(scored: Scored, frame: Any, foot: str) -> str:
    return subtitle(_prompt(scored, frame), scored.model, scored.choices, foot)


def subtitle(prompt: str, model: str, choices: Mapping[str, Any], foot: str) -> str:
    """The prompt up to the scored place, and below it the model, the choices and the foot.

    Parameters: `prompt`; `model`; `choices`; `foot`.
    """
    said = [_choice(name.replace("_", " "), v) for name, v in choices.items() if name not in _UNSAID]
    parts = [part.replace(" ", "\u00a0") for part in (model, *said, foot.replace("-", MINUS)) if part]
    return "\n".join(filter(None, [prompt, "\u00a0· ".join(parts)]))


def _choice(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return "" if value is None or (name, value) == ("edits", 0) else f"{name} {value}"


def _prompt(scored: Scored, frame: Any) -> str:
    if not scored.tokens or frame.is_empty():
        return ""
    prompt, position = frame.select("prompt", "position").row(0)
    if prompt is None and len(scored.tokens) > 1:
        return f"{len(scored.tokens)} prompts, summed"
    pieces = scored.tokens[prompt or 0]
    real = [True] * len(pieces) if scored.mask is None else scored.mask[prompt or 0].tolist()
    end = len(pieces) if position is None else position + 1
    return joined([piece for piece, keep in zip(pieces[:end], real, strict=False) if keep])


def joined(pieces: Sequence[str], most: int = 140) -> str:
    """Tokens as one line of text, and numbers of tokens, where a model has no words, apart from each other.

    Parameters: `pieces`; `most`, characters; of what is longer the end is kept.
    """
    text = (" " if all(map(str.isdecimal, pieces)) else "").join(pieces).replace("\n", "¶")
    return text if len(text) <= most else f"…{text[1 - most :]}"
