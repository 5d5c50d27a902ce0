"""Which features of a stream are outliers, by what measures say of its points."""

from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from mainstem.measure import outlier_dimensions
from mainstem.stream import Edit, zero_dims

from ._context import told
from ._measurements import Measurements, layer_of

_NOTHING = 1e-30  # the lowest bin of magnitudes holds all that is smaller
Set = tuple[str, int | None, list[list[int]]]


class Held:
    """What the measures say, by stage: points of one width in a row. Parameters: `found`; `share` and `points`, of LLM.int8's rule."""

    def __init__(self, found: Measurements, share: float, points: float) -> None:
        self.found = found
        self.rule, self.massive, self.top, self.size = (found[name] for name in found.names)
        sites = list(self.rule)
        self.stages = [list(part) for _, part in groupby(sites, key=lambda site: len(self.rule[site]["positions"]))]
        self.tokens = max(int(numbers["tokens"]) for numbers in self.rule.values())
        self.share = share
        self.by_rule = [
            self._chosen(outlier_dimensions(self._stack(s, self.rule, "positions"), share, points)) for s in self.stages
        ]
        self.by_massive = [self._chosen(self._stack(s, self.massive, "massive_dimensions").amax(0) > 0) for s in self.stages]

    def strength(self, stage: int) -> Tensor:
        """The largest |x| of each feature in root mean squares of its point, over the points of a stage. Parameters: `stage`."""
        sites = self.stages[stage]
        largest = torch.stack([self.top[site]["value"][0].abs() / self.size[site]["rms_pooled"] for site in sites])
        return largest.nan_to_num(0.0, posinf=0.0).amax(0)

    def dims(self, stage: int) -> list[int]:
        """Outlier features of a stage, by either rule. Parameters: `stage`."""
        return sorted({*self.by_rule[stage], *self.by_massive[stage]})

    @cached_property
    def wanted(self) -> set[int]:
        """Indices of all tokens that are shown."""
        found = set[int]()
        for stage, sites in enumerate(self.stages):
            for dim in self.dims(stage):
                found |= {int(self.top[site]["id"][0, dim]) for site in sites}
                found |= set(self.top[self._peak(stage, dim)]["id"][:, dim].tolist())
        return found

    def rows(self, context: dict[int, dict[str, Any]]) -> tuple[dict[str, Any], ...]:
        """A row for each outlier feature and point. Parameters: `context`, of tokens."""
        return tuple(
            self._row(stage, dim, site, context)
            for stage, sites in enumerate(self.stages)
            for dim in self.dims(stage)
            for site in sites
        )

    def _row(self, stage: int, dim: int, site: str, context: dict[int, dict[str, Any]]) -> dict[str, Any]:
        value, median = float(self.top[site]["value"][0, dim]), self._median(site)
        positions = float(self.rule[site]["positions"][dim])
        here: dict[str, Any] = {"positions": positions, "outlier_here": positions >= self.share}
        here |= {"massive_here": bool(self.massive[site]["massive_dimensions"][dim])}
        rules = {"llm_int8": dim in self.by_rule[stage], "massive": dim in self.by_massive[stage]}
        times = {
            "times_median": abs(value) / median if median else None,
            "times_rms": abs(value) / float(self.size[site]["rms_pooled"]),
        }
        size = {"value": value, **times}
        about: dict[str, Any] = {"stage": stage, "dimension": dim, "site": site, "layer": layer_of(site)}
        return {**about, **rules, **here, **size, **told(context, self._id(site, 0, dim))}

    def exemplars(self, context: dict[int, dict[str, Any]]) -> tuple[dict[str, Any], ...]:
        """The most extreme tokens of every outlier feature at the point where it is largest. Parameters: `context`."""
        found = []
        for stage in range(len(self.stages)):
            for dim in self.dims(stage):
                site = self._peak(stage, dim)
                for rank, value in enumerate(self.top[site]["value"][:, dim].tolist()):
                    about: dict[str, Any] = {"stage": stage, "dimension": dim, "site": site, "rank": rank, "value": value}
                    found.append({**about, **told(context, self._id(site, rank, dim))})
        return tuple(found)

    def points(self) -> tuple[dict[str, Any], ...]:
        """How large values are at every point."""
        found = []
        for site, numbers in self.massive.items():
            about: dict[str, Any] = {"site": site, "layer": layer_of(site), "width": len(self.rule[site]["positions"])}
            largest = float(self.top[site]["value"][0].abs().max())
            known = {name: float(numbers[name]) for name in ("cut", "massive", "massive_tokens")}
            known |= {"median": self._median(site), "rms": float(self.size[site]["rms_pooled"])}
            found.append({**about, "largest": largest, **known, "outliers": int(self.rule[site]["features"])})
        return tuple(found)

    def _peak(self, stage: int, dim: int) -> str:
        """Where a feature is largest against the root mean square of the point."""

        def size(site: str) -> float:
            return float(self.top[site]["value"][0, dim].abs() / self.size[site]["rms_pooled"])

        return max(self.stages[stage], key=size)

    def _median(self, site: str) -> float:
        """The median magnitude, 0 where most values are: behind a ReLU they can be."""
        median = float(self.massive[site]["median"])
        return median if median > _NOTHING else 0.0

    def _id(self, site: str, rank: int, dim: int) -> int:
        return int(self.top[site]["id"][rank, dim])

    def _stack(self, sites: list[str], of: dict[str, dict[str, Tensor]], number: str) -> Tensor:
        return torch.stack([of[site][number] for site in sites])

    def _chosen(self, which: Tensor) -> list[int]:
        return which.nonzero()[:, 0].tolist()


def sets_of(held: Held, strongest: Sequence[int], draws: int, seed: int) -> list[Set]:
    """Sets of features to zero, and random ones of their sizes: name, which random draw, features by stage.

    Parameters: `held`; `strongest`, sizes of further sets; `draws`; `seed`.
    """
    sets: list[Set] = [("llm_int8", None, held.by_rule), ("massive", None, held.by_massive)]
    for k in strongest:
        sizes = [held.strength(stage) for stage in range(len(held.stages))]
        sets.append((f"strongest {k}", None, [size.topk(min(k, len(size))).indices.tolist() for size in sizes]))
    made = torch.Generator().manual_seed(seed)
    for name, _, dims in [s for s in sets if any(s[2])]:
        sets += [(name, draw, others) for draw in range(draws) if (others := _others(held, dims, made)) is not None]
    return [s for s in sets if any(s[2])]


def _others(held: Held, dims: list[list[int]], made: torch.Generator) -> list[list[int]] | None:
    """As many features as these, at random of all that are not among them; None where there are not so many."""
    found = []
    for stage, taken in enumerate(dims):
        width = len(held.strength(stage))
        rest = [i for i in range(width) if i not in set(taken)]
        if len(rest) < len(taken):
            return None
        order = torch.randperm(len(rest), generator=made)[: len(taken)].tolist()
        found.append(sorted(rest[i] for i in order))
    return found


def zeroing(held: Held, dims: list[list[int]], able: Collection[str]) -> Edit:
    """The edit that takes features out of the points of their stages. Parameters: `held`; `dims`, by stage; `able`, points where they can be."""
    parts = []
    for some, sites in zip(dims, held.stages, strict=True):
        at = [site for site in sites if site in able]
        parts += [zero_dims(*some, at=at)] if some and at else []
    return sum(parts, Edit())
