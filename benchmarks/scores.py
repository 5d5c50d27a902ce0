"""What log-probability increase costs beside the way public code works it out, with how exact it is and what it holds.

Times are CPU times measured in turn in one run on one thread, the median of the rounds, as ratios. Every call of mainstem is
made on a trace of its own, since a trace keeps what it has worked out; the trace itself is not timed. Run with `make bench`,
which renews the section of docs/benchmarks.md; `--only NAME` for one model, `--rounds N`, `--dry` to print and write nothing.
"""

import argparse
import gc
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

import mainstem as ms
from mainstem.api import Model, Trace

from ._marked import write
from ._public import CHUNK, anatomy, layers, products
from ._public import scores as public_scores
from .peers.__main__ import processor
from .peers._measure import peak

ROOT = Path(__file__).resolve().parents[1]
BY = {"by": "logprob_increase", "level": "neuron"}
TOP, WITHIN, LONG = 20, 1e-4, 64
ROUNDS = {"default": 9, "stories15m": 5}
REAL = ("stories15m", "smollm2")
SHAPE = "GPT-2 small's shape"


@dataclass(frozen=True)
class Case:
    """A model with what it is asked. Parameters: `name`; `model`; `ids`, [1, pos]; `target`, a token's id; `long`, [1, 64]."""

    name: str
    model: Model
    ids: Tensor
    target: int
    long: Tensor


def real(name: str) -> Path:
    """The folder of a real model, which need not be there. Parameters: `name`."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("MAINSTEM_REAL_MODELS") or users / "mainstem" / "real_models") / name


def case(name: str) -> Case | None:
    """A model by its name, None where its files are not there. Parameters: `name`."""
    random = torch.Generator().manual_seed(LONG)
    if name == SHAPE:
        from transformers import GPT2Config, GPT2LMHeadModel

        torch.manual_seed(0)
        module = GPT2LMHeadModel(GPT2Config(use_cache=False)).eval()
        model = ms.load(module)
        model.map_with(torch.arange(1, 9)[None])
        ids = torch.randint(0, 50257, (1, LONG), generator=random)
        return Case(name, model, ids[:, :8], 262, ids)
    if name in REAL and not real(name).is_dir():
        return None
    model = ms.load(str(real(name)) if name in REAL else name)
    if name == "stories15m":
        long = torch.randint(3, 2000, (1, LONG), generator=random)
        return Case(name, model, torch.tensor([[1, 9038, 2501, 263, 931]]), 29892, long)
    trace = model.trace("The capital of France is")
    long = torch.randint(3, 2000, (1, LONG), generator=random)
    return Case(
        name, model, trace.run.kwargs.get("input_ids", trace.run.args[0] if trace.run.args else None), trace.index(" Paris"), long
    )


def taken(ways: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of every way in every round, in turn so that noise falls on all alike. Parameters: `ways`, each what it stands on, not timed, and the work; `rounds`, after one that warms up."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, (before, work) in ways.items():
            held = before()
            gc.collect()
            start = time.process_time()
            work(held)
            found[name].append(time.process_time() - start)
    return {name: times[1:] for name, times in found.items()}


def ways(one: Case) -> dict[str, tuple[Callable[[], Any], Callable[[Any], object]]]:
    """What is timed. Parameters: `one`."""
    where, each = anatomy(one.model.module), layers(one.model.module, one.ids)
    matrix: Tensor = where.head.weight.detach()  # type: ignore[assignment]
    points = where.read(torch.stack([layer.x for layer in each]))
    middle = each[len(each) // 2]

    def trace(ids: Tensor) -> Callable[[], Trace]:
        return lambda: one.model.trace(ids, levels=("neuron",))

    return {
        "products": (lambda: None, lambda _: products(matrix, points)),
        "a layer": (lambda: None, lambda _: public_scores(where, middle, one.target)),
        "top": (trace(one.ids), lambda t: t.scores(one.target, **BY, top=TOP)),
        "all": (trace(one.ids), lambda t: t.scores(one.target, **BY, within=WITHIN)),
        "lens": (trace(one.long), lambda t: t.lens(one.target)),
        "top everywhere": (trace(one.long), lambda t: t.scores(one.target, **BY, positions="all", top=TOP)),
    }


def exactness(one: Case) -> dict[str, Any]:
    """The best and all scores against those that public code's way gives in float64. Parameters: `one`."""
    where = anatomy(one.model.module)
    each = [public_scores(where, layer, one.target, torch.float64) for layer in layers(one.model.module, one.ids)]
    labels = [f"L{i}.mlp.N{j}" for i, layer in enumerate(each) for j in range(len(layer))]
    want = torch.cat(each)
    best = want.topk(TOP)
    trace = one.model.trace(one.ids)
    top, every = trace.scores(one.target, **BY, top=TOP), trace.scores(one.target, **BY, within=WITHIN)
    found = dict(zip(every.parts.labels(), every.tensor.flatten().tolist(), strict=True))
    return {
        "same": [label for label, _ in top.top()] == [labels[i] for i in best.indices.tolist()],
        "off": max(abs(value - float(want[labels.index(label)])) for label, value in top.top()),
        "evaluated": top.choices["worked_out"],
        "all off": max(abs(found[label] - float(value)) for label, value in zip(labels, want, strict=True)),
        "all evaluated": every.choices["worked_out"],
        "neurons": len(labels),
    }


