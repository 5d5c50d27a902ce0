"""What an edit does, as a page of text."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from ._terminal import DIM, TITLE, quoted, signed, table, tone

if TYPE_CHECKING:
    from rich.console import RenderableType


def shown(record: dict[str, Any]) -> Iterator["RenderableType"]:
    """Both sides of one prompt. Parameters: `record`, as `mainstem ablate --json` prints it."""
    from rich.text import Text

    prompt = quoted(record["prompt"], 400) if record["prompt"] is not None else "an input"
    yield Text.assemble((record["model"], DIM), "  ", (prompt, TITLE))
    yield Text(record["edit"], style=DIM)
    yield ""
    before, after = record["before"], record["after"]
    rows = table("", "before", "", "after", right=[0, 2])
    nothing: dict[str, Any] = {"prob": None, "token": ""}
    for one, two in zip_longest(before["predictions"], after["predictions"], fillvalue=nothing):
        rows.add_row(_percent(one["prob"]), quoted(one["token"]), _percent(two["prob"]), quoted(two["token"]))
    yield rows
    change = after["logprob"] - before["logprob"]
    yield Text.assemble(
        "\n",
        (record["target"], TITLE),
        f"  {before['logprob']:.4f} -> {after['logprob']:.4f}  ",
        (signed(change), tone(change)),
        (" nats", DIM),
    )
    yield Text.assemble(("divergence from before  ", DIM), f"{record['divergence']:.4f}", (" nats", DIM))
    if "text" in before:
        for name, side in (("before", before), ("after", after)):
            yield Text.assemble((f"\n{name}  ", DIM), (record["prompt"] or "", DIM), side["text"])


def _percent(prob: float | None) -> str:
    return "" if prob is None else f"{100 * prob:.1f}%"


def shown_loss(model: str, data: str, rows: list[dict[str, Any]]) -> Iterator["RenderableType"]:
    """The loss over data without the edit and with it. Parameters: `model`; `data`, the file; `rows`, of `mainstem.edit_loss`."""
    from rich.text import Text

    yield Text.assemble((model, DIM), "  ", (data, TITLE), (f"  {rows[0]['tokens']:,} tokens", DIM), "\n")
    made = table("", "loss", "increase", "divergence", right=[1, 2, 3])
    for row in rows:
        error = "" if row["error"] is None else f" ± {row['error']:.4f}"
        loss = "" if row["loss"] is None else f"{row['loss']:.4f}"
        more = "" if row["increase"] is None or row is rows[0] else f"{signed(row['increase'], 4)}{error}"
        made.add_row(Text(f"  {row['edit']}"), loss, more, "" if row is rows[0] else f"{row['divergence']:.4f}")
    yield made
    if rows[0]["loss"] is None:
        yield Text("\nthis model predicts no next token from those before; the divergence tells", style=DIM)
