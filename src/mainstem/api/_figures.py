"""The four charts by layer that published accounts of privileged bases show, for any model."""

from collections.abc import Mapping, Sequence
from typing import Any

from mainstem.core import InputError, real
from mainstem.measure import measure_named

from ._looked import chosen
from ._measure import measure
from ._measurements import Measurements
from ._model import Model, check_model

WIDE, HIGH = 470, 230
_ROTATED = "any vector in a random basis"


def figures(
    model: Model | Sequence[Model],
    data: Any,
    threshold: float = 6.0,
    sided: str = "one",
    every: bool = False,
    title: str | None = None,
    column: str | None = None,
    batch_tokens: int = 4096,
    length: int | None = None,
    seed: int = 0,
) -> Any:
    """Kurtosis, kurtosis in a random basis, share of features with an outlier, and RMS, by layer: four panels, one chart.

    They are those of Ogden's account of residual streams (github.com/George-Ogden/residual-streams, figures 5 and 6 and its stored
    RMS), which follow Elhage et al. 2023. Here padding is not counted, the last point is the stream before the final norm, and every
    place of an image counts for itself; there padding counted, the last point lay behind that norm, and places were averaged. Beside
    both kurtoses stands what any vector has in a random basis, 3 (n - 1) / (n + 1).

    Parameters: `model`, one or several; `data`, as of `measure`, or such data by name; each of both is a line; `threshold`, of
    outliers (there 4 for RoBERTa, 10 for GPT-2, 6 for ResNets); `sided`, "one" as there, for values above it, or "two" for
    magnitudes; `every`, all points instead of the entry and what leaves each block; `title`; `column`, `batch_tokens` and `length`, as
    of `measure`; `seed`, of the rotation.

    Returns a chart, to be shown or saved as PNG, SVG, HTML or JSON. Raises `InputError` as `measure` does, and where altair is missing.
    """
    from mainstem.view import check_charts

    check_charts()
    models: list[Any] = list(model) if isinstance(model, list | tuple) else [model]
    sets = dict(data) if isinstance(data, Mapping) else {"": data}
    for one in models:
        check_model(one)
    if title is not None and not isinstance(title, str):
        raise InputError(f"title is text, not {title!r}.")
    threshold = real("threshold", threshold)
    if not models or not sets:
        raise InputError("there is nothing to draw: give a model and data.")
    asked = ["kurtosis", measure_named("rotated_kurtosis", seed=seed), "rms"]
    asked.append(measure_named("outliers", thresholds=(threshold,), sided=sided))
    how: dict[str, Any] = {"column": column, "batch_tokens": batch_tokens, "length": length}
    found = {
        _called(one, name, models, sets): measure(one, part, asked, points=None if every else _leaving(one), **how)
        for one in models
        for name, part in sets.items()
    }
    return _drawn(found, threshold, sided, title)


def _called(model: Model, name: str, models: Sequence[Model], sets: Mapping[str, Any]) -> str:
    parts = [*([model.name] if len(models) > 1 or not name else []), *([name] if name else [])]
    return ", ".join(parts)


def _leaving(model: Model) -> list[str]:
    """The entry, and the last point of every block: what the one behind it reads."""
    stream = chosen(model.map, None)
    last = {point.block: point.name for point in stream.points}
    return list(dict.fromkeys([stream.points[0].name, *last.values()]))


def _drawn(found: dict[str, Measurements], threshold: float, sided: str, title: str | None) -> Any:
    from mainstem.view import by_point, panels

    size: dict[str, Any] = {"width": WIDE, "height": HIGH, "reference": _ROTATED}
    first = next(iter(found.values()))
    names = {name.partition("(")[0]: name for name in first.names}
    passed = f"values above {threshold:g}" if sided == "one" else f"magnitudes above {threshold:g}"
    shown = (
        ("kurtosis", "kurtosis", "Kurtosis of tokens over features"),
        ("rotated_kurtosis", "kurtosis", "The same after one random rotation"),
        ("outliers", "share", f"Share of features with an outlier: {passed}"),
        ("rms", "rms", "Root mean square"),
    )
    charts = [
        by_point({key: one.series(names[name], number) for key, one in found.items()}, name, number, head, **size)
        for name, number, head in shown
    ]
    return panels(charts, _title(found) if title is None else title, _about(found))


def _title(found: dict[str, Measurements]) -> str:
    names = dict.fromkeys(str(one.identity["model"].get("name")) for one in found.values())
    return f"The residual stream of {', '.join(names)}, by layer"


def _about(found: dict[str, Measurements]) -> str:
    tokens = []
    for key, one in found.items():
        counted = int(next(iter(one["kurtosis"].values()))["tokens"])
        tokens.append(f"{counted:,} places" if len(found) == 1 else f"{key}: {counted:,}")
    return f"{' · '.join(tokens)}; bars are one standard error, as if places were independent"
