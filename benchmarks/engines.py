"""Tokens a second of a scan in this process and through Ray with one actor: the same texts, model and measures, one thread each.

Scans in turn, storing included; what a scan takes before its first token is told apart by a scan of half a piece. Ray is started before. Wall
time, and processor time of this process and of the actor together, which other programs change less.
Run with `make bench`, which renews the section of docs/benchmarks.md; `--rounds N`, `--dry` to print and write nothing.
"""

import argparse
import os
import platform
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch

import mainstem as ms
from mainstem.core import listening
from mainstem.scan import Ray

from ._marked import write
from .peers.__main__ import processor

ROOT = Path(__file__).resolve().parents[1]
WORDS = "the river runs down to the sea and all its waters meet where no boat was ever seen before the rain".split()
PIECE, TEXT = 2**15, 150  # bytes of a piece, words of a text


def texts(size: int) -> list[str]:
    """Words by chance, some of bytes. Parameters: `size`, bytes of all of them."""
    draw = torch.Generator().manual_seed(0)
    count = size // (TEXT * 5)
    return [" ".join(WORDS[i] for i in torch.randint(len(WORDS), (TEXT,), generator=draw).tolist()) for _ in range(count)]


def actors() -> list[psutil.Process]:
    """Ray's actors. They end with their scan, so whoever wants to know what they used asks while it goes on."""
    return [one for one in psutil.process_iter(["name"]) if "_Worker" in (one.info["name"] or "")]


def scanned(model: ms.Model, data: list[str], engine: Any) -> tuple[float, float, int]:
    """Seconds and processor seconds of a scan, and its tokens. Parameters: `model`; `data`; `engine`."""
    held, others = dict[int, float](), {one.pid for one in actors()}  # those of a scan before may be on their way out

    def look(*_: object) -> None:
        known = [psutil.Process(number) for number in held] if held else [one for one in actors() if one.pid not in others]
        held.update({one.pid: sum(one.cpu_times()[:2]) for one in known if one.is_running()})

    with tempfile.TemporaryDirectory() as folder, listening(look if engine != "local" else lambda *_: None):
        start, used = time.perf_counter(), time.process_time()
        found = ms.scan(model, data, ["kurtosis", "outliers", "rms", "variance"], out=folder, engine=engine, piece=PIECE)
        assert found is not None
        return time.perf_counter() - start, time.process_time() - used + sum(held.values()), found.counts["tokens"]


def measured(rounds: int, pieces: int) -> dict[str, Any]:
    """The record. Parameters: `rounds`; `pieces`, of the longer scan."""
    import ray

    model, short, long = ms.load("default"), texts(PIECE // 2), texts(PIECE * pieces)
    model.map  # noqa: B018 - so that no scan pays for it
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - 15 unless told otherwise: beside other programs its actors would stand still
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    engines = {"in this process": "local", "Ray, one actor": Ray(workers=1)}
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in engines}
    tokens = 0
    for _ in range(rounds):
        for name, engine in engines.items():
            first, work, few = scanned(model, short, engine)
            seconds, all_work, tokens = scanned(model, long, engine)
            rates = [(tokens - few) / (seconds - first), (tokens - few) / (all_work - work)]
            found[name].append((*rates, first - few / rates[0]))
    ray.shutdown()
    rows = {name: [median(x) for x in zip(*some, strict=True)] for name, some in found.items()}
    return {"tokens": tokens, "rounds": rounds, "engines": rows}


def page(found: dict[str, Any]) -> str:
    """The section. Parameters: `found`, date, machine, versions and record."""
    local, other = (found["engines"][name] for name in ("in this process", "Ray, one actor"))
    lines = [
        "## Scans in one process and through Ray",
        "",
        f"Kurtosis, outliers, RMS and variance at all points of the default model over {found['tokens']:,} tokens, stored piece by piece. Tokens "
        "a second are those of a long scan less a short one; the rest is what a scan takes before its first token. Ray runs before the scan begins.",
        "",
        "| | tokens a second | tokens a second of processor time | beside them, s |",
        "|---|---|---|---|",
        *(f"| {name} | {rate:,.0f} | {work:,.0f} | {rest:.1f} |" for name, (rate, work, rest) in found["engines"].items()),
        "",
        f"Through Ray with one actor: {other[0] / local[0]:.2f} times the rate, {other[1] / local[1]:.2f} times by processor time. Two processors were "
        "shared with many other programs, which wall time shows. Ray makes its actors yield to other programs (niceness 15) unless "
        "`RAY_worker_niceness` says otherwise; here it was 0, as of this process.",
        "",
        f"Measured on {found['date']}: {found['machine']}, one thread each. Versions: {found['versions']}.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures, prints, and renews the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="scans of each engine and length")
    parser.add_argument("--pieces", type=int, default=4, help="pieces of the longer scan")
    parser.add_argument("--dry", action="store_true", help="print the section and write nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where benchmarks.md and benchmarks.json are")
    options = parser.parse_args()
    torch.set_num_threads(1)
    import ray

    versions = f"python {platform.python_version()}, torch {torch.__version__}, ray {ray.__version__}"
    about = {"date": date.today().isoformat(), "machine": processor(), "versions": versions}
    found = {**about, **measured(options.rounds, options.pieces)}
    print(page(found))
    if not options.dry:
        write(options.out, "engines", page(found), found)


if __name__ == "__main__":
    main()
