"""Runs spread over a Ray cluster: one task a run, the results stored by this process as they come."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ._extras import needed

if TYPE_CHECKING:
    from ._run import Job
    from ._store import Record


def on_ray(jobs: "list[Job]") -> "Iterator[Record]":
    """Each run as a task with one processor, and one GPU where the cluster has any; in no order.

    The cluster is the one that this process is connected to, or that RAY_ADDRESS names, or one on this machine. Ray Tune is not used: a sweep
    here is a grid by seeds in which every run counts, and Tune is made to stop the ones that look bad.

    A run whose worker dies, for want of memory perhaps, is one that failed. Parameters: `jobs`.
    """
    if not jobs:
        return
    ray: Any = needed("ray")
    ours = not ray.is_initialized()
    if ours:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        gpus = float(ray.cluster_resources().get("GPU", 0) >= 1)
        task = ray.remote(_do).options(num_cpus=1, num_gpus=gpus)
        waiting = {task.remote(job): job for job in jobs}
        while waiting:
            (ready,), _ = ray.wait(list(waiting))
            yield _record(ray, ready, waiting.pop(ready))
    finally:
        if ours:
            ray.shutdown()


def _record(ray: Any, ready: Any, job: "Job") -> "Record":
    from ray.exceptions import RayError, RayTaskError

    from ._run import failed

    try:
        found: Record = ray.get(ready)
        return found
    except RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
    except RayError as error:
        return failed(job, f"its worker was lost: {str(error).splitlines()[0]}")


def _do(job: "Job") -> "Record":
    from ._run import do

    return do(job)
