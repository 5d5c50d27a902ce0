"""Measures what the sources claim of trained models, for the ledger: a file of values with what each was measured on.

    python recipes/measured.py additivity MODEL [--prompts 40] [--every 1]
    python recipes/measured.py norms MODEL [--prompts 400]
    python recipes/measured.py blocks PAIRS MODEL MODEL MODEL [--pairs 2000]
    python recipes/measured.py outliers PAIRS DECODER ENCODER [--pairs 2000]
    python recipes/measured.py shap [--data diabetes] [--seeds 10]

MODEL is what `mainstem.load` takes. PAIRS is the test.jsonl of `recipes/inference.py`, and for `blocks` MODELs are what it made with several
seeds. Each adds its number to --out, docs/ledger/measured.json by default, of which `mainstem lab ledger` makes rows.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import torch

import mainstem as ms
from mainstem.lab import Measured

GROUPS = 20


def drawn(count: int) -> list[Any]:
    """Facts of the default model in an order of chance. Parameters: `count`."""
    return random.Random(0).sample(ms.facts(held_out=False), count)


def additivity(model: ms.Model, prompts: int, every: int) -> Measured:
    """R2 of the line through (sum of the k highest single scores, score of their sum), a mean over the MLPs, for each prompt.

    Parameters: `model`; `prompts`; `every`, every which MLP is looked at.
    """
    found = []
    for fact in drawn(prompts):
        trace = model.trace(fact.prompt)
        writes = [w.label for w in trace.stream.writes if w.label.endswith(".mlp")][::every]
        answer = model.loaded.codec.encode(fact.answer, special=False)[0]
        rows = trace.additivity(answer, writes).unique("write", maintain_order=True)
        found.append(rows.select("write", "layer", "r2", "slope"))
        print(fact.prompt, f"{rows['r2'].mean():.3f}", flush=True)
    layers = pl.concat(found).group_by("layer").agg(pl.col("r2", "slope").mean()).sort("layer")
    by_layer = ", ".join(f"L{row['layer']} {row['r2']:.2f}" for row in layers.iter_rows(named=True))
    beside = f"by MLP {by_layer}; mean slope {layers['slope'].mean():.2f}"
    return Measured("additivity", model.loaded.name, "facts", "prompts", tuple(float(one["r2"].mean()) for one in found), beside)


def norms(model: ms.Model, prompts: int) -> Measured:
    """The correlation of x . K with the pre-activation over the tokens of some prompts, a mean over neurons and MLPs, for each group.

    Parameters: `model`; `prompts`, in all.
    """
    facts = drawn(prompts)
    raw, centred = [], []
    for i in range(GROUPS):
        texts = [fact.prompt + fact.answer for fact in facts[i::GROUPS]]
        rows = model.trace(texts).norm_linearity()
        for values, name in ((raw, "raw"), (centred, "centred")):
            values.append(float(rows.filter(pl.col("row") == name)["mean"].mean()))
    neurons = int(rows.filter(pl.col("row") == "raw")["neurons"].sum())
    beside = f"keys centred {sum(centred) / GROUPS:.3f}, {neurons:,} keys"
    return Measured("norms", model.loaded.name, "facts", f"groups of {prompts // GROUPS} prompts", tuple(raw), beside)


def blocks(file: Path, models: list[str], pairs: int) -> Measured:
    """Mean accuracy without the last k blocks less that without the first k, for each model. Parameters: `file`; `models`; `pairs`."""
    values, said = [], []
    with Shortened(file, pairs) as short:
        for name in models:
            model, curves = ms.load(name), {}
            for side in ("tail", "head"):
                curves[side] = ms.ablation_curve(model, short, side=side, labels="label").values("accuracy")
                print(name, side, " ".join(f"{value:.4f}" for value in curves[side]), flush=True)
            tail, head = (sum(curves[side]) / len(curves[side]) for side in ("tail", "head"))
            values.append(tail - head)
            said.append(f"{curves['tail'][0]:.3f}, {curves['tail'][1]:.3f}, {curves['head'][1]:.3f}")
    beside = f"whole, without its last block, without its first: {'; '.join(said)}"
    return Measured("blocks", "MiniLM, fine-tuned", f"SNLI, {pairs:,} test pairs", "seeds", tuple(values), beside)


def outliers(file: Path, decoder: ms.Model, encoder: ms.Model, pairs: int) -> Measured:
    """Share of features that pass 10 behind a decoder's last block less the share that pass 4 behind an encoder's, for each group of texts.

    Parameters: `file`; `decoder`; `encoder`; `pairs`, in all.
    """
    shares: dict[str, list[float]] = {"decoder": [], "encoder": []}
    texts = [json.loads(line)["text"].replace(" [SEP] ", " ") for line in file.read_text(encoding="utf-8").splitlines()][:pairs]
    for i in range(GROUPS):
        for name, model, line in (("decoder", decoder, 10.0), ("encoder", encoder, 4.0)):
            found = ms.measure(
                model, texts[i::GROUPS], ["outliers"], choices={"outliers": {"thresholds": (line,), "sided": "one"}}
            )
            shares[name].append(float(found[next(iter(found.measures))][found.sites[-1]]["share"][0]))
    values = tuple(a - b for a, b in zip(shares["decoder"], shares["encoder"], strict=True))
    beside = ", ".join(f"{name} {sum(share) / GROUPS:.3f}" for name, share in shares.items())
    model = f"{decoder.loaded.name} less {encoder.loaded.name}"
    return Measured("outliers", model, f"SNLI, {pairs:,} test pairs", f"groups of {pairs // GROUPS} texts", values, beside)


def shap(data: str, seeds: int) -> Measured:
    """What the first three features carry of the mean absolute Shapley values, exact ones of 40 rows, for each seed. Parameters: `data`; `seeds`."""
    values, first = [], []
    for seed in range(seeds):
        bar = ms.lab.explained(data, seed=seed, rows=40, method="exact").bar()
        values.append(float(bar["mean_abs"][:3].sum() / bar["mean_abs"].sum()))
        first.append(set(bar["feature"][:3]))
        print(seed, f"{values[-1]:.4f}", *bar["feature"][:3], flush=True)
    always = sorted(set.intersection(*first))
    beside = f"of {len(bar)} features; always among the first three: {', '.join(always) or 'none'}"
    return Measured("shap", data, data, "seeds", tuple(values), beside)


class Shortened:
    """The first lines of a file, as a file. Parameters: `file`; `count`."""

    def __init__(self, file: Path, count: int) -> None:
        self.lines = file.read_text(encoding="utf-8").splitlines(keepends=True)[:count]

    def __enter__(self) -> Path:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "pairs.jsonl"
        path.write_text("".join(self.lines), encoding="utf-8")
        return path

    def __exit__(self, *_: object) -> None:
        self.folder.cleanup()


def main() -> None:
    """Measures one number."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("number", choices=("additivity", "norms", "blocks", "outliers", "shap"))
    asked.add_argument("named", nargs="*")
    asked.add_argument("--prompts", type=int)
    asked.add_argument("--every", type=int, default=1)
    asked.add_argument("--pairs", type=int, default=2000)
    asked.add_argument("--data", default="diabetes")
    asked.add_argument("--seeds", type=int, default=10)
    asked.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "ledger" / "measured.json")
    told = asked.parse_args()
    torch.set_num_threads(1)
    match told.number, told.named:
        case "additivity", [model]:
            found = additivity(ms.load(model), told.prompts or 40, told.every)
        case "norms", [model]:
            found = norms(ms.load(model), told.prompts or 400)
        case "blocks", [file, *models] if len(models) > 1:
            found = blocks(Path(file), models, told.pairs)
        case "outliers", [file, decoder, encoder]:
            found = outliers(Path(file), ms.load(decoder), ms.load(encoder), told.pairs)
        case "shap", []:
            found = shap(told.data, told.seeds)
        case _:
            asked.error(f"{told.number} takes other names: see --help")
    found.keep(told.out)
    print(found)


if __name__ == "__main__":
    main()
