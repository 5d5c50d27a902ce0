"""What a stream is used for: how much varies, in how many directions, and what the lower layers do not already hold."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from mainstem.measure import measure_named

from ._watch import Row


def stream_use(step: int, points: Mapping[str, Tensor], residual: bool) -> Iterator[Row]:
    """Bandwidth and subspaces of points, [..., feature]; crowding out of writes where there are any.

    `variance` is the trace of the covariance (the seed's bandwidth), `effective_rank` the directions that it fills; `remainder` is the share
    of the next point that is outside of what this one spans, "not captured by the lower layers"; `crowding` the share of a write that lies in the
    leading directions of the write before it, beside `crowding_random`, that of random directions.

    Parameters: `step`; `points`, in order; `residual`, whether each is the one before and a write.
    """
    rows = {name: x.detach().flatten(0, -2) for name, x in points.items()}
    for site, x in rows.items():
        found = _measured("bandwidth", x)
        yield Row(step, "variance", site, float(found["total"]))
        yield Row(step, "effective_rank", site, float(found["effective_rank"]))
    for (_, before), (site, x) in pairwise(rows.items()):
        yield Row(step, "remainder", site, float(_measured("subspace", before, x)["remainder"]))
    if residual:
        writes = {site: x - before for (_, before), (site, x) in pairwise(rows.items())}
        for (_, before), (site, write) in pairwise(writes.items()):
            found = _measured("subspace", before, write)
            yield Row(step, "crowding", site, float(found["captured"]))
            yield Row(step, "crowding_random", site, float(found["random"]))


def lane_use(step: int, points: Mapping[str, Tensor], narrow: int) -> Iterator[Row]:
    """How much of a stream is in its data lane, the dimensions from `narrow` on: of variance, and of what the blocks have written.

    `lane_width` is what both are where all dimensions are used alike.

    Parameters: `step`; `points`, in order; `narrow`, width e of the embedding.
    """
    rows = {name: x.detach().flatten(0, -2) for name, x in points.items()}
    entry = next(iter(rows.values()))
    for site, x in rows.items():
        yield Row(step, "lane_width", site, 1 - narrow / x.shape[-1])
        yield Row(step, "lane_variance", site, _share(x.double().var(0, correction=0), narrow))
        if x is not entry:
            yield Row(step, "lane_writes", site, _share((x - entry).double().square().mean(0), narrow))
            for part, dims in (("lane_kurtosis", x[:, narrow:]), ("embedding_kurtosis", x[:, :narrow])):
                yield Row(step, part, site, float(_measured("kurtosis", dims)["kurtosis"]))


def _share(sizes: Tensor, narrow: int) -> float:
    return float(sizes[narrow:].sum() / sizes.sum())


def _measured(name: str, *sites: Tensor) -> dict[str, Tensor]:
    one: Any = measure_named(name)
    real = torch.ones(len(sites[0]), dtype=torch.bool, device=sites[0].device)
    state = one.init(*(x.shape[-1] for x in sites), sites[0].device)
    found: dict[str, Tensor] = one.result(one.update(state, *sites, real))
    return found
