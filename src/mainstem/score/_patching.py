"""Activation patching: what a target's score becomes with one component of another run; all of them at once by one backward pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, Site, tracked
from mainstem.find import Patch
from mainstem.find import run as run_module
from mainstem.stream import Exchange, Pass, Siblings, Swap, Swaps, Tokens

from ._goal import Goal

METRICS = ("logprob", "logit")


@dataclass(frozen=True, eq=False)
class Patched:
    """What patching one set of siblings does.

    Parameters: `label`, of the write or the point; `names`, of the components; `effects`, [component, turn, prompt], the score with the patch
    less that without, NaN where a prompt has no such token; `tokens`, whether turns are tokens: if not there is one, all of the tensor at
    once.
    """

    label: str
    names: tuple[str, ...]
    effects: Float[Tensor, "component turn prompt"]
    tokens: bool


def scored(goal: Goal, output: Tensor, metric: str) -> Float[Tensor, "prompt"]:
    """The score of every prompt in float64. Parameters: `goal`; `output`; `metric`, one of `METRICS`.

    Raises `InputError` for another metric.
    """
    if metric not in METRICS:
        raise InputError(f"no metric {metric!r}; there are {', '.join(METRICS)}, and contrast() for a difference of logits.")
    logits = goal.logits(output).double()
    if metric == "logit" and goal.against is None:
        return logits.gather(-1, goal.ids).masked_fill(~goal.mask, -torch.inf).logsumexp(-1)
    return goal.value(logits)


def patched(run: Pass, tokens: Tokens, goal: Goal, metric: str, some: Sequence[Exchange]) -> list[Patched]:
    """The effect of every exchange of every component, a run for each in which all that follows is live.

    What is the same in both runs is not run. Parameters: `run`; `tokens`, of its prompts; `goal`; `metric`; `some`.
    """
    found = _empty(run, some)
    jobs = [Swap(x, i) for x in some for i in range(len(x.siblings.names)) if not x.same(i)]
    for x in some:
        found[x.siblings].effects[:, x.turn, _prompts(x)] = 0.0
    for job, value in _runs(run, tokens, goal, metric, jobs):
        there = _prompts(job.exchange)
        found[job.exchange.siblings].effects[job.component, job.exchange.turn, there] = value[there].cpu()
    return list(found.values())


def exact(run: Pass, tokens: Tokens, goal: Goal, metric: str, jobs: Sequence[Swap]) -> list[Float[Tensor, "prompt"]]:
    """The effect of some swaps, a run for each. Parameters: as of `patched`; `jobs`."""
    return [value for _, value in _runs(run, tokens, goal, metric, jobs)]


def _runs(run: Pass, tokens: Tokens, goal: Goal, metric: str, jobs: Sequence[Swap]) -> Iterator[tuple[Swap, Tensor]]:
    made = Swaps(run, tokens)
    for few in tracked(made.chunks(jobs), "runs with patches", -(-len(jobs) // made.room)):
        outputs, own = made.outputs(few)
        before = scored(goal, own, metric)
        for job, output in zip(few, outputs, strict=True):
            yield job, scored(goal, output, metric) - before


def attributed(run: Pass, tokens: Tokens, goal: Goal, metric: str, some: Sequence[Exchange]) -> list[Patched]:
    """The effect of every exchange to first order, all by one backward pass: sum_i (x'_i - x_i) d score / d x_i.

    Parameters: as of `patched`. Raises `InputError` where a change in place keeps torch from it.
    """
    found = _empty(run, some)
    slopes = _slopes(run, goal, metric, [one.target.site for one in found])
    for x in some:
        one = x.siblings
        view = one.of(slopes[one.target.site], tokens)
        if len(view) == 1 < run.prompts:
            if not torch.equal(x.before, x.after):
                raise InputError(f"{one.label} is one row for all prompts: attribute it with one pair of prompts at a time.")
            view = view.expand(run.prompts, *view.shape[1:])
        at = x.at.to(view.device)
        slope = view[at[:, 0], at[:, 1]][:, list(one.which)].double()
        parts = ((x.after.double() - x.before.double()) * slope).sum(-1)  # [place, component]
        sums = parts.new_zeros(run.prompts, parts.shape[1]).index_add(0, at[:, 0], parts)
        there = _prompts(x)
        found[one].effects[:, x.turn, there] = sums[there].T.cpu()
    return list(found.values())


def _slopes(run: Pass, goal: Goal, metric: str, sites: Sequence[Site]) -> dict[Site, Tensor]:
    """d score / d x of the tensors at some sites, the scores of all prompts summed."""
    output, kept = run.stream.output, dict[Site, Tensor]()
    if output is None:
        raise InputError("nothing of the module's output can be followed back to this stream: it has no score.")
    patches = [*run.patches, *(Patch(site, partial(_keep, kept, site)) for site in sites)]
    if run.cut is not None:
        patches.append(run.cut.patch())
    try:
        with torch.enable_grad():
            seen = run_module(run.module, run.args, run.kwargs, {output.key}, patches, run.map.volatile, run.double)
            score = scored(goal, run.shaped(run.lift(seen.at(output))), metric).sum()
        found = torch.autograd.grad(score, [kept[site] for site in sites], allow_unused=True)
    except RuntimeError as why:
        raise InputError(f"torch makes no gradient of this run: {why}") from why
    return {site: torch.zeros_like(kept[site]) if g is None else g for site, g in zip(sites, found, strict=True)}


def _keep(kept: dict[Site, Tensor], site: Site, x: Tensor) -> Tensor:
    """A copy that the gradient is of, and another that the module may write into."""
    kept[site] = x.clone() if x.requires_grad else x.detach().clone().requires_grad_()
    return kept[site].clone()


def _empty(run: Pass, some: Sequence[Exchange]) -> dict[Siblings, Patched]:
    turns: dict[Siblings, int] = {}
    for x in some:
        turns[x.siblings] = max(turns.get(x.siblings, 0), x.turn + 1)
    told = {x.siblings: x.tokens for x in some}
    return {
        one: Patched(
            one.label, one.names, torch.full((len(one.names), n, run.prompts), torch.nan, dtype=torch.float64), told[one]
        )
        for one, n in turns.items()
    }


def _prompts(x: Exchange) -> list[int]:
    return sorted(set(x.at[:, 0].tolist()))


def ranked(one: Float[Tensor, "row"], two: Float[Tensor, "row"]) -> float:
    """Spearman's rank correlation: the correlation of ranks, equal numbers sharing the mean of theirs; NaN of fewer than two.

    Parameters: `one` and `two`, numbers of the same things.
    """
    ranks = torch.stack([_ranks(one), _ranks(two)])
    return float(torch.corrcoef(ranks)[0, 1]) if len(one) > 1 else float("nan")


def _ranks(values: Tensor) -> Tensor:
    below = (values[:, None] > values[None]).sum(1)
    equal = (values[:, None] == values[None]).sum(1)
    return below.double() + (equal.double() - 1) / 2
