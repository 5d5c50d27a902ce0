"""What an experiment found: its numbers with intervals, and which variants differ."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mainstem.core import InputError, whole_file

from ._curve import AGAINST, distances
from ._setup import Plan
from ._statistics import Comparison, between, compare, interval
from ._store import COLUMNS, Record
from ._watch import Row


@dataclass(frozen=True)
class Findings:
    """The runs of a plan, those that failed too. Made by `run` and `sweep`.

    Parameters: `plan`; `records`, one for each variant and seed.
    """

    plan: Plan
    records: tuple[Record, ...]

    @property
    def failed(self) -> list[Record]:
        """The runs that came to nothing or to what is not finite."""
        return [record for record in self.records if record.about["status"] != "done"]

    def numbers(self, name: str | None = None) -> dict[str, dict[int, float]]:
        """A number of every run that is done, by variant and seed.

        Parameters: `name`, the plan's outcome where it is None. Raises `InputError`, with the names that there are, for another.
        """
        asked = name or self.plan.outcome
        found: dict[str, dict[int, float]] = {variant: {} for variant in self.plan.setups}
        for record in self.records:
            if record.about["status"] == "done" and asked in record.numbers:
                found[record.about["variant"]][record.about["seed"]] = record.numbers[asked]
        if not any(found.values()):
            names = dict.fromkeys(name for record in self.records for name in record.numbers)
            why = (
                f"all failed: {self.failed[0].about['fault'].rstrip('.')}"
                if self.failed and not names
                else f"there are {', '.join(names)}"
            )
            raise InputError(f"no run has a number {asked!r}; {why}.")
        return found

    def frame(self) -> Any:
        """A polars frame, a row for each number: recipe, size, variant, seed, status, step (null at the end), name, site, value."""
        import polars

        parts = [_rows(record) for record in self.records]
        return polars.concat(parts) if parts else polars.DataFrame()

    def summary(self, name: str | None = None) -> Any:
        """A polars frame, a row for each variant: mean of a number with its 95 % interval, and runs that failed.

        Parameters: `name`, the plan's outcome where it is None.
        """
        import polars

        rows = []
        for variant, values in self.numbers(name).items():
            mean = interval(list(values.values())) if values else None
            lost = sum(record.about["variant"] == variant for record in self.failed)
            rows.append(
                {
                    "variant": variant,
                    "mean": mean and mean.mean,
                    "low": mean and mean.low,
                    "high": mean and mean.high,
                    "seeds": len(values),
                    "failed": lost,
                }
            )
        return polars.DataFrame(rows, schema_overrides=dict.fromkeys(("mean", "low", "high"), polars.Float64))

    def comparisons(self, name: str | None = None) -> dict[tuple[str, str], Comparison]:
        """The plan's pairs, seed by seed, corrected for their number; pairs with fewer than two seeds in common are left out.

        Parameters: `name`, the plan's outcome where it is None.
        """
        values = self.numbers(name)
        found = {}
        for a, b in self.plan.pairs:
            seeds = sorted(values[a].keys() & values[b].keys())
            if len(seeds) > 1:
                found[a, b] = [values[a][s] for s in seeds], [values[b][s] for s in seeds]
        return dict(zip(found, compare(list(found.values())), strict=True))

    def compare(self, name: str | None = None) -> Any:
        """The same as a polars frame: mean difference with its interval, p, Holm's p, effect size, and what may be said.

        Parameters: `name`, the plan's outcome where it is None.
        """
        import polars

        rows = []
        for (a, b), one in self.comparisons(name).items():
            d = one.difference
            rows.append({"variant": a, "beside": b, "difference": d.mean, "low": d.low, "high": d.high, "seeds": d.n})
            rows[-1] |= {"p": one.p, "p_holm": one.corrected, "effect": one.effect, "verdict": one.verdict}
        return polars.DataFrame(rows)

    def save(self, path: str | Path) -> Path:
        """Writes `frame()` as Parquet, with the plan and what made each run in its metadata.

        Parameters: `path`. Returns it.
        """
        import pyarrow.parquet

        place = Path(path)
        said = {"plan": asdict(self.plan), "runs": [record.about | record.made | {"key": record.key} for record in self.records]}
        table = self.frame().to_arrow().replace_schema_metadata({b"mainstem": json.dumps(said).encode()})
        with whole_file(place) as half:
            pyarrow.parquet.write_table(table, half)
        return place

    @classmethod
    def load(cls, path: str | Path) -> "Findings":
        """What `save` wrote. Parameters: `path`. Raises `InputError` for a file that is not there or holds something else."""
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(path)
            said = json.loads(table.schema.metadata[b"mainstem"])
            plan = Plan.from_dict(said["plan"])
            parts = _apart(table)
            return cls(plan, tuple(_record(parts, about) for about in said["runs"]))
        except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            reason = "it is not there" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
            raise InputError(
                f"{path} holds no findings of the lab ({reason}): name a file that `lab run --parquet` wrote."
            ) from error

    def distances(self, against: str = "parameters") -> Any:
        """How far variants are from the curve of the plan's vanilla ones, as a polars frame.

        Parameters: `against`, "parameters", "hours" or "tokens". Raises `InputError` for a plan that has no curve, and for another number.
        """
        sizes = self.numbers(against) if against in AGAINST else {}
        return distances(self.plan, self.numbers(), sizes, against)

    def __repr__(self) -> str:
        return "\n".join(_said(self))


def _said(findings: Findings) -> Iterator[str]:
    plan = findings.plan
    yield f"{plan.name}, {plan.size}: {plan.about}"
    try:
        rows = findings.summary().iter_rows(named=True)
    except InputError as error:
        rows = iter(())
        yield str(error)
    for row in rows:
        mean = (
            "no run done"
            if row["mean"] is None
            else f"{plan.outcome} {row['mean']:.4g} {between(row['low'], row['high'], '.4g')}"
        )
        yield f"  {row['variant']}: {mean}, {row['seeds']} seeds" + (f", {row['failed']} failed" if row["failed"] else "")
    yield from (
        f"  {a} - {b}: {c.difference.mean:+.3g} {between(c.difference.low, c.difference.high, '+.3g')}, p {c.corrected:.2g} (Holm), {c.verdict}"
        for (a, b), c in (
            findings.comparisons() if findings.plan.pairs and len(findings.failed) < len(findings.records) else {}
        ).items()
    )


def _apart(table: Any) -> dict[tuple[str, int], list[tuple[Any, ...]]]:
    """Rows of each run."""
    found: dict[tuple[str, int], list[tuple[Any, ...]]] = {}
    columns = [table[name].to_pylist() for name in ("variant", "seed", *COLUMNS)]
    for variant, seed, *row in zip(*columns, strict=True):
        found.setdefault((variant, seed), []).append(tuple(row))
    return found


def _record(parts: dict[tuple[str, int], list[tuple[Any, ...]]], said: dict[str, Any]) -> Record:
    made = {name: said[name] for name in ("setup", "seconds", "versions")}
    rows = [row for row in parts[said["variant"], said["seed"]] if row[1] is not None]
    numbers = {name: value for step, name, _, value in rows if step is None}
    about = {name: value for name, value in said.items() if name not in (*made, "key")}
    return Record(said["key"], about, numbers, tuple(Row(*row) for row in rows if row[0] is not None), made)


def _rows(record: Record) -> Any:
    import polars

    found: Any = polars.from_arrow(record.table())
    about = {name: record.about[name] for name in ("recipe", "size", "variant", "seed", "status", "fault")}
    if not len(found):  # a run that failed has a row that says so
        kinds = {"step": polars.Int64, "name": polars.String, "site": polars.String, "value": polars.Float64}
        found = polars.DataFrame({name: [None] for name in kinds}, schema=kinds)
    return found.select(
        *(polars.lit(v, polars.Int64 if n == "seed" else polars.String).alias(n) for n, v in about.items()), polars.all()
    )
