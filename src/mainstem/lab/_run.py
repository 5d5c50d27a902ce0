"""Runs a plan: every variant with every seed, in this process or on Ray, going on where it stopped."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mainstem.core import InputError, MainstemError, tracked, versions

from ._findings import Findings
from ._setup import Plan, Setup
from ._store import Record, Store
from ._tasks import check, trainer

Engine = Callable[[list["Job"]], Iterator[Record]]


@dataclass(frozen=True)
class Job:
    """One run of a plan. Parameters: `plan`, its name; `size`; `variant`; `setup`; `seed`; `folder`, for checkpoints."""

    plan: str
    size: str
    variant: str
    setup: Setup
    seed: int
    folder: Path | None = None


def do(job: Job) -> Record:
    """Trains one variant with one seed. What goes wrong is what the record says. Parameters: `job`."""
    about: dict[str, Any] = {"recipe": job.plan, "size": job.size, "variant": job.variant, "seed": job.seed}
    began = time.monotonic()
    fault, numbers, rows = "", {}, []
    try:
        outcome = trainer(job.setup.task)(job.setup, job.seed, job.folder)
        numbers, rows = outcome.numbers, outcome.rows
    except InputError as error:
        fault = str(error)
    except (MainstemError, ArithmeticError, RuntimeError, ValueError, OSError) as error:
        fault = f"{type(error).__name__}: {error}"
    wild = [name for name, value in numbers.items() if not math.isfinite(value)]
    status = "failed" if fault else "diverged" if wild else "done"
    fault = fault or (f"not finite: {', '.join(wild)}" if wild else "")
    made = {"setup": asdict(job.setup), "seconds": time.monotonic() - began, "versions": versions()}
    return Record(job.setup.key(job.seed), about | {"status": status, "fault": fault}, numbers, tuple(rows), made)


def in_process(jobs: list[Job]) -> Iterator[Record]:
    """One run after another. Parameters: `jobs`."""
    yield from (do(job) for job in jobs)


def run_plan(plan: Plan, out: Path | None = None, engine: Engine = in_process) -> Findings:
    """Runs what of a plan is not yet done.

    Parameters: `plan`; `out`, a folder that keeps each run as it ends, so that a run that is stopped goes on; runs that failed are
    tried again; `engine`, that works through jobs. Raises `InputError` for choices that there are not.
    """
    for setup in plan.setups.values():
        check(setup)
    store = Store(out) if out is not None else None
    kept = store.records() if store else {}
    jobs, records = [], []
    for variant, seed in plan.runs:
        setup = plan.setups[variant]
        done = kept.get(setup.key(seed))
        if done is not None and done.about["status"] != "failed":
            records.append(done.of(plan.name, plan.size, variant))
        else:
            place = store.checkpoints(setup.key(seed)) if store else None
            jobs.append(Job(plan.name, plan.size, variant, setup, seed, place))
    of = f"{plan.name}, {plan.size}"
    for record in tracked(engine(jobs), lambda: f"training {of}", len(jobs)):
        if store:
            store.keep(record)
        records.append(record)
    order = {run: i for i, run in enumerate(plan.runs)}
    records.sort(key=lambda record: order[record.about["variant"], record.about["seed"]])
    found = Findings(plan, tuple(records))
    if out is not None:
        found.save(out / f"{plan.name.replace(' ', '-')}-{plan.size}.parquet")
    return found
