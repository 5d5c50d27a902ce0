"""The table as Markdown: ratios and megabytes, targets beside them, and every miss named."""

from collections.abc import Iterator
from typing import Any

from ._rows import ROWS, Row

COLUMNS = ("mainstem", "hooks", "TransformerLens 4", "TransformerLens 2", "nnsight")
PEERS = COLUMNS[2:]

# Why a row misses what it is held to; printed where it does. Renewed by hand when the reason changes.
ALL = (
    "mainstem computes the output at one position, but holds points and writes at all of them; the others were told to hold one."
)
WHY: dict[str, str] = {
    "points": "mainstem holds the writes together with the points; there is no trace of points alone.",
    "last": ALL,
    "lens": ALL,
    "ready": "what carries parts on (norms, activations, readout) is held beside the parts, so that scores need no second run.",
    "one": ALL,
    "find": "the proof runs the model several times in float64, once for a model and not for each input.",
}

HEAD = """# Benchmarks

What the same work costs here, by plain hooks, and with other tools: the shape of GPT-2 small with random weights, one thread.
Made by `make bench`, which writes this page; numbers for machines are in [benchmarks.json](benchmarks.json).

- **Time** is CPU time over that of the model's bare forward pass with all logits, the median of rounds in which all tools take
  turns, in one process, on the same weights. A row that begins with + is on top of the run that it needs; the others include it.
- **Memory**, in MB, is the most that torch's allocator held above the loaded model, the result and the bare pass's own needs
  included, and in rows with + the run that they need too. It is the allocator's own record; of two runs, the lower.
- Each tool does it in the cheapest way that its own arguments allow: TransformerLens with a filter that keeps only what is
  needed, nnsight and hooks with one batched unembedding of the last position. **Hooks** are the floor: forward hooks
  that keep what passes, which no tool that holds the same tensors can go below.
- A dash is work that the tool does not offer; a size instead of numbers is what one of its tensors would have taken.
- TransformerLens 2 runs in an environment of its own, with its own bare pass, and is compared with mainstem there.

"""


def page(found: dict[str, Any]) -> str:
    """The whole page. Parameters: `found`, what `__main__` gathered: machine, date, versions and records by environment."""
    sizes = list(dict.fromkeys(record["size"] for record in found["now"]["records"]))
    lines = [HEAD + machine(found), ""]
    for size in sizes:
        lines += section(found, size)
    return "\n".join(lines)


def machine(found: dict[str, Any]) -> str:
    """Where and with what it was measured. Parameters: `found`."""
    said = [f"Measured on {found['date']}: {found['machine']}, one thread."]
    for env in ("now", "then"):
        said.append(", ".join(f"{name} {number}" for name, number in found[env]["versions"].items()) + ".")
    return f"{said[0]} Versions: {said[1]} For TransformerLens 2: {said[2]}\n"


def section(found: dict[str, Any], size: str) -> Iterator[str]:
    """One size's table and its misses. Parameters: `found`; `size`."""
    batch, length = size.split("x")
    bare = cell(find(found, size, "bare", "forward"))
    last = cell(find(found, size, "bare", "last_logits"))
    yield f"## {batch} x {int(length):,} tokens"
    yield ""
    yield f"Bare forward pass: {bare}. Unembedding the last position only: {last}."
    yield ""
    yield "| time x, MB | target | " + " | ".join(COLUMNS) + " |"
    yield "|---" * (len(COLUMNS) + 2) + "|"
    rows = [row for row in ROWS if any(find(found, size, tool, row.key) for tool in COLUMNS)]
    for row in rows:
        target = "" if row.target is None else f"{row.target:g}"
        yield f"| {row.title} | {target} | " + " | ".join(cell(find(found, size, tool, row.key)) for tool in COLUMNS) + " |"
    yield ""
    missed = [said for row in rows for said in misses(found, size, row)]
    yield "Every target is met, and no peer is below mainstem in time or memory." if not missed else "Misses:"
    yield ""
    if missed:
        yield from (f"- {said}" for said in missed)
        yield ""


def misses(found: dict[str, Any], size: str, row: Row) -> Iterator[str]:
    """Where mainstem is above its target, or above a peer in time or memory. Parameters: `found`; `size`; `row`."""
    ours = find(found, size, "mainstem", row.key)
    if not ours:
        return
    said = []
    if row.target is not None and ours["ratio"] > row.target:
        said.append(f"{ours['ratio']:.2f} is above the target of {row.target:g}")
    for peer in PEERS:
        theirs, here = find(found, size, peer, row.key), find(found, size, "mainstem", row.key, env_of(peer))
        if "ratio" not in theirs or "ratio" not in here:
            continue
        for what, unit in (("ratio", "time"), ("mb", "memory")):
            if here[what] > 1.005 * theirs[what]:  # equal to the eye is not below
                said.append(f"{peer} takes {theirs[what] / here[what]:.2f} of its {unit}")
    if said:
        yield f"*{row.title.removeprefix('+ ')}*: {'; '.join(said)}" + (f". Why: {WHY[row.key]}" if row.key in WHY else ".")


def env_of(tool: str) -> str:
    """The environment that a tool's numbers are of. Parameters: `tool`."""
    return "then" if tool == "TransformerLens 2" else "now"


def find(found: dict[str, Any], size: str, tool: str, row: str, env: str | None = None) -> dict[str, Any]:
    """One record, or an empty one. Parameters: `found`; `size`, `tool`, `row`; `env`, the tool's own if none is given."""
    for record in found[env or env_of(tool)]["records"]:
        if (record["size"], record["tool"], record["row"]) == (size, tool, row):
            return record
    return {}


def cell(record: dict[str, Any]) -> str:
    """Ratio and megabytes, or why there are none. Parameters: `record`."""
    if "ratio" in record:
        return f"{record['ratio']:.2f}, {record['mb']:,.0f}"
    return record.get("refused", "-")
