"""The table of architectures as a page of the documentation."""

from collections.abc import Iterable, Iterator
from typing import Any

_HEAD = ("architecture", "kind", "additions", "closure", "own precision", "cut", "bypass", "coverage", "levels", "s")
_LABELS = {
    "causal": "causal language models",
    "masked": "masked language models",
    "seq2seq": "sequence to sequence",
    "image": "image classification",
    "audio": "audio",
}


def compatibility(record: dict[str, Any]) -> str:
    """The page in Markdown: counts of each kind, what closes, what does not and why, what was not built and why.

    Parameters: `record`, versions and rows, as in compatibility.json.
    """
    rows = record["rows"]
    lines = ["# Architectures", "", *_intro(record), "", *_counts(rows), ""]
    for status, title in (
        ("closed", "Closed"),
        ("open", "Not closed"),
        ("streamless", "Without a stream"),
        ("unbuilt", "Not built"),
    ):
        if some := [row for row in rows if row["status"] == status]:
            lines += [f"## {title}", "", *(_closed(some) if status == "closed" else _reasons(some)), ""]
    return "\n".join(lines)


def _intro(record: dict[str, Any]) -> Iterator[str]:
    versions = " and ".join(f"{name} {version}" for name, version in sorted(record["versions"].items(), reverse=True))
    yield f"Written by `mainstem verify --zoo` with {versions}: every architecture of the auto classes, built small from its"
    yield "configuration with random weights, run on two rows of random input, mapped, proved, and taken apart at every level."
    yield "`closure` and `own precision` are errors with their bounds, of the proof and of the parts carried to the output."


def _counts(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| kind | built and run | closed | not closed | without a stream | not built |"
    yield "|---|---:|---:|---:|---:|---:|"
    kinds = [kind for kind in _LABELS if any(row["kind"] == kind for row in rows)]
    for name, some in [*((_LABELS[k], [r for r in rows if r["kind"] == k]) for k in kinds), ("all", rows)]:
        n = {s: sum(row["status"] == s for row in some) for s in ("closed", "open", "streamless", "unbuilt")}
        cells = (len(some) - n["unbuilt"], n["closed"], n["open"], n["streamless"], n["unbuilt"])
        yield f"| {name} | {' | '.join(map(str, cells))} |"


def _closed(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield f"| {' | '.join(_HEAD)} |"
    yield f"|{'---|' * len(_HEAD)}"
    for row in rows:
        streams = row["streams"]
        adds = ", ".join(str(n) if len(streams) == 1 else f"{name} {n}" for name, n in streams.items())
        bypass = f"{len(row['bypass'])}" if row["bypass"] else "none"
        cells = (row["name"], row["kind"], adds, _error(row["closure"]), _error(row["own"]), _number(row["cut"]), bypass)
        covered = "all" if not row["uncovered"] else f"all but {len(row['uncovered'])}"
        yield f"| {' | '.join((*cells, covered, ', '.join(row['levels']), str(row['seconds'])))} |"


def _error(found: list[Any] | None) -> str:
    return "" if found is None else f"{found[0]} {_number(found[1])} ({_number(found[2])})"


def _number(value: float | None) -> str:
    return "" if value is None else "0" if value == 0 else f"{value:.0e}"


def _reasons(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield "| architecture | kind | reason |"
    yield "|---|---|---|"
    for row in rows:
        yield f"| {row['name']} | {row['kind']} | {row['reason'].replace('|', chr(92) + '|')} |"
