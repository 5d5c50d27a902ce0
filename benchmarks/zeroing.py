"""Which score finds the neurons that a prediction hangs on: the best by each are zeroed, random ones beside them.

For every prompt whose answer the model predicts, the best 1, 3, 10 and 30 neurons by each score of the registry are zeroed at
every place (`mainstem.zero`), and what the answer loses is measured: log-probability in nats, probability in points. Controls:
as many random neurons of all layers, and of the layers that log-probability increase chose (final norm). Run with
`python -m benchmarks.zeroing`, which renews the section of docs/benchmarks.md; `--only NAME`, `--prompts N`, `--dry`.
"""

import argparse
import io
import json
import random
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

import mainstem as ms
from mainstem.api import Model, Trace
from mainstem.core import parse_label
from mainstem.score import scores

from ._marked import write
from .peers.__main__ import processor
from .scores import ROOT, real

COUNTS = (1, 3, 10, 30)
CONTROL, SAME = "random neurons", "random neurons of the same layers"
FINAL = "norm final"  # the convention of Yu & Ananiadou's code
SLOW = {"smollm2": ("ablation", "rank")}  # a run, or a pass over the vocabulary, for each of 46,080 neurons
FACTS = ROOT.parent / "shared" / "assets" / "facts" / "relations.tar.gz"
# What the numbers say; renewed by hand with them.
READING = (
    "The scores that read with the final norm find the neurons that matter, in both models: on SmolLM2 thirty of them take 11 to 12 nats away, where thirty random ones take "
    "a hundredth. Against the paper, log-probability increase is no better than direct logit attribution there (10.9 ± 0.8 and 10.4 ± 0.9), probability increase is as good or better, and "
    "with each point's own norm, which the paper's formula has and its code has not, it finds early neurons that later layers make up for. On the default model, which is sure of "
    "its answer, single neurons hardly matter; runs without each of them (`ablation`) find eight times as much as any score that is read off one run. Length alone finds nothing."
)
PHRASE = "The capital of {} is"


@dataclass(frozen=True)
class Asked:
    """A prompt with the first token of its answer. Parameters: `prompt`; `target`, its id."""

    prompt: str
    target: int


def capitals(name: str) -> list[tuple[str, str]]:
    """Countries with their capitals, with a leading space. Parameters: `name`, of the model."""
    if name == "default":
        return [(f.subject, f.answer) for f in ms.facts("capital") if f.phrasing == PHRASE]
    with tarfile.open(FACTS) as held:
        member = next(m for m in held.getmembers() if m.name.endswith("country_capital_city.json"))
        found = json.load(io.TextIOWrapper(held.extractfile(member), "utf-8"))  # type: ignore[arg-type]
    return [(row["subject"], f" {row['object']}") for row in found["samples"]]


def asked(model: Model, pairs: Sequence[tuple[str, str]], most: int) -> list[Asked]:
    """Prompts whose answer the model predicts, drawn with a fixed seed. Parameters: `model`; `pairs`; `most`, how many."""
    found = []
    for subject, answer in random.Random(0).sample(list(pairs), len(pairs)):
        one = Asked(PHRASE.format(subject), model.ids(answer)[0])
        if len(found) < most and int(model.trace(one.prompt, positions=-1).logits[0, -1].argmax()) == one.target:
            found.append(one)
    return found


def logprob(trace: Trace, target: int) -> float:
    """log p of a token behind a prompt. Parameters: `trace`; `target`."""
    return float(trace.logits[0, -1].double().log_softmax(-1)[target])


def drawn(trace: Trace, seed: int, like: Sequence[str] = ()) -> list[str]:
    """Random neurons, as many as are zeroed at most; in the writes of others where these are given. Parameters: `trace`; `seed`; `like`."""
    sizes = {
        w.label: w.writer.sources[0].sizes[-1] for w in trace.stream.writes if w.writer and not w.writer.sources[0].attention
    }
    dice = random.Random(seed)
    if like:
        return [f"{w}.N{dice.randrange(sizes[w])}" for w in (parse_label(label).write for label in like)]
    every = [f"{write}.N{i}" for write, size in sizes.items() for i in range(size)]
    return dice.sample(every, max(COUNTS))


def rankings(trace: Trace, target: int, names: Sequence[str], seed: int) -> Iterator[tuple[str, list[str]]]:
    """The neurons to zero, by every score and by chance. Parameters: `trace`; `target`; `names`, of the scores; `seed`."""
    best = {}
    for by in names:
        for norm in (None, "final") if "norm" in scores()[by].takes else (None,):
            found = trace.scores(target, "neuron", by, norm=norm, top=max(COUNTS)).top()
            best[by if norm is None else f"{by}, {FINAL}"] = [label for label, _ in found]
    yield from best.items()
    yield CONTROL, drawn(trace, seed)
    yield SAME, drawn(trace, seed, best[f"logprob_increase, {FINAL}"])


