"""How long the pages make a reader wait, how smoothly a long prompt scrolls, and how large an offline page is beside what other tools write.

Times are the browser's own, in headless Chromium on the machine that serves the page: wall-clock milliseconds, the median of the rounds;
beside them CPU times, of the serving process for a click and of the page's main thread for a frame, which a busy machine changes less.
Contexts are fresh each time, and every click asks for what was not worked out before. Run with `make bench`, which renews the section of
docs/benchmarks.md; `--rounds N`, `--real FOLDER` with smollm2 in it, `--dry` to print and write nothing.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import quote

import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

import mainstem as ms

from ._browser import CLICK, SCROLL, Worked, browser, drawn, opened, paints
from ._marked import write
from .peers.__main__ import processor

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(ms.__file__).parent / "models" / "default"
PROMPT = "The capital of France is"
SENTENCE = "The capital of France is Paris. "
LONG = 2000
# What the numbers say; renewed by hand with them.
NOTE = (
    "Of the files that draw with the network off there are two: mainstem's, and circuitsvis's where its script is asked for (`.local_src`), which holds attention patterns alone. "
    "The others hold data and a few tags, and fetch the rest: circuitsvis its script (1.3 MB where it stands inside), bertviz RequireJS, D3 and jQuery, ecco these and a bundle of its own, so that their sizes are not "
    "what a reader needs. mainstem's holds the lens grid, the parts of one prediction and what twelve of them are made of; bertviz's and circuitsvis's hold the attention of all 36 heads, "
    "ecco's ten tokens for every layer. Beside torch 2.13 circuitsvis and bertviz install as they are. ecco 0.1.2 asks for transformers 4, PyYAML 5 and scikit-learn 0, and needs matplotlib below 3.9: it is put in "
    "without what it asks for; its `generate` does not run with transformers 5, its layer predictions do.\n\n"
    "The embedded model has a context of 256 tokens, so 2,000 are scrolled on random weights of its shape. Only cells that are seen are in the document, whatever the length; at rest the browser keeps its 60 frames a "
    "second, and a frame of scrolling takes 10 to 15 of the 16.7 milliseconds that it has, so that where the processor is shared, as here, frames are left out."
)
FRAMES, STEP = 240, 120  # frames of a scroll, and pixels a frame


@contextmanager
def served(model: Any) -> Iterator[str]:
    """The address of a model's page while it is served. Parameters: `model`."""
    made = ms.view(model, browser=False)
    try:
        yield made.url
    finally:
        made.stop()


def first(chrome: Any, rounds: int) -> dict[str, dict[str, float]]:
    """First paint and first parts of the served page and of the file. Parameters: `chrome`; `rounds`, after one that warms up."""
    model = ms.load("default")
    with served(model) as url, tempfile.TemporaryDirectory() as folder:
        file = model.trace(PROMPT).html(Path(folder) / "trace.html").as_uri()
        taken = {
            name: [paints(chrome, address) for _ in range(rounds + 1)][1:] for name, address in (("served", url), ("file", file))
        }
    return {name: {kind: median(one[kind] for one in every) for kind in every[0]} for name, every in taken.items()}


def clicked(page: Any, selector: str, wanted: str) -> tuple[float, float]:
    """Milliseconds from a click until something is drawn, and CPU milliseconds of this process. Parameters: `page`; `selector`; `wanted`, JavaScript."""
    start = time.process_time()
    wall = page.evaluate(CLICK, [selector, wanted])
    return wall, 1000 * (time.process_time() - start)


def clicks(chrome: Any, model: Any, rounds: int) -> dict[str, list[float]]:
    """What a click takes: wall and CPU. Parameters: `chrome`; `model`; `rounds`, a token each."""
    found: dict[str, list[tuple[float, float]]] = {"cell": [], "attention": [], "MLP": []}
    with served(model) as url, opened(chrome, f"{url}#prompt?prompt={quote(SENTENCE * 2)}") as page:
        page.wait_for_function("window.partsShown")
        layer = page.evaluate("document.querySelectorAll('.bars li.open').length") // 4  # a layer in the middle
        last = page.evaluate("document.querySelectorAll('.headcell').length") - 2
        for position in range(last, last - rounds, -1):
            page.evaluate("i => { document.querySelector('.grid').scrollLeft = 84 * i - 300 }", position)
            page.wait_for_selector(cell := f".cell[data-position='{position}']")
            shown = f"document.querySelector('[data-part=parts] h2').textContent.includes('after token {position} ')"
            found["cell"].append(clicked(page, cell, shown))
            for kind, label in (("attention", f"L{layer}.attn"), ("MLP", f"L{layer}.mlp")):
                inside = f"document.querySelector(\"[data-part=parts][data-path='{label}'] .bars li\")"
                found[kind].append(clicked(page, f".bars li[data-component='{label}']", inside))
                clicked(page, ".crumbs button", "document.querySelector(\"[data-part=parts][data-path='']\")")
    return {name: [median(times) for times in zip(*every, strict=True)] for name, every in found.items()}


