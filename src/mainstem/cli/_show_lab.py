"""How experiments and what they found look on a terminal."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ._terminal import BAD, DIM, TITLE, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mainstem.lab import Findings, Plan


def listed(plans: "Iterable[Plan]") -> "Iterator[RenderableType]":
    """The recipes, each with its question. Parameters: `plans`."""
    from rich.text import Text

    for plan in plans:
        yield Text.assemble((plan.name, TITLE), (f"  {len(plan.setups)} variants, {plan.seeds} seeds", DIM))
        yield Text(f"  {plan.about}")
        yield Text(f"  {plan.source}", DIM)


def found_parts(found: "Findings", number: str | None, against: str | None) -> "Iterator[RenderableType]":
    """Means with intervals, what differs, distances from the curve, and runs that failed.

    Parameters: `found`; `number`, that is compared; `against`, None for no distances.
    """
    from rich.text import Text

    made = list(_summary(found, number))  # all of it before anything is printed: a number that there is not is refused
    if found.plan.pairs:
        made += _comparisons(found, number)
    if against:
        made += _distances(found, against)
    yield Text.assemble((f"{found.plan.name}, {found.plan.size}", TITLE), f"  {found.plan.about}")
    yield from made
    for record in found.failed:
        about = record.about
        yield Text.assemble((about["status"], BAD), f" {about['variant']}, seed {about['seed']}: {about['fault']}")


def _summary(found: "Findings", number: str | None) -> "Iterator[RenderableType]":
    made = table("variant", number or found.plan.outcome, "95 %", "seeds", right=[1, 3])
    for row in found.summary(number).iter_rows(named=True):
        mean, interval = "-", ""
        if row["mean"] is not None:
            mean, interval = f"{row['mean']:.4g}", _interval(row)
        made.add_row(row["variant"], mean, interval, str(row["seeds"]))
    yield made


def _comparisons(found: "Findings", number: str | None) -> "Iterator[RenderableType]":
    made = table("difference", "mean", "95 %", "p, Holm", "effect", "", right=[1, 3, 4], wrap=[2, 5], gap=2)
    rows = found.compare(number).to_dicts()
    for row in rows:
        cells = (f"{row['variant']} - {row['beside']}", f"{row['difference']:+.3g}", _interval(row), f"{row['p_holm']:.2g}")
        made.add_row(*cells, f"{row['effect']:+.2f}", row["verdict"])
    if rows:  # none with one seed
        yield made


def _distances(found: "Findings", against: str) -> "Iterator[RenderableType]":
    made = table(f"from the curve, by {against}", "distance", "95 %", "p, Holm", "", right=[1, 3], wrap=[2, 4], gap=2)
    for row in found.distances(against).iter_rows(named=True):
        made.add_row(row["variant"], f"{row['distance']:+.3g}", _interval(row), f"{row['p_holm']:.2g}", row["verdict"])
    yield made


def _interval(row: dict[str, float]) -> str:
    from mainstem.lab import between

    return between(row["low"], row["high"])
