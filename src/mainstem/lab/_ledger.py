"""The ledger: for every figure and claim of the sources, the command that redraws it, our value beside theirs, and a verdict."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mainstem.core import InputError, versions

from ._claims import CLAIMS, Claim
from ._findings import Findings
from ._judge import OPEN, UNJUDGED
from ._statistics import between
from .recipes import SIZES, recipe, recipes

HEAD = """# The ledger

What the sources claim, and what came of repeating it. Each row has the command that redraws it; where a row was run, our value stands beside the published one, with
its 95 % interval over seeds, differences paired by seed, p values after Holm over the pairs of the row. *Confirmed* means that the claim's direction was shown at the
size that was run; *not confirmed* is not *refuted*: at `small`, minutes on a processor, much cannot be shown. This page is made by `mainstem lab ledger`.
"""


@dataclass(frozen=True)
class Row:
    """One line of the ledger.

    Parameters: `source`; `where`, the figure or section; `claim`; `command`, which redraws it; `data`, with sizes; `seeds`; `ours`;
    `published`; `verdict`; `why`, where it cannot be run here.
    """

    source: str
    where: str
    claim: str
    command: str
    data: str
    seeds: int | None
    ours: str
    published: str
    verdict: str
    why: str


class Ledger:
    """Claims held against findings. Made by `ledger`. Parameters: `rows`; `findings`, by recipe."""

    def __init__(self, rows: Iterable[Row], findings: Mapping[str, Findings]) -> None:
        self.rows, self.findings = tuple(rows), dict(findings)

    def frame(self) -> Any:
        """A polars frame, a row for each claim."""
        import polars

        return polars.DataFrame([asdict(row) for row in self.rows])

    def markdown(self) -> str:
        """The page."""
        return "\n".join([HEAD, *_page(self)])

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{sum(row.verdict.startswith(v) for row in self.rows)} {v}" for v in ("confirmed", "not confirmed", UNJUDGED, OPEN)
        )
        return f"Ledger of {len(self.rows)} claims: {counts}"


def ledger(findings: str | Path | Iterable[Findings]) -> Ledger:
    """Holds every claim of the sources against what was found.

    Parameters: `findings`, a folder of what `Findings.save` wrote, or findings; of a recipe that comes twice the last is taken.

    Raises `InputError` for a folder that is not there.
    """
    found = _read(Path(findings)) if isinstance(findings, (str, Path)) else list(findings)
    known = {one.plan.name: one for one in found}
    return Ledger([_row(claim, known) for claim in CLAIMS], known)


def _read(folder: Path) -> list[Findings]:
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: run `mainstem lab run RECIPE --parquet {folder}/RECIPE.parquet` first.")
    return [Findings.load(path) for path in sorted(folder.glob("*.parquet"))]


def _row(claim: Claim, known: Mapping[str, Findings]) -> Row:
    told = (claim.source, claim.where, claim.says, claim.command)
    if claim.judge is not None and claim.recipe in known:
        findings = known[claim.recipe]
        if other := _other(findings):
            return Row(*told, _data(findings), findings.plan.seeds, "", claim.published, UNJUDGED, other)
        judged = claim.judge(findings)
        return Row(*told, _data(findings), findings.plan.seeds, judged.ours, claim.published, judged.verdict, "")
    if claim.exact is not None:
        judged = claim.exact()
        return Row(*told, "", None, judged.ours, claim.published, judged.verdict, "")
    why = claim.why or ("" if claim.verdict else f"no findings of {claim.recipe} at hand")
    return Row(*told, "", None, claim.ours, claim.published, claim.verdict or OPEN, why)


def _other(findings: Findings) -> str:
    """Why findings are no repetition of the claim: another setup than the recipe's, or fewer seeds than a verdict needs."""
    plan = findings.plan
    own = recipe(plan.name, plan.size) if plan.name in recipes() and plan.size in SIZES else None
    if own is not None and own.setups != plan.setups:
        return "these runs have other settings than the recipe's"
    return (
        f"a verdict needs {own.seeds} seeds, these runs have {plan.seeds}" if own is not None and plan.seeds < own.seeds else ""
    )


def _data(findings: Findings) -> str:
    names = sorted({str(s.data.get("text") or s.data.get("images") or s.data.get("name")) for s in findings.plan.setups.values()})
    return f"{', '.join(names)}; {findings.plan.size}"


def _page(made: Ledger) -> Iterator[str]:
    for source in dict.fromkeys(row.source for row in made.rows):
        yield f"## {source}\n"
        yield "| where | claim | published | ours | verdict | data, seeds | command |\n|---|---|---|---|---|---|---|"
        for row in made.rows:
            if row.source == source:
                verdict = f"**{row.verdict}**" + (f": {row.why}" if row.why else "")
                runs = f"{row.data}, {row.seeds} seeds" if row.seeds else row.data
                cells = (row.where, row.claim, row.published, row.ours or "—", verdict, runs or "—", f"`{row.command}`")
                yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield ""
    yield from _runs(made.findings.values())


def _runs(findings: Iterable[Findings]) -> Iterator[str]:
    yield "## What was run\n"
    for one in findings:
        plan, seconds = one.plan, sum(record.made["seconds"] for record in one.records)
        yield f"### {plan.name}, {plan.size}\n\n{plan.about[:1].upper() + plan.about[1:]} {len(one.records)} runs of {plan.seeds} seeds, {seconds / 60:.0f} minutes in all.\n"
        yield f"| variant | {plan.outcome}, 95 % | seeds | failed |\n|---|---|---|---|"
        for row in one.summary().iter_rows(named=True):
            mean = "—" if row["mean"] is None else f"{row['mean']:.4g} {between(row['low'], row['high'], '.4g')}"
            yield f"| {row['variant']} | {mean} | {row['seeds']} | {row['failed'] or '—'} |"
        yield ""
        yield from (
            f"- {r.about['variant']}, seed {r.about['seed']}: {r.about['status']}, {r.about['fault']}" for r in one.failed
        )
    yield f"\nMade with {', '.join(f'{name} {version}' for name, version in versions().items())}."
