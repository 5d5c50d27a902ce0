"""Runs a plan: every variant with every seed, in this process or on Ray, going on where it stopped."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mainstem.core import InputError, MainstemError, tracked, versions

from ._findings import Findings
from ._outcome import Outcome
from ._save import save_model
from ._setup import Plan, Setup
from ._store import Record, Store
from ._tasks import check, check_data, trainer

Engine = Callable[[list["Job"]], Iterator[Record]]


@dataclass(frozen=True)
class Job:
    """One run of a plan.

    Parameters: `plan`, its name; `size`; `variant`; `setup`; `seed`; `folder`, for checkpoints; `model`, a folder for the trained model,
    or None.
    """

    plan: str
    size: str
    variant: str
    setup: Setup
    seed: int
    folder: Path | None = None
    model: Path | None = None


def do(job: Job) -> Record:
    """Trains one variant with one seed. What goes wrong is what the record says. Parameters: `job`."""
    began = time.monotonic()
    try:
        outcome = trainer(job.setup.task)(job.setup, job.seed, job.folder)
        if job.model is not None:
            save_model(outcome.model, job.setup, job.model)
    except InputError as error:
        return failed(job, str(error), time.monotonic() - began)
    except (MainstemError, ArithmeticError, RuntimeError, ValueError, OSError) as error:
        return failed(job, f"{type(error).__name__}: {error}", time.monotonic() - began)
    wild = [name for name, value in outcome.numbers.items() if not math.isfinite(value)]
    status, fault = ("diverged", f"not finite: {', '.join(wild)}") if wild else ("done", "")
    return _record(job, status, fault, outcome, time.monotonic() - began)


def failed(job: Job, fault: str, seconds: float = 0.0) -> Record:
    """The record of a run that came to nothing. Parameters: `job`; `fault`, in words; `seconds`, that it took."""
    return _record(job, "failed", fault, None, seconds)


def _record(job: Job, status: str, fault: str, outcome: Outcome | None, seconds: float) -> Record:
    about = {"recipe": job.plan, "size": job.size, "variant": job.variant, "seed": job.seed, "status": status, "fault": fault}
    made = {"setup": asdict(job.setup), "seconds": seconds, "versions": versions()}
    numbers, rows = (outcome.numbers, tuple(outcome.rows)) if outcome else ({}, ())
    return Record(job.setup.key(job.seed), about, numbers, rows, made)


def in_process(jobs: list[Job]) -> Iterator[Record]:
    """One run after another. Parameters: `jobs`."""
    yield from (do(job) for job in jobs)


def run_plan(plan: Plan, out: Path | None = None, engine: Engine = in_process, models: bool = False) -> Findings:
    """Runs what of a plan is not yet done.

    Parameters: `plan`; `out`, a folder that keeps each run as it ends, so that a run that is stopped goes on; runs that failed are
    tried again; `engine`, that works through jobs; `models`, keep those that are trained now, in `out`. Raises `InputError` for choices that there are not,
    and for images and text files that cannot be read.
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
            model = store.model(variant, seed) if store and models else None
            jobs.append(Job(plan.name, plan.size, variant, setup, seed, place, model))
    for job in jobs:
        check_data(job.setup)
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