def memory(one: Case) -> dict[str, float]:
    """The most megabytes held beyond the trace, of every call, and of the unembedding in float64 beside it. Parameters: `one`."""
    found = {}
    for name, (before, work) in ways(one).items():
        held = before()
        work(held)
        found[name] = peak(lambda before=before, work=work: work(before())) / 1e6 - peak(before) / 1e6
    return found


def measured(one: Case, rounds: int) -> dict[str, Any]:
    """All that is said of one model. Parameters: `one`; `rounds`."""
    with torch.no_grad():
        times = taken(ways(one), rounds)
        where = anatomy(one.model.module)
        vocab, width = where.head.weight.shape
        return {
            "model": one.name,
            "layers": len(where.blocks),
            "vocab": vocab,
            "width": width,
            "times": times,
            "seconds": {name: median(each) for name, each in times.items()},
            "mb": memory(one),
            **exactness(one),
        }


@dataclass(frozen=True)
class Row:
    """A line of the table. Parameters: `title`; `said`, the cell; `held`, a number that is held to `target`; `least`, whether more is better."""

    title: str
    said: Callable[[dict[str, Any]], str]
    held: Callable[[dict[str, Any]], float] | None = None
    target: Callable[[dict[str, Any]], float] | None = None
    least: bool = False


def whole(found: dict[str, Any]) -> float:
    """Seconds of the public way for all layers: of one times their number. Parameters: `found`."""
    return found["seconds"]["a layer"] * found["layers"]


def matrix_mb(found: dict[str, Any]) -> float:
    """Megabytes of the unembedding and one tile. Parameters: `found`."""
    return found["vocab"] * found["width"] * 4 / 1e6 + 4.2


def ratio(name: str, other: str) -> Callable[[dict[str, Any]], float]:
    """How many times what another way takes a way takes. Parameters: `name`; `other`."""
    return lambda found: found["seconds"][name] / found["seconds"][other]


def below(name: str) -> Callable[[dict[str, Any]], float]:
    """How many times less a way takes than the public one for all layers. Parameters: `name`."""
    return lambda found: whole(found) / found["seconds"][name]


ROWS = (
    Row("neurons; vocabulary x width", lambda f: f"{f['neurons']:,}; {f['vocab']:,} x {f['width']}"),
    Row("public way, a layer; all layers (a layer times their number), s", lambda f: f"{f['seconds']['a layer']:.3g}; {whole(f):.3g}"),
    Row("the two products of every point, ms", lambda f: f"{1e3 * f['seconds']['products']:.3g}"),
    Row("**certified best 20**, all layers; a layer's share, ms", lambda f: f"{1e3 * f['seconds']['top']:.3g}; {1e3 * f['seconds']['top'] / f['layers']:.2g}"),
    Row("best 20: times below the public way", lambda f: f"{below('top')(f):.0f}", below("top"), lambda f: 100 if f["model"] == "smollm2" else 50, True),
    Row("best 20: times the two products", lambda f: f"{ratio('top', 'products')(f):.2f}", ratio("top", "products"), lambda f: 1.25),
    Row("the same 20 in the same order as in float64; largest deviation, nats", lambda f: f"{'yes' if f['same'] else 'NO'}; {f['off']:.1g}"),
    Row("worked out in full", lambda f: f"{f['evaluated']}"),
    Row("**all scores to 1e-4**, all layers, ms", lambda f: f"{1e3 * f['seconds']['all']:.3g}"),
    Row("all scores: times below the public way", lambda f: f"{below('all')(f):.1f}", below("all"), lambda f: 10, True),
    Row("largest deviation, nats", lambda f: f"{f['all off']:.1g}", lambda f: f["all off"], lambda f: WITHIN),
    Row("worked out in full", lambda f: f"{f['all evaluated']:,}"),
    Row(f"**best 20 at each of {LONG} positions**, times the logit lens there", lambda f: f"{ratio('top everywhere', 'lens')(f):.2f}", ratio("top everywhere", "lens"), lambda f: 2.5),
    Row("MB beyond the trace: best 20; all scores; best 20 everywhere", lambda f: "; ".join(f"{f['mb'][w]:.0f}" for w in ("top", "all", "top everywhere")), lambda f: max(f["mb"]["top"], f["mb"]["all"]), matrix_mb),
    Row("the same: public way, a layer; unembedding and a tile", lambda f: f"{f['mb']['a layer']:.0f}; {matrix_mb(f):.0f}"),
)  # fmt: skip

