"""One prompt's prediction taken apart, as plain data that is printed, drawn and stored."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.score import lens
from mainstem.stream import Pass

from ._lens import LensResult
from ._result import Result
from ._target import Contrast, Target
from ._words import WordsResult


@runtime_checkable
class Traced(Protocol):
    """What a summary asks of a trace."""

    run: Pass

    @property
    def tokens(self) -> tuple[tuple[str, ...], ...]: ...

    @property
    def prompts(self) -> tuple[str, ...]: ...

    @property
    def logits(self) -> Tensor: ...

    def scores(
        self, target: Target = None, level: str = "write", by: str = "dla", positions: int | str | None = None
    ) -> Result: ...

    def lens(self, target: Target = None) -> LensResult: ...

    def words(
        self,
        component: str | Sequence[str],
        first: int = 10,
        last: int = 10,
        of: str = "write",
        prompt: int = 0,
        position: int | None = None,
    ) -> WordsResult: ...

    def word(self, index: int) -> str: ...

    def index(self, target: str | int) -> int: ...

    def _within(self, write: str) -> "Traced": ...

    def _hold(self, writes: Sequence[str]) -> None: ...


def summary(trace: Traced, target: Target, prompt: int, position: int | None, top: int, grid: bool = True) -> dict[str, Any]:
    """Prediction, writes, lens, heads with the sources they read, neurons with their words, closure.

    Parameters: `trace`; `target`; `prompt`, which of a batch; `position`; `top`, how many heads and neurons; `grid`, whether the lens at
    every position is in it.
    """
    writes = _one(trace.scores(target, positions=position), prompt)
    goal = target if target is not None else _predicted(trace, writes, prompt)
    at = writes.positions[0] if writes.positions else None
    heads = _one(trace.scores(goal, "head", positions=position), prompt)
    neurons = _one(trace.scores(goal, "neuron", positions=position), prompt)
    best = [_strongest(heads, "head", top), _strongest(neurons, "neuron", top)]
    trace._hold([label for rows in best for label, _ in rows])  # one run for all that is asked of them
    found = {
        "model": writes.model,
        "prompt": trace.prompts[prompt] if trace.prompts else "",
        "tokens": list(trace.tokens[prompt]) if trace.tokens else [],
        "position": at,
        "target": _target(trace, goal),
        "whole": float(writes.whole),
        "prediction": _prediction(trace, prompt, at),
        "writes": [_write(group) for group in writes.parts.groups],
        "lens": _lens(trace, goal, prompt, at),
        **({"lens_grid": _grid(trace, prompt) if at is not None else {}} if grid else {}),
        "heads": _heads(trace, best[0], goal, prompt, position),
        "neurons": _neurons(trace, best[1], prompt, position),
        "closure": {"error": writes.error, "bound": writes.bound, "parts": len(neurons)},
        "choices": {k: v for k, v in writes.choices.items() if k != "level"},
    }
    trace._hold([])
    return found


def _one(result: Result, prompt: int) -> Result:
    return result.prompt(prompt)


def _predicted(trace: Traced, writes: Result, prompt: int) -> int:
    output = trace.logits[prompt]
    return int((output if writes.positions is None else output[writes.positions[0]]).argmax())


def _target(trace: Traced, goal: Target) -> dict[str, Any]:
    named = (goal.token, goal.against) if isinstance(goal, Contrast) else (goal,)
    found = [trace.index(t) for t in named if isinstance(t, (str, int))]
    if len(found) != len(named):
        raise InputError("a summary is of one token or a contrast of two; scores() takes targets per prompt.")
    one, against = ({"id": i, "text": trace.word(i)} for i in (found[0], found[-1]))
    return {**one, "against": against if len(found) == 2 else None}


def _prediction(trace: Traced, prompt: int, at: int | None, k: int = 5) -> list[dict[str, Any]]:
    output = trace.logits[prompt] if at is None else trace.logits[prompt, at]
    found, ids = output.detach().float().log_softmax(-1).topk(min(k, output.shape[-1]))
    return [{"token": trace.word(int(i)), "logprob": float(v), "prob": float(v.exp())} for v, i in zip(found, ids, strict=True)]


def _write(group: Any) -> dict[str, Any]:
    head = group.label.split(".")
    layer = next((int(part[1:]) for part in head if part[:1] == "L" and part[1:].isdigit()), None)
    return {
        "label": group.label,
        "kind": group.kind,
        "layer": -1 if group.kind == "entry" else layer,
        "value": float(group.values),
    }


def _lens(trace: Traced, goal: Target, prompt: int, at: int | None) -> list[dict[str, Any]]:
    first = goal.token if isinstance(goal, Contrast) else goal
    assert isinstance(first, str | int)  # `_target` let nothing else through
    wanted = torch.tensor(trace.index(first), device=trace.logits.device)
    found = lens(trace.run, wanted, span=None if at is None else (at, at + 1))
    place = (prompt,) if at is None else (prompt, 0)
    return [
        {
            "point": point,
            "token": trace.word(int(found.tokens[i][place])),
            "top_prob": float(found.top_logprob[i][place].exp()),
            "logprob": float(found.logprob[i][place]),
            "rank": int(found.rank[i][place]),
            "entropy": float(found.entropy[i][place]),
            "kl": float(found.kl[i][place]),
        }
        for i, point in enumerate(found.points)
    ]


def _grid(trace: Traced, prompt: int) -> dict[str, Any]:
    found = trace.lens()
    lens = found.values
    return {
        "points": list(found.points),
        "tokens": [[found.word(int(i)) for i in row[prompt]] for row in lens.tokens],
        "prob": [row[prompt].exp().tolist() for row in lens.top_logprob],
        "logprob": [row[prompt].tolist() for row in lens.logprob],
        "kl": [row[prompt].tolist() for row in lens.kl],
        "targets": [found.word(int(i)) for i in lens.target[prompt]],
    }


def _strongest(result: Result, axis: str, top: int) -> list[tuple[str, float]]:
    """The components with an inner axis of this name, by absolute value."""
    rows = []
    for group in result.parts.groups:
        if axis in group.axes:
            flat = group.flat().flatten()
            keep = flat.abs().topk(min(top, flat.numel())).indices
            rows += [(group.name(int(i)), float(flat[i])) for i in keep]
    return sorted(rows, key=lambda row: -abs(row[1]))[:top]


def _heads(trace: Traced, best: list[tuple[str, float]], goal: Target, prompt: int, position: int | None) -> list[dict[str, Any]]:
    found = []
    for label, value in best:
        within = trace._within(label.rpartition(".H")[0])
        edges = _one(within.scores(goal, "edge", positions=position), prompt)
        found.append({"label": label, "value": value, "sources": _sources(trace, edges, label, prompt)})
    return found


def _sources(trace: Traced, edges: Result, label: str, prompt: int, k: int = 5) -> list[dict[str, Any]]:
    write, _, head = label.rpartition(".H")
    if not any(g.label == write and "key_pos" in g.axes for g in edges.parts.groups):
        return []  # edited inside: what the head read is not what it says
    values = edges[write][int(head)].flatten()
    tokens = trace.tokens[prompt] if trace.tokens else ()
    order = values.abs().topk(min(k, values.numel())).indices.tolist()
    return [{"position": j, "token": tokens[j] if j < len(tokens) else str(j), "value": float(values[j])} for j in order]


def _neurons(trace: Traced, best: list[tuple[str, float]], prompt: int, position: int | None) -> list[dict[str, Any]]:
    said = trace.words([label for label, _ in best], 6, 6, prompt=prompt, position=position) if best else None
    rows = []
    for label, value in best:
        ends = {end: [word for word, _ in found] for end, found in said[label].items()} if said else {}
        rows.append({"label": label, "value": value, **ends})
    return rows
