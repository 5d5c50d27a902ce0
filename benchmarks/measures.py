"""What measuring a stream costs beside the model's body: its forward pass without logits.

CPU times measured in turn in one run on one thread, the median of the rounds, as ratios to the body. Beside it hooks that keep
every point, after which the same statistics are worked out with numpy and scipy, as notebooks do. Run with `make bench`, which
renews the section of docs/benchmarks.md; `--rounds N`, `--dry` to print and write nothing.
"""

import argparse
import gc
import platform
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

import mainstem as ms
from mainstem.api import Model
from mainstem.measure import Fused, Measure, measure_named
from mainstem.stream import passing, shown

from ._marked import write
from .peers.__main__ import processor

ROOT = Path(__file__).resolve().parents[1]
SHAPES = ((1, 64), (1, 1024), (8, 256))
# What the numbers say; renewed by hand with them.
NOTE = (
    "At 64 tokens a point holds 49,000 numbers, and what is paid is the calls themselves, some two hundred for each point. These are two rounds beside a dozen other "
    "programs; nine rounds with fewer beside them gave 1.027 and 1.103 at 1 x 1,024, where both targets are met, and 1.044 and 1.129 at 8 x 256. Hooks and scipy cost less than what is measured "
    "here: they work in float32 throughout, at one point less, count nothing that is not finite, give no standard errors, hold all points at once, and what they give of two batches cannot be joined."
)
SETS = {
    "kurtosis, outliers, RMS, variance": (("kurtosis", "outliers", "rms", "variance"), 1.03),
    "the same and one rotation": (("kurtosis", "outliers", "rms", "variance", "rotated_kurtosis"), 1.11),
    "the same and exemplars, LLM.int8": (("kurtosis", "outliers", "rms", "variance", "top_tokens", "llm_int8"), None),
}


def gpt2() -> Model:
    """GPT-2 small's shape with random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = ms.load(GPT2LMHeadModel(GPT2Config(use_cache=False)).eval())
    model.map_with(torch.arange(1, 9)[None])
    return model


def pass_with(model: Model, ids: Tensor, measures: list[Measure]) -> None:
    """One batch through measures at every point of the stream. Parameters: `model`; `ids`; `measures`."""
    fused, mask, states = Fused(tuple(measures)), torch.ones(ids.numel(), dtype=torch.bool), {}

    def show(label: str, value: Tensor) -> None:
        rows = value.flatten(0, 1)
        states[label] = fused.update(states.get(label) or fused.init(rows.shape[1]), rows, mask)

    what = [one for one in shown(model.map.main) if not one.label.endswith("resid_mid")]
    passing(model.module, (), {"input_ids": ids}, what, show, len(ids))


def by_hooks(model: Model, ids: Tensor) -> None:
    """The same by hooks, numpy and scipy: every point kept, then worked through. Parameters: `model`; `ids`."""
    from scipy import stats

    held: list[Tensor] = []
    body = model.module.transformer
    handles = [
        block.register_forward_hook(lambda _m, _i, out: held.append(out[0] if isinstance(out, tuple) else out))
        for block in body.h
    ]
    try:
        body(input_ids=ids)
    finally:
        for handle in handles:
            handle.remove()
    for point in held:
        x = point.reshape(-1, point.shape[-1]).numpy()
        stats.kurtosis(x, axis=1, fisher=False).mean()
        [(abs(x) > t).any(0).mean() for t in (4.0, 6.0, 10.0)]
        ((x**2).mean(1) ** 0.5).mean(), x.var(0).sum()


def ways(model: Model, ids: Tensor) -> dict[str, Callable[[], object]]:
    """What is timed. Parameters: `model`; `ids`."""
    found: dict[str, Callable[[], object]] = {"body": lambda: model.module.transformer(input_ids=ids)}
    for name, (names, _) in SETS.items():
        made = [one for n in names if isinstance(one := measure_named(n), Measure)]
        found[name] = lambda made=made: pass_with(model, ids, made)  # type: ignore[misc]
    try:
        import scipy  # noqa: F401

        found["hooks that keep all points but the entry, then numpy and scipy in float32"] = lambda: by_hooks(model, ids)
    except ImportError:
        print("bench: scipy is not installed, so hooks and scipy are left out")
    return found


def taken(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of every way in every round, in turn. Parameters: `ways`; `rounds`, after one that warms up."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, work in ways.items():
            gc.collect()
            start = time.process_time()
            work()
            found[name].append(time.process_time() - start)
    return {name: times[1:] for name, times in found.items()}


def measured(model: Model, shape: tuple[int, int], rounds: int) -> dict[str, Any]:
    """One shape's record. Parameters: `model`; `shape`, batch and positions; `rounds`."""
    ids = torch.randint(0, 50257, shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        times = taken(ways(model, ids), rounds)
    pairs = {name: [a / b for a, b in zip(each, times["body"], strict=True)] for name, each in times.items() if name != "body"}
    return {"shape": list(shape), "body": median(times["body"]), "ratios": {name: median(each) for name, each in pairs.items()}}


def page(found: dict[str, Any]) -> str:
    """The section. Parameters: `found`, date, machine, versions and records."""
    records = found["records"]
    heads = [f"{batch} x {length:,}" for batch, length in (r["shape"] for r in records)]
    lines = [
        "## Measuring the stream",
        "",
        "Statistics at the entry and behind each of the 12 blocks of GPT-2 small's shape (random weights), as times the model's body without logits: the pass itself and the statistics. Points are measured as "
        "they are made and not kept; no logits are worked out.",
        "",
        f"| | target | {' | '.join(heads)} |",
        f"|---|---|{'---|' * len(heads)}",
        _row("body alone, s", "", [f"{record['body']:.3g}" for record in records]),
    ]
    for name in records[0]["ratios"]:
        target = SETS.get(name, ((), None))[1]
        lines.append(_row(name, f"at most {target}" if target else "", [f"{r['ratios'][name]:.3f}" for r in records]))
    lines += ["", NOTE, "", f"Measured on {found['date']}: {found['machine']}, one thread. Versions: {found['versions']}."]
    return "\n".join(lines)


def _row(title: str, target: str, cells: list[str]) -> str:
    return f"| {title} | {target} | {' | '.join(cells)} |"


def main() -> None:
    """Measures, prints, and renews the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of every shape")
    parser.add_argument("--dry", action="store_true", help="print the section and write nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where benchmarks.md and benchmarks.json are")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = gpt2()
    records = [measured(model, shape, options.rounds) for shape in SHAPES]
    versions = f"python {platform.python_version()}, torch {torch.__version__}"
    found = {"date": date.today().isoformat(), "machine": processor(), "versions": versions, "records": records}
    print(page(found))
    if not options.dry:
        write(options.out, "measures", page(found), found)


if __name__ == "__main__":
    main()