# Why a row misses what it is held to; printed where it does. Renewed by hand when the reason changes.
WHY: dict[str, str] = {
    "best 20: times below the public way": "The public way has little to lose where the vocabulary or the model is small: of the default's 18 ms more than half are "
    "calls from Python, a few hundred for each write, whatever its size.",
    "best 20: times the two products": "Beside the products of the points stand those of each layer's rows (x, mean and target with W_out), the lengths of all rows, "
    "and 24 components worked out in float64, where a product costs twice what it does in float32.",
    "all scores: times below the public way": "What bounds leave open is worked out: a fifth of the default's neurons, whose vocabulary is so small that this is most of the public "
    "way's work. GPT-2's shape with random weights predicts nearly every token alike, so that the likeliest tokens settle nothing and each layer pays for a second moment of the "
    "unembedding, d^2 V. On SmolLM2 a quarter of the time is layer 0, where 212 neurons move logits by tens, too far for float32.",
    "**best 20 at each of 64 positions**, times the logit lens there": "The lens of a small model takes milliseconds; each position has its own 24 components worked out.",
    "MB beyond the trace: best 20; all scores; best 20 everywhere": "The default's unembedding is smaller than one layer's scores with their bounds.",
}

HEAD = f"""## Log-probability increase

What `trace.scores(target, by="logprob_increase", level="neuron")` costs at the last position of a prompt beside the way public
code works it out: x + v for all neurons of a layer, each unembedded into the whole vocabulary in float32, {CHUNK} at a time. The two
products are what a bound needs of every point: logits, and the mean of the unembedding's rows, 4 V d operations.
A trace that holds the neurons' values is there before and not timed. Deviations are from the public way in float64, spelled out.
"""


def page(found: dict[str, Any]) -> str:
    """The section. Parameters: `found`, date, machine, versions and records."""
    records = found["records"]
    lines = [HEAD, f"Measured on {found['date']}: {found['machine']}, one thread. Versions: {found['versions']}.", ""]
    lines += ["| | target | " + " | ".join(r["model"] for r in records) + " |", "|---" * (len(records) + 2) + "|"]
    for row in ROWS:
        targets = dict.fromkeys(f"{row.target(r):.3g}" for r in records) if row.target else {}
        said = "" if row.target is None else ("at least " if row.least else "at most ") + ", ".join(targets)
        lines.append(f"| {row.title} | {said} | " + " | ".join(row.said(r) for r in records) + " |")
    missed = [text for row in ROWS if (text := miss(row, records))]
    return "\n".join([*lines, "", *(["Misses:", "", *missed] if missed else ["Every target is met."])])


def miss(row: Row, records: list[dict[str, Any]]) -> str:
    """What a row misses its target by, in words; nothing where it does not. Parameters: `row`; `records`."""
    if row.held is None or row.target is None:
        return ""
    off = [r for r in records if (row.held(r) < row.target(r)) == row.least and row.held(r) != row.target(r)]
    said = ", ".join(f"{row.held(r):.3g} on {r['model']}" for r in off)
    return f"- *{row.title}*: {said}." + (f" {WHY[row.title]}" if row.title in WHY else "") if off else ""


def main() -> None:
    """Measures, prints, and renews the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="rounds of every model")
    parser.add_argument("--only", action="append", help="a model; may be given several times")
    parser.add_argument("--dry", action="store_true", help="print the section and write nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where benchmarks.md and benchmarks.json are")
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = []
    for name in options.only or ("default", *REAL, SHAPE):
        print(f"bench: {name}", flush=True)
        if (one := case(name)) is None:
            print(f"bench: {name} is left out, {real(name)} is not there", flush=True)
            continue
        records.append(measured(one, options.rounds or ROUNDS.get(name, 3)))
    versions = f"python {platform.python_version()}, torch {torch.__version__}"
    found = {"date": date.today().isoformat(), "machine": processor(), "versions": versions, "records": records}
    print(page(found))
    if not options.dry:
        write(options.out, "scores", page(found), found)


if __name__ == "__main__":
    main()
