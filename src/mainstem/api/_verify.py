"""The contract suite for a user's own model: the proofs of its map, and every decomposition closed on an example."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from mainstem.core import MainstemError, NotClosedError, Parts
from mainstem.find import Proof, StreamMap
from mainstem.models import Loaded, example
from mainstem.score import direct, lens
from mainstem.stream import LEVELS, Pass, applies, carry, take


@dataclass(frozen=True)
class Verification:
    """What was checked of a model, row by row: the value found, its bound, whether it holds, and what it means.

    Parameters: `model`, its name; `rows`, dictionaries of check, value, bound, ok and note.
    """

    model: str
    rows: tuple[dict[str, Any], ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(row["ok"] for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """The checks as plain JSON types."""
        return {"model": self.model, "ok": self.ok, "rows": list(self.rows)}

    def __str__(self) -> str:
        lines = [f"{self.model}: {'verified' if self.ok else 'NOT verified'}"]
        for row in self.rows:
            numbers = (
                ""
                if row["value"] is None
                else f"{row['value']:.1e}" + ("" if row["bound"] is None else f" (bound {row['bound']:.1e})")
            )
            lines.append(f"  {'ok  ' if row['ok'] else 'FAIL'} {row['check']:<22} {numbers:<28} {row['note']}".rstrip())
        return "\n".join(lines)


def verify(loaded: Loaded, mapped: Callable[[], StreamMap]) -> Verification:
    """Maps a model and closes every decomposition of one example.

    Parameters: `loaded`, the model; `mapped`, gives its map or raises.
    """
    try:
        found = mapped()
    except NotClosedError as failure:
        return Verification(loaded.name, (_row("map", None, None, False, str(failure)),))
    assert found.proof is not None
    ready = example(loaded)
    rows = list(_proofs(found, found.proof))
    for stream in found.streams:
        run = take(loaded.module, found, ready.args, ready.kwargs, stream=stream.name)
        rows += _closures(run, f"{stream.name} " if stream.name else "")
    return Verification(loaded.name, tuple(rows))


def _row(check: str, value: float | None, bound: float | None, ok: bool, note: str = "") -> dict[str, Any]:
    return {"check": check, "value": value, "bound": bound, "ok": bool(ok), "note": note}


def _proofs(found: StreamMap, proof: Proof) -> Iterator[dict[str, Any]]:
    main = found.main
    yield _row(
        "streams",
        None,
        None,
        True,
        ", ".join(f"{s.name or 'main'}: {len(s.blocks)} blocks, {len(s.points) - 1} additions" for s in found.streams),
    )
    yield _row(
        f"closure {proof.dtype}", proof.max_error, proof.bound, proof.closed, "points rebuilt from entry, writes and transports"
    )
    yield _row("continuity", proof.continuity, None, True, "transports lead from each point to the next")
    yield _row("cut", proof.cut, None, True, f"{proof.cut_points} points swapped for another input's")
    yield _row("bypass", None, None, True, ", ".join(proof.bypass) or "nothing passes the stream by")
    yield _row(
        "coverage",
        None,
        None,
        not proof.uncovered,
        ", ".join(proof.uncovered[:4]) or "no weights reach the output around the stream",
    )
    yield _row("response", proof.response, None, True, "one write removed: the end changes as carried")
    taken = sum(w.writer is not None for w in main.writes)
    yield _row(
        "writers",
        None,
        None,
        taken == len([w for w in main.writes if w.kind != "skip"]),
        f"{taken} of {len(main.writes)} writes traced to their last linear operation",
    )


def _closures(run: Pass, name: str) -> Iterator[dict[str, Any]]:
    kind = str(run.dtype).removeprefix("torch.")
    end = None if run.stream.output else len(run.stream.points) - 1
    yield _tried(f"{name}carry, {kind}", partial(carry, run, end))
    if run.stream.output is None:
        return
    direction = _direction(run)
    for level in LEVELS:
        if level == "write" or any(applies(w, level) for w in run.stream.writes):
            yield _tried(f"{name}level {level}", partial(direct, run, direction, level))
    last = lens(run, run.output().argmax(-1))
    miss = float(last.kl[-1].abs().max())
    yield _row(f"{name}lens", miss, 1e-4, miss < 1e-4, "the last point says what the model says")


def _tried(check: str, close: Callable[[], Parts]) -> dict[str, Any]:
    try:
        parts = close()
    except MainstemError as failure:
        return _row(check, None, None, False, str(failure))
    return _row(check, parts.error, parts.bound, parts.closed, f"{len(parts)} parts sum to the whole")


def _direction(run: Pass) -> Tensor:
    """One at what the model predicts at the last place."""
    output = run.output()
    flat = output.reshape(output.shape[0], -1, output.shape[-1])
    found = flat.new_zeros(flat.shape)
    found[:, -1].scatter_(-1, flat[:, -1].argmax(-1, keepdim=True), 1.0)
    return found.reshape(output.shape)
