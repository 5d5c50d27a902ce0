"""The contract suite for a user's own model: the proofs of its map, and every decomposition closed on an example."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from mainstem.core import MainstemError, NotClosedError, Parts
from mainstem.find import Proof, StreamMap
from mainstem.models import Loaded
from mainstem.score import direct, lens
from mainstem.stream import LEVELS, Pass, applies, carry, take


@dataclass(frozen=True)
class Verification:
    """What was checked of a model, row by row: the value found, its bound, whether it holds, and what it means.

    Parameters: `model`, its name; `rows`, dictionaries of check, value, bound, ok and note; `map`, what was found, None
    where it does not prove itself; `seconds`, how long it took.
    """

    model: str
    rows: tuple[dict[str, Any], ...]
    map: StreamMap | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(row["ok"] for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """The checks as plain JSON types."""
        return {"model": self.model, "ok": self.ok, "rows": list(self.rows), "summary": self.row()}

    def row(self) -> dict[str, Any]:
        """All of it in one line of plain values, as the table of architectures has it.

        `streams` are additions by the stream's name; `closure` and `own` are (dtype, error, bound), of the proof and of the
        parts carried to the output in the model's own precision; `levels` the levels that close; `failed` what does not hold.
        """
        proof = self.map.proof if self.map else None
        own = [row for row in self.rows if row["part"] == "carry" and row["value"] is not None]
        worst = max(own, key=lambda row: row["value"] / (row["bound"] or 1.0), default=None)
        return {
            "model": self.model,
            "ok": self.ok,
            "streams": {s.name or "main": len(s.points) - 1 for s in self.map.streams} if self.map else {},
            "closure": [proof.dtype, proof.max_error, proof.bound] if proof else None,
            "own": [worst["check"].rpartition(" ")[2], worst["value"], worst["bound"]] if worst else None,
            "cut": proof.cut if proof else None,
            "bypass": list(proof.bypass) if proof else [],
            "uncovered": list(proof.uncovered) if proof else [],
            "response": proof.response if proof else None,
            "levels": sorted({row["check"].rpartition(" ")[2] for row in self.rows if row["part"] == "level" and row["ok"]}),
            "failed": [f"{row['check']}: {row['note']}" for row in self.rows if not row["ok"]],
            "seconds": round(self.seconds, 2),
        }

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


def verify(loaded: Loaded, mapped: Callable[[], StreamMap], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Verification:
    """Maps a model and closes every decomposition of one input.

    Parameters: `loaded`, the model; `mapped`, gives its map or raises; `args` and `kwargs`, the input.
    """
    start = time.perf_counter()
    try:
        found = mapped()
    except NotClosedError as failure:
        return Verification(loaded.name, (_row("map", None, None, False, str(failure)),), None, time.perf_counter() - start)
    assert found.proof is not None
    rows = list(_proofs(found, found.proof))
    for stream in found.streams:
        run = take(loaded.module, found, args, kwargs, stream=stream.name)
        rows += _closures(run, f"{stream.name} " if stream.name else "")
    return Verification(loaded.name, tuple(rows), found, time.perf_counter() - start)


def _row(check: str, value: float | None, bound: float | None, ok: bool, note: str = "", part: str = "map") -> dict[str, Any]:
    return {"check": check, "part": part, "value": value, "bound": bound, "ok": bool(ok), "note": note}


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
    made = [w for w in main.writes if w.kind not in ("skip", "side", "constant", "mixing")]
    taken = sum(w.writer is not None for w in made)
    yield _row(
        "writers",
        None,
        None,
        taken == len(made),
        f"{taken} of {len(made)} writes traced to their last linear operation",
    )


def _closures(run: Pass, name: str) -> Iterator[dict[str, Any]]:
    kind = str(run.dtype).removeprefix("torch.")
    end = None if run.stream.output else len(run.stream.points) - 1
    yield _tried(f"{name}carry, {kind}", "carry", partial(carry, run, end))
    if run.stream.output is None:
        return
    direction = _direction(run)
    for level in LEVELS:
        if level == "write" or any(applies(w, level) for w in run.stream.writes):
            yield _tried(f"{name}level {level}", "level", partial(direct, run, direction, level))
    last = lens(run, run.output().argmax(-1))
    miss = float(last.kl[-1].abs().max())
    yield _row(f"{name}lens", miss, 1e-4, miss < 1e-4, "the last point says what the model says", "lens")


def _tried(check: str, part: str, close: Callable[[], Parts]) -> dict[str, Any]:
    try:
        parts = close()
    except MainstemError as failure:
        return _row(check, None, None, False, str(failure), part)
    return _row(check, parts.error, parts.bound, parts.closed, f"{len(parts)} parts sum to the whole", part)


def _direction(run: Pass) -> Tensor:
    """One at what the model predicts at the last place."""
    output = run.output()
    flat = output.reshape(output.shape[0], -1, output.shape[-1])
    found = flat.new_zeros(flat.shape)
    found[:, -1].scatter_(-1, flat[:, -1].argmax(-1, keepdim=True), 1.0)
    return found.reshape(output.shape)
