"""The calls of the door: run a recipe, sweep a grid."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mainstem.core import InputError

from ._findings import Findings
from ._run import Engine, in_process, run_plan
from ._setup import Plan, Setup, grid
from .recipes import recipe


def run(
    plan: str | Plan,
    size: str = "small",
    seeds: int | None = None,
    out: str | Path | None = None,
    choices: Mapping[str, Any] | None = None,
    only: tuple[str, ...] = (),
    engine: str = "local",
    models: bool = False,
) -> Findings:
    """Trains every variant of an experiment with every seed, and says what differs.

    Parameters: `plan`, a recipe's name or a plan of your own; `size`, "small" or "paper", of a recipe; `seeds`, how many, the
    plan's own where it is None; `out`, a folder that keeps each run: called again, it does what is missing; `choices`, changed in
    every variant, such as {"training.steps": 50}; `only`, these variants; `engine`, "local" or "ray"; `models`, also keep each model that is trained, in `out`/models, which
    `mainstem.load` reads where it is a transformer.

    Raises `InputError` for names that there are not, and where something that the experiment needs is not installed.
    """
    found = recipe(plan, size) if isinstance(plan, str) else plan
    if unknown := [name for name in only if name not in found.setups]:
        raise InputError(f"{found.name} has no variant {unknown[0]!r}; there are {', '.join(found.setups)}.")
    setups = {name: setup.with_(choices or {}) for name, setup in found.setups.items() if not only or name in only}
    pairs = tuple(pair for pair in found.pairs if set(pair) <= set(setups))
    curve = tuple(name for name in found.curve if name in setups)
    changed = replace(found, setups=setups, pairs=pairs, curve=curve, seeds=found.seeds if seeds is None else seeds)
    if models and out is None:
        raise InputError("models are kept in a folder: name it, out='runs/' (--out runs/ on the command line).")
    if changed.seeds < 1:
        raise InputError(f"seeds is {changed.seeds}: at least 1.")
    return run_plan(changed, Path(out) if out is not None else None, _engine(engine), models)


def sweep(
    base: str | Setup,
    axes: Mapping[str, tuple[Any, ...]],
    seeds: int = 5,
    out: str | Path | None = None,
    choices: Mapping[str, Any] | None = None,
    size: str = "small",
    variant: str | None = None,
    engine: str = "local",
) -> Findings:
    """Trains every combination of choices with every seed; each is compared with the first.

    Parameters: `base`, a recipe's name or a setup; `axes`, values by the choice's name, such as {"training.lr": (1e-3, 1e-2)}; `seeds`;
    `out`, as of `run`; `choices`, changed in every combination, such as {"training.steps": 50}; `size` and `variant`, of a recipe, its first variant where None; `engine`, "local" or "ray".

    Raises `InputError` for names that there are not.
    """
    plan = recipe(base, size) if isinstance(base, str) else None
    if plan is not None and variant is not None and variant not in plan.setups:
        raise InputError(f"{plan.name} has no variant {variant!r}; there are {', '.join(plan.setups)}.")
    setup = base if isinstance(base, Setup) else plan.setups[variant or next(iter(plan.setups))]  # type: ignore[union-attr]
    if twice := sorted(set(axes) & set(choices or {})):
        raise InputError(f"{twice[0]} is an axis and a choice at once: keep one of the two.")
    setups = grid(setup.with_(choices or {}), {name: tuple(values) for name, values in axes.items()})
    first, *others = setups
    swept = Plan(
        name=f"sweep of {plan.name}" if plan else "sweep",
        about=f"what do {', '.join(axes)} change?",
        source="",
        size=size,
        setups=setups,
        seeds=seeds,
        pairs=tuple((name, first) for name in others),
        outcome=plan.outcome if plan else "eval_loss",
        better=plan.better if plan else "lower",
    )
    return run_plan(swept, Path(out) if out is not None else None, _engine(engine))


def _engine(name: str) -> Engine:
    if name == "local":
        return in_process
    if name == "ray":
        from ._ray import on_ray

        return on_ray
    raise InputError(f"engine is {name!r}: choose 'local' or 'ray'.")
