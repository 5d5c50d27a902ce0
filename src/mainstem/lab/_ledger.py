"""The ledger: for every figure and claim of the sources, the command that redraws it, our value beside theirs, and a verdict."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mainstem.core import InputError, versions

from ._claims import CLAIMS, Claim
from ._findings import Findings
from ._judge import OPEN, UNJUDGED
from ._measured import Measured, load
from ._setup import Plan, Setup
from ._statistics import between
from .recipes import recipe, recipes, sizes

HEAD = """# The ledger

What the sources claim, and what came of repeating it. Each row has the command that redraws it; where a row was run, our value stands beside the published one, with
its 95 % interval over seeds, differences paired by seed, p values after Holm over the pairs of the row. *Confirmed* means that the claim's direction was shown at the
size that was run; *not confirmed* is not *refuted*: at `small`, minutes on a processor, much cannot be shown. This page is made by `mainstem lab ledger`.
CIFAR-10, 50,000 images to train on and 10,000 to test on, is the file that `python recipes/cifar10.py cifar10.npz` writes.
"""
NAMED = ("text", "images")  # which data: on others of the user's a claim is repeated too, and the row says which


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
    """Claims held against findings. Made by `ledger`. Parameters: `rows`; `findings`."""

    def __init__(self, rows: Iterable[Row], findings: Iterable[Findings]) -> None:
        self.rows, self.findings = tuple(rows), tuple(findings)

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
        return f"Ledger of {len(self.rows)} rows: {counts}"


def ledger(findings: str | Path | Iterable[Findings]) -> Ledger:
    """Holds every claim of the sources against what was found: a row for each size and data that its recipe was run with.

    Parameters: `findings`, a folder of what `Findings.save` wrote, and of files of what was measured of trained models, or findings; of one recipe, size
    and data that come twice the last is taken.

    Raises `InputError` for a folder that is not there, or holds nothing of the kind.
    """
    measured: list[Measured] = []
    if isinstance(findings, (str, Path)):
        found, measured = _read(Path(findings))
    else:
        found = list(findings)
    known = sorted({(one.plan.name, _data(one)): one for one in found}.values(), key=_order)
    return Ledger([row for claim in CLAIMS for row in _rows(claim, known, measured)], known)


def _read(folder: Path) -> tuple[list[Findings], list[Measured]]:
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: run `mainstem lab run RECIPE --parquet {folder}/RECIPE.parquet` first.")
    found = [Findings.load(path) for path in sorted(folder.glob("*.parquet"))]
    if not found and not [*folder.glob("*.json")]:
        raise InputError(f"{folder} holds no findings: run `mainstem lab run RECIPE --parquet {folder}/RECIPE.parquet` first.")
    return found, [one for path in sorted(folder.glob("*.json")) for one in load(path)]


def _order(one: Findings) -> tuple[str, int, str]:
    """Findings of a recipe by size, the smallest first."""
    plan, own = one.plan, _sizes(one.plan)
    return plan.name, own.index(plan.size) if plan.size in own else len(own), _data(one)


def _sizes(plan: Plan) -> tuple[str, ...]:
    return sizes(plan.name) if plan.name in recipes() else ()


def _rows(claim: Claim, known: Iterable[Findings], measured: Iterable[Measured]) -> Iterator[Row]:
    told = (claim.source, claim.where, claim.says)
    runs = [one for one in known if one.plan.name == claim.recipe] if claim.judge is not None else []
    for findings in runs:
        command, about = _command(claim, findings), (_data(findings), findings.plan.seeds)
        if other := _other(findings):
            yield Row(*told, command, *about, "", claim.published, UNJUDGED, other)
        else:
            judged = claim.judge(findings)  # type: ignore[misc]
            yield Row(*told, command, *about, judged.ours, claim.published, judged.verdict, "")
    values = [one for one in measured if one.name == claim.measured] if claim.weigh is not None else []
    if values and claim.weigh is not None:
        judged, data = claim.weigh(values), "; ".join(dict.fromkeys(one.data for one in values))
        yield Row(*told, claim.command, data, None, judged.ours, claim.published, judged.verdict, claim.why)
    elif not runs:
        yield _settled(claim, told)


def _settled(claim: Claim, told: tuple[str, str, str]) -> Row:
    """The row of a claim for which nothing is at hand that was run."""
    if claim.exact is not None:
        judged = claim.exact()
        return Row(*told, claim.command, "", None, judged.ours, claim.published, judged.verdict, "")
    lacks = f"no findings of {claim.recipe or claim.measured} at hand" if claim.recipe or claim.measured else ""
    return Row(*told, claim.command, "", None, claim.ours, claim.published, claim.verdict or OPEN, lacks or claim.why)


def _command(claim: Claim, findings: Findings) -> str:
    """What repeats these findings: the claim's command with another size, and with other data, where they are not the recipe's."""
    plan, own = findings.plan, _sizes(findings.plan)
    command = claim.command
    if own and plan.size != own[0]:
        command += f" --size {plan.size}"
    if plan.size in own:
        theirs = [setup.data for setup in recipe(plan.name, plan.size).setups.values()]
        ours = [setup.data for setup in plan.setups.values()]
        for name in NAMED:
            if [one.get(name) for one in theirs] != [one.get(name) for one in ours] and ours[0].get(name):
                command += f" --set data.{name}={_short(str(ours[0][name]))}"
    return command


def _other(findings: Findings) -> str:
    """Why findings are no repetition of the claim: another setup than the recipe's, but for data, or fewer seeds than a verdict needs."""
    plan = findings.plan
    if plan.size not in _sizes(plan):
        return ""
    own = recipe(plan.name, plan.size)
    if _bare(own.setups) != _bare(plan.setups):
        return "these runs have other settings than the recipe's"
    return f"a verdict needs {own.seeds} seeds, these runs have {plan.seeds}" if plan.seeds < own.seeds else ""


def _bare(setups: Mapping[str, Setup]) -> dict[str, Setup]:
    """Setups without the names of their data."""
    kept = ({k: v for k, v in one.data.items() if k not in NAMED} for one in setups.values())
    return {name: replace(setups[name], data=data) for name, data in zip(setups, kept, strict=True)}


def _short(data: str) -> str:
    """A file's own name: where it lies is nothing of ours."""
    return Path(data).name


def _data(findings: Findings) -> str:
    named = (s.data.get("text") or s.data.get("images") or s.data.get("name") for s in findings.plan.setups.values())
    names = sorted({_short(str(name)) for name in named})
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
    yield from _runs(made.findings)


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
