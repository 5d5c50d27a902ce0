"""What curves without blocks cost beside the plain ways: hooks that zero what blocks write, and models with blocks left out.

CPU times measured in turn in one run on one thread, the median of the rounds, on GPT-2 small's shape with random weights, one text of
64 tokens, losses and hits included. The plain ways run the model once for every value of a curve. That all say the same is checked before it is
timed. What a curve costs once, whatever the data, is left out: the weights' hash, and the passes that its ablations are held against. Run with `make bench`, which renews the section of docs/benchmarks.md; `--rounds N`, `--dry` to print and write nothing.
"""

import argparse
import gc
import platform
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import mainstem as ms
from mainstem.api import Model
from mainstem.scan import METRICS
from mainstem.stream import Ablated

from ._marked import write
from .peers.__main__ import processor

ROOT = Path(__file__).resolve().parents[1]
BLOCKS, LENGTH = 12, 64
SIDES = ("tail", "head", "single", "skip")
TARGETS = {"tail": 12.0, "head": 4.0, "single": 3.5}
# What the numbers say; renewed by hand with them.
NOTE = (
    "Where the loss of every token is asked for, each of the 13 values needs its own unembedding of all 64 positions, 31 % of the shape's multiplications, which no sharing can save: "
    "13 of them and one body are 2.75 times less work than 13 passes. With one position, or a few classes, the body is what counts: the tail needs one, the "
    "others half of 13, in larger products."
)


def models() -> dict[str, tuple[Model, str, list[int] | None]]:
    """What curves are of: a model, which next tokens count, labels."""
    from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(use_cache=False, num_labels=2, pad_token_id=0)
    language, classes = ms.load(GPT2LMHeadModel(config).eval()), ms.load(GPT2ForSequenceClassification(config).eval())
    for model in (language, classes):
        model.map_with(torch.arange(1, 9)[None])
    return {
        "next token, all 64": (language, "all", None),
        "next token, the last": (language, "last", None),
        "two classes": (classes, "all", [1]),
    }


def removed(side: str) -> list[tuple[int, ...]]:
    """Blocks that are left out, for every value. Parameters: `side`."""
    every = range(BLOCKS)
    if side in ("single", "skip"):
        return [(), *((b,) for b in every)]
    return [tuple(every[BLOCKS - k :] if side == "tail" else every[:k]) for k in range(BLOCKS + 1)]


@contextmanager
def hooked(module: nn.Module, gone: tuple[int, ...]) -> Any:
    """Without what some blocks write, by hooks. Parameters: `module`; `gone`."""

    def zero(_module: nn.Module, _inputs: Any, out: Any) -> Any:
        return (torch.zeros_like(out[0]), *out[1:]) if isinstance(out, tuple) else torch.zeros_like(out)

    with ExitStack() as held:
        for b in gone:
            for part in (module.transformer.h[b].attn, module.transformer.h[b].mlp):
                held.callback(part.register_forward_hook(zero).remove)
        yield


@contextmanager
def unskipped(module: nn.Module, gone: tuple[int, ...]) -> Any:
    """Without the skips of some blocks, by hooks: what is added is made less by what it is added to. Parameters: `module`; `gone`."""
    with ExitStack() as held:
        for b in gone:
            block, read = module.transformer.h[b], dict[str, Tensor]()

            def note(norm: nn.Module, inputs: Any, name: str, read: dict[str, Tensor] = read) -> None:
                read[name] = inputs[0]

            def less(out: Any, name: str, read: dict[str, Tensor] = read) -> Any:
                return (out[0] - read[name], *out[1:]) if isinstance(out, tuple) else out - read[name]

            for name, norm, part in (("attn", block.ln_1, block.attn), ("mlp", block.ln_2, block.mlp)):
                held.callback(norm.register_forward_pre_hook(partial(note, name=name)).remove)
                held.callback(part.register_forward_hook(lambda _m, _i, out, name=name, less=less: less(out, name)).remove)
        yield


@contextmanager
def truncated(module: nn.Module, gone: tuple[int, ...]) -> Any:
    """A model of the other blocks alone. Parameters: `module`; `gone`."""
    whole = module.transformer.h
    module.transformer.h = nn.ModuleList(block for b, block in enumerate(whole) if b not in gone)
    try:
        yield
    finally:
        module.transformer.h = whole


