"""What is run, as plain data: one training run's whole configuration, and a plan of many."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from hashlib import sha256
from itertools import product
from typing import Any

from mainstem.core import InputError, fits, from_plain, kind_said

VERSION = 1  # of what a run does with its setup: raised where the same setup would give other numbers
OPTIMIZERS = ("sgd", "adam", "adamw", "rotated_adam")
SCHEDULES = ("linear", "constant")
PRECISIONS = ("float32", "float64", "bfloat16")


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    Parameters: `steps`; `batch`, rows of a step; `optimizer`, "sgd", "adam", "adamw" or "rotated_adam", whose moments are kept in a
    randomly turned basis of the stream; `lr`; `schedule`, "linear" down to 0 or "constant"; `warmup`, steps; `momentum`, of SGD, or
    Adam's first beta, None for 0 and 0.9; `beta2`; `weight_decay`, of matrices only, added to the gradient in sgd and adam and apart
    from it in the others; `clip`, the largest norm of the gradient, 0 for none; `precision`, "float32", "float64" or "bfloat16"
    (mixed); `watch`, steps between looks at the model, 0 for none; `checkpoint`, steps between checkpoints, 0 for none.

    Raises `InputError` for a choice that there is not.
    """

    steps: int = 200
    batch: int = 16
    optimizer: str = "adamw"
    lr: float = 1e-3
    schedule: str = "linear"
    warmup: int = 0
    momentum: float | None = None
    beta2: float = 0.999
    weight_decay: float = 0.0
    clip: float = 0.0
    precision: str = "float32"
    watch: int = 0
    checkpoint: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise InputError(f"training.{name} is {getattr(self, name)!r}: choose {', '.join(allowed)}.")
        for one in fields(self):
            if not fits(value := getattr(self, one.name), one.type):
                raise InputError(f"training.{one.name} is {kind_said(one.type)}, not {value!r}.")
        if self.steps < 1 or self.batch < 1 or not self.lr >= 0:
            raise InputError("training.steps and training.batch are from 1, training.lr is not below 0.")


@dataclass(frozen=True)
class Setup:
    """One training run but its seed.

    Parameters: `task`, the kind of data and model, "text", "table" or "images"; `model`, its choices by name; `data`, likewise;
    `training`.
    """

    task: str
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    training: Training = field(default_factory=Training)

    def with_(self, changes: Mapping[str, Any]) -> "Setup":
        """The same with other choices.

        Parameters: `changes`, by name with its part: "model.norm", "data.rows", "training.lr". Raises `InputError` for a name
        that there is not.
        """
        found = self
        for name, value in changes.items():
            part, _, choice = name.partition(".")
            if part == "training" and choice in {f.name for f in fields(Training)}:
                found = replace(found, training=replace(found.training, **{choice: value}))
            elif part == "model" and choice:
                found = replace(found, model={**found.model, choice: value})
            elif part == "data" and choice:
                found = replace(found, data={**found.data, choice: value})
            else:
                raise InputError(
                    f"no choice {name!r}: name it with its part, such as model.norm, data.text or training.lr; "
                    f"training has {', '.join(f.name for f in fields(Training))}."
                )
        return found

    def key(self, seed: int) -> str:
        """A name for this run that changes when any of its choices does. Parameters: `seed`."""
        said = json.dumps([VERSION, asdict(self), seed], sort_keys=True)
        return sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """A whole experiment: variants by name, each run with every seed, and which are held beside which.

    Parameters: `name`; `about`, the question in a sentence; `source`, whose claim it repeats; `size`; `setups`, by the variant's name;
    `seeds`, how many, counted from 0; `pairs`, of variants to compare, the baseline second; `outcome`, the number that is
    compared; `better`, "lower" or "higher"; `curve`, variants of one kind from which the distance of the others is told.
    """

    name: str
    about: str
    source: str
    size: str
    setups: dict[str, Setup]
    seeds: int = 5
    pairs: tuple[tuple[str, str], ...] = ()
    outcome: str = "eval_loss"
    better: str = "lower"
    curve: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in {name for named in (*self.pairs, self.curve) for name in named} - set(self.setups):
            raise InputError(f"a pair or the curve of {self.name} names {name!r}; variants are {', '.join(self.setups)}.")

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Plan":
        """What `dataclasses.asdict` made of a plan. Parameters: `data`."""
        setups = {name: from_plain(Setup, one) for name, one in data["setups"].items()}
        return cls(**{**data, "setups": setups, "pairs": tuple(map(tuple, data["pairs"])), "curve": tuple(data["curve"])})

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Each variant with each seed; all variants of a seed before the next one, so that a run that is cut short is balanced."""
        return [(name, seed) for seed in range(self.seeds) for name in self.setups]


def grid(base: Setup, axes: Mapping[str, tuple[Any, ...]]) -> dict[str, Setup]:
    """A setup for each combination of choices, named by them.

    Parameters: `base`; `axes`, the values of each choice by its name, as of `Setup.with_`.
    """
    found = {}
    for values in product(*axes.values()):
        changes = dict(zip(axes, values, strict=True))
        found[", ".join(f"{name.partition('.')[2]}={value}" for name, value in changes.items())] = base.with_(changes)
    return found