def measured(model: Model, prompts: Sequence[Asked], names: Sequence[str]) -> dict[str, dict[int, list[tuple[float, float]]]]:
    """What the answer loses, in nats and probability, by score and count, a pair for each prompt. Parameters: `model`; `prompts`; `names`."""
    found: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for seed, one in enumerate(prompts):
        trace = model.trace(one.prompt)
        before = torch.tensor(logprob(trace, one.target), dtype=torch.float64)
        for name, labels in rankings(trace, one.target, names, seed):
            for k in COUNTS:
                after = logprob(model.trace(one.prompt, edits=ms.zero(*labels[:k]), positions=-1), one.target)
                lost = float(before) - after, float(before.exp()) - float(torch.tensor(after, dtype=torch.float64).exp())
                found.setdefault(name, {}).setdefault(k, []).append(lost)
    return found


def summary(found: dict[str, dict[int, list[tuple[float, float]]]]) -> dict[str, Any]:
    """Means with their standard errors, by score and count. Parameters: `found`, of `measured`."""

    def told(pairs: list[tuple[float, float]]) -> dict[str, float]:
        nats, points = zip(*pairs, strict=True)
        return {"nats": mean(nats), "error": stdev(nats) / len(nats) ** 0.5, "probability": mean(points)}

    return {name: {str(k): told(pairs) for k, pairs in by.items()} for name, by in found.items()}


def table(record: dict[str, Any]) -> str:
    """One model's table, the scores that find most first. Parameters: `record`, of a model."""
    rows = record["scores"]
    chance = (CONTROL, SAME)
    order = sorted((n for n in rows if n not in chance), key=lambda n: -rows[n][str(COUNTS[-1])]["nats"])
    lines = [f"| zeroed | {' | '.join(map(str, COUNTS))} |", f"|---|{'---|' * len(COUNTS)}"]
    for name in (*order, *(n for n in chance if n in rows)):
        cells = [f"{c['nats']:.3f} ± {c['error']:.3f}, {100 * c['probability']:.1f}" for c in rows[name].values()]
        lines.append(f"| {name if name in chance else _quoted(name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _quoted(name: str) -> str:
    by, *rule = name.split(", ")
    return ", ".join([f"`{by}`", *rule])


def page(record: dict[str, Any]) -> str:
    """The section of docs/benchmarks.md. Parameters: `record`."""
    about = [
        "## Which score finds the neurons that matter",
        "The best 1, 3, 10 and 30 neurons of a prompt by each score are zeroed at every place, and what the answer loses is measured: nats of "
        "log-probability (mean over prompts ± its standard error), then points of probability. Prompts say "
        f'"{PHRASE.format("...")}" and are those whose answer the model predicts. Made by `python -m benchmarks.zeroing`.',
    ]
    for name, one in record["models"].items():
        left = f" Left out, for their time: {', '.join(one['left_out'])}." if one["left_out"] else ""
        about += [
            f"### {name}",
            f"{one['prompts']} prompts; mean probability of the answer {one['probability']:.3f}.{left}",
            table(one),
        ]
    about.append(READING)
    about.append(f"Measured on {record['date']}: {record['machine']}, one thread, torch {record['torch']}.")
    return "\n\n".join(about)


def run(name: str, most: int) -> dict[str, Any] | None:
    """One model's record, None where its files are not there. Parameters: `name`; `most`, prompts."""
    if name != "default" and not (real(name).is_dir() and FACTS.is_file()):
        return None
    model = ms.load("default" if name == "default" else str(real(name)))
    prompts, left_out = asked(model, capitals(name), most), SLOW.get(name, ())
    sure = [logprob(model.trace(one.prompt, positions=-1), one.target) for one in prompts]
    found = measured(model, prompts, [by for by in scores() if by not in left_out])
    chance = mean(float(torch.tensor(p).exp()) for p in sure)
    return {"prompts": len(prompts), "probability": chance, "left_out": list(left_out), "scores": summary(found)}


def main() -> None:
    """Measures and renews the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="default or smollm2")
    parser.add_argument("--prompts", type=int, default=40, help="how many of each model at most")
    parser.add_argument("--dry", action="store_true", help="print the section and write nothing")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = {name: run(name, options.prompts) for name in ([options.only] if options.only else ["default", "smollm2"])}
    record = {
        "date": date.today().isoformat(),
        "machine": processor(),
        "torch": torch.__version__,
        "models": {name: one for name, one in records.items() if one},
    }
    print(page(record))
    if not options.dry:
        write(options.out, "zeroing", page(record), record)


if __name__ == "__main__":
    main()
