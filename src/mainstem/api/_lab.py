"""What joins the lab to other rooms: charts of what an experiment found, and its models among those that can be loaded."""

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.core import InputError

if TYPE_CHECKING:
    from mainstem.lab import Explained, Findings

KINDS = ("bar", "beeswarm", "force")


def lab_chart(findings: "Findings", number: str | None = None, against: str | None = None) -> Any:
    """Each variant's mean with its 95 % interval and its seeds; or every run by its size, beside the curve of the vanilla variants.

    Parameters: `findings`, of `mainstem.lab.run`; `number`, the plan's outcome where None; `against`, None, or "parameters", "hours" or
    "tokens", that stand on the other axis.

    Returns a chart, to be shown or saved as PNG, SVG, HTML or JSON. Raises `InputError` for a number that there is not, where there is nothing to
    draw, and where altair is missing.
    """
    from mainstem.view import against as sized
    from mainstem.view import intervals

    plan, values = findings.plan, findings.numbers(number)
    name, about = number or plan.outcome, f"{plan.name}, {plan.size}, {plan.seeds} seeds"
    title = plan.about[:1].upper() + plan.about[1:]
    if against is None:
        rows = findings.summary(number).iter_rows(named=True)
        return intervals(
            [row | {"values": list(values[row["variant"]].values())} for row in rows], name, title, f"{about}; 95 % intervals"
        )
    sizes = findings.numbers(against)
    runs = [
        {"variant": variant, "x": sizes[variant][seed], "y": value}
        for variant, some in values.items()
        for seed, value in some.items()
    ]
    return sized(runs, plan.curve, against, name, title, f"{about}; each dot is a run")


def shap_chart(explained: "Explained", kind: str = "bar") -> Any:
    """Shapley values as shap draws them: mean absolute value of each feature, a dot for each row, or rows by likeness.

    Parameters: `explained`, of `mainstem.lab.explained`; `kind`, "bar", "beeswarm" or "force".

    Returns a chart, to be shown or saved as PNG, SVG, HTML or JSON. Raises `InputError` for another kind, and where altair is missing.
    """
    from mainstem.view import beeswarm, feature_bars, force_by_similarity

    about = f"{len(explained.values)} rows; sums to the prediction within {explained.error:.0e}"
    if kind == "bar":
        return feature_bars(explained.bar().iter_rows(named=True), "What the prediction rests on", about)
    if kind == "beeswarm":
        return beeswarm(explained.beeswarm().iter_rows(named=True), "What each feature adds to each prediction", about)
    if kind == "force":
        rows = explained.by_similarity().iter_rows(named=True)
        return force_by_similarity(rows, explained.base, "Rows by the likeness of their explanations", about)
    raise InputError(f"kind is {kind!r}: choose {', '.join(KINDS)}.")


def make_known(source: Any) -> None:
    """Tells transformers of the lab's own transformer, where a folder holds one. Parameters: `source`, of a model."""
    config = Path(source) / "config.json" if isinstance(source, (str, Path)) else None
    if config is not None and config.is_file():
        try:
            kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
        except (OSError, ValueError, AttributeError):
            return  # what is wrong with the folder is said by whoever loads it
        if kind == "mainstem-variant":
            import_module("mainstem.lab")
