"""Charts of what an experiment found: the lab finds it, the view draws it."""

from typing import Any

from mainstem.lab import Findings


def lab_chart(findings: Findings, number: str | None = None, against: str | None = None) -> Any:
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