def long_model() -> Any:
    """A model of the default's shape whose context is long enough, with random weights."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=4096, n_positions=LONG + 48, n_embd=192, n_layer=6, n_head=6, use_cache=False)
    return ms.load(GPT2LMHeadModel(config).eval(), tokenizer=AutoTokenizer.from_pretrained(FOLDER))


def cut(folder: str | Path, tokens: int) -> str:
    """A text of so many tokens. Parameters: `folder`, that has the tokenizer; `tokens`."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer.decode(tokenizer(SENTENCE * tokens)["input_ids"][:tokens])


def scroll(chrome: Any, model: Any, text: str) -> dict[str, Any]:
    """Frames while the grid scrolls. Parameters: `chrome`; `model`; `text`, the prompt."""
    with served(model) as url, opened(chrome, f"{url}#prompt?prompt={quote(text)}") as page:
        page.wait_for_function("window.partsShown")
        shown = page.evaluate("window.partsShown")
        size = page.evaluate(
            "[+document.querySelector('.grid').ariaColCount - 1, +document.querySelector('.grid').ariaRowCount - 1]"
        )
        page.evaluate(SCROLL, [STEP, 30])  # warms up
        rest, worked = page.evaluate(SCROLL, [0, FRAMES]), Worked(page)
        start = worked.now()
        found = page.evaluate(SCROLL, [STEP, FRAMES])
        cpu = (worked.now() - start) / FRAMES
        frames = {
            name: {"median": median(one["took"]), "p95": quantiles(one["took"], n=20)[-1]}
            for name, one in (("rest", rest), ("moved", found))
        }
        return {"tokens": size[0], "points": size[1], "shown": shown, "cells": found["cells"], "cpu": cpu, **frames}