def plain(how: Callable[..., Any], model: Model, side: str, ids: Tensor, places: str, labels: list[int] | None) -> list[float]:
    """The losses of a curve by a loop. Parameters: `how`, blocks are left out; `model`; `side`; `ids`; `places`; `labels`."""
    found = []
    for gone in removed(side):
        with how(model.module, gone), torch.no_grad():
            logits = model.module(input_ids=ids).logits
        if labels is None:
            start = 0 if places == "all" else -2
            rows, true = logits[0, start:-1], ids[0, 1:] if places == "all" else ids[0, -1:]
        else:
            rows, true = logits, torch.tensor(labels)
        found.append(float(cross_entropy(rows, true)))
        (rows.argmax(-1) == true).sum()
    return found


def shared(engine: Ablated, ids: Tensor, places: str, labels: list[int] | None) -> list[float]:
    """The losses of a curve as mainstem makes them. Parameters: `engine`; `ids`, `places`, `labels`, as of `plain`."""
    last = places == "last"
    inputs, only = (ids[:, :-1], torch.tensor([LENGTH - 2])) if last else (ids, None)
    found: list[Tensor] = []
    for _, outputs in engine.shared((), {"input_ids": inputs}, only):
        rows = outputs if labels is not None else outputs[:, 0] if last else outputs[:, 0, :-1]
        true = ids[0, -1:] if last else torch.tensor(labels) if labels is not None else ids[0, 1:]
        found.append(METRICS["loss"].value(rows, true).mean(-1))
        METRICS["accuracy"].value(rows, true).mean(-1)
    return torch.cat(found).tolist()


def ways(model: Model, side: str, ids: Tensor, places: str, labels: list[int] | None) -> dict[str, Callable[[], list[float]]]:
    """What is timed. Parameters: as of `plain`."""
    engine = Ablated(model.module, model.map, model.map.main, side)
    hooks = unskipped if side == "skip" else hooked
    found = {"a loop over hooks": lambda: plain(hooks, model, side, ids, places, labels)}
    if side != "skip":
        found["a loop over truncated models"] = lambda: plain(truncated, model, side, ids, places, labels)
    return found | {"mainstem": lambda: shared(engine, ids, places, labels)}


def seconds(ways: dict[str, Callable[[], list[float]]], rounds: int) -> dict[str, float]:
    """CPU seconds of every way, the median of rounds in turn. Parameters: `ways`; `rounds`, after one that warms up and is compared."""
    first = {name: torch.tensor(work()) for name, work in ways.items()}
    for name, values in first.items():
        torch.testing.assert_close(values, first["mainstem"], rtol=1e-4, atol=1e-4, msg=f"{name} says something else")
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            gc.collect()
            start = time.process_time()
            work()
            found[name].append(time.process_time() - start)
    return {name: median(times) for name, times in found.items()}


def page(found: dict[str, Any]) -> str:
    """The section. Parameters: `found`, date, machine, versions and records."""
    lines = [
        "## Curves without blocks",
        "",
        f"Loss and accuracy without the last, the first and single blocks, and without a block's skips, of GPT-2 small's shape (random weights, 12 blocks, 1 x {LENGTH}), {BLOCKS + 1} values each: CPU seconds for a text, "
        "and how many times faster that is than a loop that runs the model for every value, with hooks that change what blocks write, or with the blocks left out of the model.",
        "",
        "| | of | mainstem, s | a loop over hooks | target | a loop over truncated models |",
        "|---|---|---|---|---|---|",
    ]
    for record in found["records"]:
        side, of, own = record["side"], record["of"], record["seconds"]["mainstem"]
        times = {name: f"{taken / own:.1f} x" for name, taken in record["seconds"].items()}
        target = f"{TARGETS[side]:g} x" if side in TARGETS and of != "next token, all 64" else ""
        others = times["a loop over hooks"], target, times.get("a loop over truncated models", "")
        lines.append(f"| {side} | {of} | {own:.3g} | {' | '.join(others)} |")
    lines += ["", NOTE, "", f"Measured on {found['date']}: {found['machine']}, one thread. Versions: {found['versions']}."]
    return "\n".join(lines)


def main() -> None:
    """Measures, prints, and renews the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every curve")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES, help="which curves; fewer than all are not written")
    parser.add_argument("--dry", action="store_true", help="print the section and write nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where benchmarks.md and benchmarks.json are")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ids = torch.randint(0, 50257, (1, LENGTH), generator=torch.Generator().manual_seed(1))
    held, records = models(), []
    for side in options.sides:
        for of, (model, places, labels) in held.items():
            taken = seconds(ways(model, side, ids, places, labels), options.rounds)
            records.append({"side": side, "of": of, "seconds": taken})
    versions = f"python {platform.python_version()}, torch {torch.__version__}"
    found = {"date": date.today().isoformat(), "machine": processor(), "versions": versions, "records": records}
    print(page(found))
    if not options.dry and set(options.sides) == set(SIDES):
        write(options.out, "curves", page(found), found)


if __name__ == "__main__":
    main()
