"""Which chart scores are drawn as, and what stands above it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from mainstem.core import InputError
from mainstem.view import Chart, head_map, score_by_layer, source_map, top_components

_MEASURES = {
    "dla": "direct logit attribution (logit)",
    "logprob_increase": "log-probability increase (nats)",
    "prob_increase": "probability increase",
    "path": "path score (nats)",
}
_TITLES = {
    "layers": "Score by layer",
    "heads": "Score by layer and head",
    "sources": "Score by source",
    "neurons": "Strongest neurons",
    "ranking": "Strongest components",
}
_WORDS = 5


@runtime_checkable
class Scored(Protocol):
    """Scores of one prompt at one position, as `Result` holds them."""

    @property
    def model(self) -> str: ...
    @property
    def target(self) -> str | tuple[str, ...]: ...
    @property
    def tokens(self) -> tuple[tuple[str, ...], ...]: ...
    @property
    def positions(self) -> tuple[int, ...] | None: ...
    @property
    def mask(self) -> Tensor | None: ...
    @property
    def axes(self) -> tuple[str, ...]: ...
    @property
    def whole(self) -> Tensor: ...
    @property
    def choices(self) -> dict[str, Any]: ...
    def frame(self) -> Any: ...


def chart(result: Scored, kind: str | None, k: int, words: Callable[..., Any] | None) -> Chart:
    """Scores of one prompt at one position as a chart.

    Parameters: `result`; `kind`, a name in `_TITLES`, None for what fits; `k`, components or heads at most; `words`, gives the first
    and last words of a label, as `Trace.words` does.
    """
    if other := set(result.axes) - {"component", "batch", "pos"}:
        raise InputError(
            f"chart() draws one number a component; these have an axis {', '.join(sorted(other))}: sum it away first."
        )
    frame = result.frame()
    kind = _fitting(frame) if kind is None else kind
    if kind not in _TITLES:
        raise InputError(f"no chart {kind!r}; there are {', '.join(_TITLES)}.")
    if words is not None and kind not in ("neurons", "ranking"):
        raise InputError(f'words stand in chart("neurons") and chart("ranking"), not in chart({kind!r}): leave them out.')
    said = {"title": f"{_TITLES[kind]}: {result.target}", "about": _about(result), "measure": _measure(result)}
    match kind:
        case "layers":
            return score_by_layer(frame, **said)
        case "heads":
            return head_map(frame, **said)
        case "sources":
            return source_map(frame, k, **said)
    rows = _neurons(frame) if kind == "neurons" else frame
    return top_components(rows, k, words and _first(words), **said)


def _fitting(frame: Any) -> str:
    """By the finest coordinate that the rows have; layers where they have none."""
    fits = {"neuron": "neurons", "dim": "ranking", "key_pos": "sources", "head": "heads", "layer": "layers"}
    return next((kind for column, kind in fits.items() if frame[column].null_count() < len(frame)), "ranking")


def _neurons(frame: Any) -> Any:
    found = frame.filter(frame["neuron"].is_not_null())
    if found.is_empty():
        raise InputError('these scores have no neurons: scores(..., level="neuron").')
    return found


def _first(words: Callable[..., Any]) -> Callable[[str], Sequence[str]]:
    return lambda label: [word for word, _ in words(label, _WORDS)["first"]]


def _measure(result: Scored) -> str:
    by = str(result.choices.get("by", "score"))
    return _MEASURES.get(by, by.replace("_", " "))


def _about(result: Scored) -> str:
    """The prompt up to the scored place, and below it the model and the choices, with the sum."""
    kept = {k: v for k, v in result.choices.items() if k not in ("model", "target") and v not in (None, 0, "")}
    parts = [result.model, *(f"{name} {value}" for name, value in kept.items()), f"sum {float(result.whole):.4f}"]
    return "\n".join(filter(None, [_prompt(result), " · ".join(parts)]))


def _prompt(result: Scored, most: int = 140) -> str:
    if len(result.tokens) != 1:
        return f"{len(result.tokens)} prompts, summed" if result.tokens else ""
    end = len(result.tokens[0]) if result.positions is None else result.positions[0] + 1
    real = [True] * end if result.mask is None else result.mask[0].tolist()
    text = "".join(piece for piece, keep in zip(result.tokens[0][:end], real, strict=False) if keep)
    text = text.replace("\n", "¶")
    return text if len(text) <= most else f"…{text[1 - most :]}"
