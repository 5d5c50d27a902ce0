"""What the spine costs: traces, lens and attribution, in forward passes, and the peak of tensor memory of each.

Times are CPU times measured interleaved in one run on one thread, the median of the rounds, as ratios to the bare forward
pass with all logits. Memory is the peak of what torch's allocator holds during a way beyond the weights, results included.
Run with `make bench`; `--rounds N` for more rounds, `--model FOLDER` for models of your own, `--shape 1x64` for one shape.
"""

import argparse
import gc
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import mainstem as ms
from mainstem.api import Model
from mainstem.models._gpt2 import GPT2, GPT2Config

SHAPES = ("1x64", "1x1024", "8x256")
LEVELS = ("head", "neuron")
WAYS = {
    "forward": "bare forward pass, all logits",
    "forward last": "the same with the last position unembedded only: a floor",
    "trace": "every point and write, all logits (at most 1.05)",
    "trace last": "every point and write, logits of the last position (at most 0.75)",
    "trace held": "with the sources of heads and neurons held too",
    "+ lens last": "the lens of the last position at every point, on top of `trace last` (both together at most 0.75 where long)",
    "+ writes": "attribution of every write at all positions, on top of `trace`",
    "+ heads": "of every head at all positions, on top of `trace held`",
    "+ neurons": "of every neuron at all positions, on top of `trace held` (heads and neurons at most 0.1)",
}
SLOW = {
    "+ lens all": "the lens of every position at every point, on top of `trace`",
    "+ each": "attribution of every neuron to another token at each position, on top of `trace held`",
    "find": "map and proof (at most 5)",
}


def ratios(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU seconds of every way, measured in turn so that noise falls on all alike."""
    for way in ways.values():
        way()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            way()
            taken[name].append(time.process_time() - start)
    return {name: median(times) for name, times in taken.items()}


def peak(way: Callable[[], object]) -> float:
    """The most megabytes of tensors that a way holds at one time beyond what there was before it, its result included."""
    gc.collect()  # what others left must not be freed while this counts
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        kept = way()
    now = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    del kept
    return most / 1e6


def last_only(model: Model, call: Callable[[], object]) -> Callable[[], object]:
    """The bare forward pass with the operand of the unembedding cut by a plain hook."""
    head: nn.Module = model.module.lm_head  # type: ignore[assignment]

    def cut(_: nn.Module, operands: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (operands[0][:, -1:],)

    def run() -> object:
        handle = head.register_forward_pre_hook(cut)
        try:
            return call()
        finally:
            handle.remove()

    return run


def ways(model: Model, ids: Tensor) -> tuple[dict[str, Callable[[], object]], dict[str, Callable[[], object]]]:
    """The ways of the table, quick and slow. Parameters: `model`; `ids`, the input."""
    held, last = model.trace(ids, levels=LEVELS), model.trace(ids, positions=-1)
    assert last.logits.shape[1] == 1
    args, kwargs = held.run.args, held.run.kwargs
    call = lambda: model.module(*args, **kwargs)  # noqa: E731
    quick: dict[str, Callable[[], object]] = {
        "forward": call,
        "forward last": last_only(model, call),
        "trace": lambda: model.trace(ids),
        "trace last": lambda: model.trace(ids, positions=-1),
        "trace held": lambda: model.trace(ids, levels=LEVELS),
        "+ lens last": lambda: last.lens(),
        "+ writes": lambda: held.scores(1, positions="all"),
        "+ heads": lambda: held.scores(1, "head", positions="all"),
        "+ neurons": lambda: held.scores(1, "neuron", positions="all"),
    }
    slow: dict[str, Callable[[], object]] = {
        "+ lens all": lambda: held.lens(1),
        "+ each": lambda: held.scores(ids, "neuron", positions="all"),
        "find": lambda: ms.find(model.module, *args, **kwargs),
    }
    return quick, slow


def row(name: str, model: Model, shape: str, rounds: int) -> tuple[str, str]:
    """One line of the table of times, and one of that of memory. Parameters: `name`; `model`; `shape`; `rounds`."""
    batch, length = map(int, shape.split("x"))
    ids = torch.randint(1, 2000, (batch, length), generator=torch.Generator().manual_seed(length))
    with torch.no_grad():
        quick, slow = ways(model, ids)
        taken = ratios(quick, rounds if length * batch <= 64 else max(3, rounds // 2))
        if batch * length <= 64:  # minutes at the longer shapes, and the same shares there
            again = ratios({"forward": quick["forward"], **slow}, 2)
            slower = {name: again[name] / again["forward"] for name in slow}
        peaks = {name: peak(way) for name, way in quick.items()}
    base = taken["forward"]
    cells = [f"{base * 1e3:.0f} ms", *(f"{taken[w] / base:.2f}" for w in list(WAYS)[1:])]
    cells += [f"{slower[w]:.1f}" if batch * length <= 64 else "" for w in SLOW]
    return f"| {name} {shape} | {' | '.join(cells)} |", f"| {name} {shape} | {' | '.join(f'{peaks[w]:.0f}' for w in WAYS)} |"


def machine() -> str:
    """The processor's name as the system says it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", action="append", default=[], help="a model folder; may be given several times")
    parser.add_argument("--shape", action="append", default=[], help="prompts x tokens; may be given several times")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {machine()}, one thread; times in forward passes with all logits\n")
    for name, what in (WAYS | SLOW).items():
        print(f"- {name}: {what}")
    torch.manual_seed(0)
    models = {"GPT-2 small's shape": ms.load(GPT2(GPT2Config(50257, 1024, 768, 12, 12)))}
    models["GPT-2 small's shape"].map_with(torch.arange(1, 9)[None])
    models |= {Path(folder).name: ms.load(folder) for folder in options.model}
    head = f"\n| model and shape | {' | '.join(WAYS | SLOW)} |\n|{'---|' * (len(WAYS | SLOW) + 1)}"
    print(head, flush=True)
    memory = []
    for name, model in models.items():
        for shape in options.shape or SHAPES:
            times, peaks = row(name, model, shape, options.rounds)
            print(times, flush=True)
            memory.append(peaks)
    print(f"\nPeak megabytes\n\n| model and shape | {' | '.join(WAYS)} |\n|{'---|' * (len(WAYS) + 1)}")
    print("\n".join(memory))


if __name__ == "__main__":
    main()
