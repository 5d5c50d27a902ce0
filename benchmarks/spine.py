"""What the spine costs: a trace against the bare forward pass, scores and the lens on top of it.

Every number is a ratio of CPU times measured interleaved in one run on one thread, the median of the rounds.
Run with `make bench`; `--rounds N` for more rounds, `--model FOLDER` for models of your own.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

import mainstem as ms
from mainstem.api import Model
from mainstem.models._gpt2 import GPT2, GPT2Config

PROMPT = 64


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


def hooked(module: nn.Module, call: Callable[[], object], paths: list[str]) -> Callable[[], object]:
    """The plain way to the same tensors: a forward hook on every module that writes, outputs cloned."""
    modules = dict(module.named_modules())

    def captured() -> object:
        kept: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[..., None]:
            return lambda _m, _i, out: kept.__setitem__(name, (out[0] if isinstance(out, tuple) else out).clone())

        handles = [modules[path].register_forward_hook(keep(path)) for path in paths if path in modules]
        try:
            call()
        finally:
            for handle in handles:
                handle.remove()
        return kept

    return captured


def rows(name: str, model: Model, rounds: int) -> list[str]:
    """One line of the table a model."""
    ids = torch.arange(1, PROMPT + 1)[None] % 250
    with torch.no_grad():
        trace = model.trace(ids)
        call = lambda: model.module(*trace.run.args, **trace.run.kwargs)  # noqa: E731
        ways: dict[str, Callable[[], object]] = {
            "forward": call,
            "hooks": hooked(model.module, call, [w.module for w in trace.stream.writes]),
            "trace": lambda: model.trace(ids),
            "writes": lambda: trace.scores(1),
            "heads": lambda: trace.scores(1, "head"),
            "neurons": lambda: trace.scores(1, "neuron"),
            "lens": lambda: trace.lens(1),
        }
        taken = ratios(ways, rounds)
    base = taken["forward"]
    neurons = len(trace.scores(1, "neuron"))
    cells = [f"{base * 1e3:.1f}", *(f"{taken[w] / base:.2f}" for w in ("hooks", "trace", "writes", "heads", "neurons", "lens"))]
    return [f"| {name} | {' | '.join(cells)} | {neurons:,} |"]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", action="append", default=[], help="a model folder; may be given several times")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, one thread, {PROMPT} tokens, median of {options.rounds} interleaved rounds; times in forward passes"
    )
    print("| model | forward ms | hooks | trace | + writes | + heads | + neurons | + lens | neurons scored |")
    print("|---|---|---|---|---|---|---|---|---|")
    torch.manual_seed(0)
    models = {"default": ms.load("default"), "GPT-2 small's shape": ms.load(GPT2(GPT2Config(50257, 1024, 768, 12, 12)))}
    models |= {Path(folder).name: ms.load(folder) for folder in options.model}
    for name, model in models.items():
        if model.loaded.codec is None and name.startswith("GPT-2"):
            model.map_with(torch.arange(1, 9)[None])
        for line in rows(name, model, options.rounds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