def sizes(chrome: Any, python: Path) -> dict[str, Any]:
    """Bytes of files of one prompt, what they draw with the network off, and what they ask it for. Parameters: `chrome`; `python`, of the peers."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        out, versions = Path(folder), {}
        ms.load("default").trace(PROMPT).html(out / "trace.html")
        files: dict[str, dict[str, str]] = {"mainstem, trace.html": {"file": "trace.html"}}
        if python.exists():
            call = [
                python,
                "-W",
                "ignore",
                ROOT / "benchmarks/peers/_views.py",
                "--model",
                FOLDER,
                "--prompt",
                PROMPT,
                "--out",
                out,
            ]
            subprocess.run(call, check=True, env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})
            told = json.loads((out / "found.json").read_text(encoding="utf-8"))
            files, versions = files | told["found"], told["versions"]
        for name, made in files.items():
            if place := made.get("file"):
                marks, asked = drawn(chrome, (out / place).as_uri())
                found[name] = {"bytes": (out / place).stat().st_size, "drawn": marks, "asked": asked}
            else:
                found[name] = made
    return {"files": found, "versions": versions}


def page(found: dict[str, Any]) -> str:
    """The section. Parameters: `found`, what was measured."""
    served_, file = found["first"]["served"], found["first"]["file"]
    lines = [
        "## Pages",
        "",
        f"Milliseconds by the browser's own clock, headless Chromium without a GPU on the machine that serves: the median of {found['rounds']} rounds, paints after one that warms "
        "up, clicks at a token each, so that nothing was worked out before; a click's time ends when what it shows is drawn. Scrolling is one pass after one that warms up. "
        f"The machine's load was {found['load']:.1f} while it ran, on the cores named below: times by the clock include the waiting for others, CPU times hardly do.",
        "",
        f"| prompt page of the default model, {PROMPT!r} | first paint, ms | grid and parts drawn, ms |",
        "|---|---|---|",
        f"| `mainstem view` | {served_['first paint']:.0f} | {served_['parts']:.0f} |",
        f"| the offline file | {file['first paint']:.0f} | {file['parts']:.0f} |",
        "",
        "| a click, until its answer is drawn, ms, and the server's CPU, ms | a cell: the parts | an attention: its heads | an MLP: its neurons |",
        "|---|---|---|---|",
    ]
    for name, taken in found["clicks"].items():
        lines.append(f"| {name} | " + " | ".join(f"{wall:,.0f}, {cpu:,.0f}" for wall, cpu in taken.values()) + " |")
    lines += [
        "",
        f"| scrolling the grid {STEP} pixels a frame, {FRAMES} frames | tokens | points | frame, ms | 95th percentile, ms | the same at rest | CPU of a frame, ms | cells in the document | until it stands, s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, one in found["scroll"].items():
        rest, moved = one["rest"], one["moved"]
        lines.append(
            f"| {name} | {one['tokens']:,} | {one['points']} | {moved['median']:.1f} | {moved['p95']:.1f} | "
            f"{rest['median']:.1f}, {rest['p95']:.1f} | {one['cpu']:.1f} | {one['cells']} | {one['shown'] / 1000:.1f} |"
        )
    own = found["sizes"]["files"]["mainstem, trace.html"]["bytes"]
    lines += [
        "",
        f"What is written for {PROMPT!r}, by size, and what it draws with the network off: cells, bars, list entries and marks of pictures in the document.",
        "",
        "| | kB | of mainstem's | drawn offline | requests that found no network |",
        "|---|---|---|---|---|",
    ]
    for name, one in found["sizes"]["files"].items():
        if "failed" in one:
            lines.append(f"| {name} | - | - | it raised `{one['failed']}` | - |")
        else:
            lines.append(
                f"| {name} | {one['bytes'] / 1000:,.0f} | {one['bytes'] / own:.2f} x | {one['drawn'] or 'nothing'} | {one['asked']} |"
            )
    return "\n".join(
        [*lines, "", NOTE, "", f"Measured on {found['date']}: {found['machine']}, one thread. Versions: {found['versions']}."]
    )


def main() -> None:
    """Measures, prints, and renews the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of every time")
    parser.add_argument(
        "--real", type=Path, default=os.environ.get("MAINSTEM_REAL_MODELS"), help="a folder with smollm2 in it; left out without"
    )
    parser.add_argument("--real-tokens", type=int, default=0, help="tokens of smollm2's prompt that is scrolled; 0 for none")
    parser.add_argument(
        "--peers",
        type=Path,
        default=ROOT / ".venv-bench/views/bin/python",
        help="the python of the peers; left out where there is none",
    )
    parser.add_argument("--dry", action="store_true", help="print the section and write nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="where benchmarks.md and benchmarks.json are")
    options = parser.parse_args()
    torch.set_num_threads(1)
    real = options.real and Path(options.real) / "smollm2"
    models = {"default": (ms.load("default"), cut(FOLDER, 250)), "its shape, random weights": (long_model(), cut(FOLDER, LONG))}
    with browser() as chrome:
        found: dict[str, Any] = {"rounds": options.rounds, "first": first(chrome, options.rounds)}
        found["clicks"] = {"default": clicks(chrome, models["default"][0], options.rounds)}
        found["scroll"] = {name: scroll(chrome, *one) for name, one in models.items()}
        found["sizes"] = sizes(chrome, options.peers)
        if real and real.exists():
            model = ms.load(real)
            found["clicks"]["SmolLM2-135M"] = clicks(chrome, model, options.rounds)
            if options.real_tokens:
                found["scroll"]["SmolLM2-135M"] = scroll(chrome, model, cut(real, options.real_tokens))
        chromium = chrome.version
    peers = ", ".join(f"{name} {version}" for name, version in found["sizes"]["versions"].items())
    found |= {"date": date.today().isoformat(), "machine": processor(), "load": os.getloadavg()[0]}
    found["versions"] = ", ".join(
        filter(None, [f"python {platform.python_version()}", f"torch {torch.__version__}", f"Chromium {chromium}", peers])
    )
    print(page(found))
    if not options.dry:
        write(options.out, "pages", page(found), found)


if __name__ == "__main__":
    main()
