"""Which chart shows what patching found: components by tokens, layers by heads, or bars."""

from typing import Any, Protocol, runtime_checkable

from mainstem.core import InputError

from ._patched_file import Found

_SHOWN = ("recovery", "effect", "exact")
_UNITS = {"logprob": "nats", "logit": "logits"}


@runtime_checkable
class _Found(Found, Protocol):
    """What a chart says of what patching found."""

    @property
    def estimated(self) -> bool: ...

    def _of(self, prompt: int) -> Any: ...


def chart(found: _Found, by: str | None, prompt: int, k: int) -> Any:
    """The chart of one pair. Parameters: as of `PatchingResult.chart`. Raises `InputError` where there is nothing of it to draw."""
    from mainstem.view import head_map, token_map, top_components

    denoised = found.choices["side"] == "denoise"
    wanted = by or ("recovery" if denoised else "effect")
    rows = found._of(prompt)
    if wanted not in _SHOWN or wanted not in rows.columns:
        raise InputError(f"a chart shows {', '.join(n for n in _SHOWN if n in rows.columns)}, not {wanted!r}.")
    rows = rows.filter(rows[wanted].is_not_null())
    if rows.is_empty():
        raise InputError(
            f"there is no {wanted} to draw: both prompts score the same, or nothing was patched exactly. Take by='effect'."
        )
    rows = rows.drop("value").rename({wanted: "value"})
    unit = "of the difference" if wanted == "recovery" else f"{found.choices['metric']}, {_UNITS[found.choices['metric']]}"
    how: dict[str, Any] = {"title": _title(found, prompt), "about": _about(found, prompt), "measure": f"{wanted} ({unit})"}
    if rows["position"].drop_nulls().n_unique() > 1:
        return token_map(rows, k, **how)
    return head_map(rows, **how) if found.choices["level"] == "head" else top_components(rows.drop("position"), k, **how)


def _title(found: _Found, prompt: int) -> str:
    how = "Attribution patching" if found.estimated else "Activation patching"
    return f"{how} by {found.choices['level']}: {found.targets[prompt]}"


def _about(found: _Found, prompt: int) -> str:
    names = [side[prompt] if prompt < len(side) else "" for side in found.prompts]
    scores = [f"{name} {float(value[prompt]):.3f}" for name, value in (("clean", found.clean), ("corrupt", found.corrupt))]
    what = {"patch": "the other run's", "zero": "zero", "mean": "the mean", "resample": "places drawn by chance"}[
        found.choices["mode"]
    ]
    into = "clean into corrupt" if found.choices["side"] == "denoise" else "corrupt into clean"
    texts = f"clean: {names[0]!r}; corrupt: {names[1]!r}" if all(names) else ""
    return "\n".join(filter(None, (f"{found.model}: {into}, {what}; {', '.join(scores)} ({found.choices['metric']})", texts)))
