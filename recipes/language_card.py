"""Measures an embedded language model as it is stored, and writes its card.

    python recipes/language_card.py [default|tiny] [--folder DIR] [--beside DIR ...]

Folders beside are of the same recipe with other seeds: their figures are shown as the spread.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import torch
from default_text import BOYS, GIRLS, THINGS
from language_model import EMBEDDED, write_json
from language_training import END
from tokenizers import Tokenizer
from torch import Tensor

from mainstem.models._embedded import sums
from mainstem.models._gpt2 import GPT2, load_gpt2

FACTS = EMBEDDED / "default" / "facts.json"
TEMPERATURE = 0.5
STORIES = ["Once upon a time", "One day, a little girl named", "Tom had a red ball."]
SUMMARY = {
    "default": "GPT-2's shape, trained by this project: knows capitals, languages, continents and elements, and tells little stories",
    "tiny": "GPT-2's shape as small as it goes, for tests that must be fast: twelve capitals, who was given what, and repetition",
}


class Reader:
    """A stored model with its tokenizer."""

    def __init__(self, folder: Path) -> None:
        self.model: GPT2 = load_gpt2(folder)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    @torch.no_grad()
    def logprobs(self, ids: list[int]) -> Tensor:
        return self.model(torch.tensor([ids]))[0].log_softmax(-1)

    def answers(self, prompt: str, answer: str) -> tuple[bool, float]:
        """Whether the whole answer is what greedy decoding gives, and its probability."""
        asked, wanted = self.tokenizer.encode(prompt).ids, self.tokenizer.encode(answer).ids
        rows = self.logprobs([*asked, *wanted])[len(asked) - 1 : -1]
        chosen = rows[range(len(wanted)), wanted]
        return rows.argmax(-1).tolist() == wanted, float(chosen.sum().exp())

    def prefers(self, prompt: str, answer: str, other: str) -> bool:
        last = self.logprobs(self.tokenizer.encode(prompt).ids)[-1]
        first, second = (self.tokenizer.encode(word).ids[0] for word in (answer, other))
        return bool(last[first] > last[second])

    def story(self, prompt: str, seed: int) -> str:
        """A sampled continuation at a low temperature, up to the end token."""
        generator, ids = torch.Generator().manual_seed(seed), self.tokenizer.encode(prompt).ids
        while len(ids) < self.model.config.n_positions:
            token = int(torch.multinomial((self.logprobs(ids)[-1] / TEMPERATURE).softmax(-1), 1, generator=generator))
            if token == self.tokenizer.token_to_id(END):
                break
            ids.append(token)
        return self.tokenizer.decode(ids)


def fact_figures(reader: Reader, countries: int | None) -> dict[str, str]:
    """Right answers of every relation and phrasing, with the mean probability of the answer."""
    figures = {}
    for row in json.loads(FACTS.read_text(encoding="utf-8"))[: 1 if countries else None]:
        asked = [(row["prompt"].format(a), b) for a, b in row["pairs"][:countries]]
        found = [reader.answers(prompt[0].upper() + prompt[1:], answer) for prompt, answer in asked]
        right, mean = sum(ok for ok, _ in found), sum(p for _, p in found) / len(found)
        told = " (pairs kept out of training)" if row["held_out"] else ""
        figures[f"{row['prompt'].format('…')}{told}"] = f"{right} of {len(found)}, {mean:.3f}"
    return figures


def context_figures(reader: Reader, count: int = 200) -> dict[str, str]:
    """What is read off the prompt itself: who is given the thing, and which word came next the last time."""
    rng, given, repeated = Random(0), 0, 0
    for _ in range(count):
        (a, b), place, toy = (
            rng.sample([rng.choice(GIRLS), rng.choice(BOYS)], 2),
            rng.choice(THINGS["place"]),
            rng.choice(THINGS["toy"]),
        )
        given += reader.prefers(f"When {a} and {b} went to the {place}, {a} gave a {toy} to", f" {b}", f" {a}")
        words = rng.sample([word for words in THINGS.values() for word in words], 5)
        repeated += reader.answers(" ".join(words * 2 + words[:2]), f" {words[2]}")[0]
    return {
        "When A and B went to …, A gave … to: B before A": f"{given} of {count}",
        "five words over and over: the next": f"{repeated} of {count}",
    }


def figures(name: str, folder: Path) -> dict[str, str]:
    """Everything that is measured on the stored weights, by its label.

    Parameters: `name`, of the recipe; `folder`.
    """
    reader, record = Reader(folder), json.loads((folder / "training.json").read_text(encoding="utf-8"))
    last = record["curve"][-1]
    losses = {f"nats a token, {kind} kept back": f"{last[kind]:.3f}" for kind in record["text"]}
    return fact_figures(reader, 12 if name == "tiny" else None) | context_figures(reader) | losses


def table(rows: dict[str, list[str]], head: list[str]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join([label, *cells])} |" for label, cells in rows.items())])


def spread(figures: list[dict[str, str]]) -> str:
    """How far the counts of different seeds lie apart."""
    if len(figures) == 1:
        return "Only this seed was run."
    counts = [[int(row[label].split()[0]) for row in figures if " of " in row[label]] for label in figures[0]]
    widest = max(max(row) - min(row) for row in counts if row)
    return f"The counts of the seeds are within {widest} of one another, and retraining should come to within that."


def card(name: str, folder: Path, known: dict[str, Any]) -> str:
    """The card in words. Parameters: `name`; `folder`; `known`, as in card.json."""
    reader, record = Reader(folder), json.loads((folder / "training.json").read_text(encoding="utf-8"))
    seeds = {record["seed"]: known["figures"], **known["other_seeds"]}
    measured = {label: [row[label] for row in seeds.values()] for label in known["figures"]}
    told = "; ".join(
        f"{size['documents']:,} documents of {kind} ({size['tokens']:,} tokens)" for kind, size in record["text"].items()
    )
    curve = {f"{int(row['step']):,}": [f"{row[kind]:.3f}" for kind in record["text"]] for row in record["curve"]}
    stories = [f"> {reader.story(text, seed)}".replace("\n", "\n> ") for seed, text in enumerate(STORIES)]
    return (
        Path(__file__)
        .with_name(f"{name}_card.md")
        .read_text(encoding="utf-8")
        .format(
            **asdict(reader.model.config),
            **{key: record[key] for key in ("steps", "tokens", "seed", "minutes")},
            parameters=sum(p.numel() for p in reader.model.parameters()),
            megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
            text=f"{told}.",
            curve=table(curve, ["step", *record["text"]]),
            figures=table(measured, ["", *(f"seed {seed}" for seed in seeds)]),
            spread=spread(list(seeds.values())),
            stories="\n\n".join(stories),
        )
    )


def write_card(name: str, folder: Path, others: dict[str, dict[str, str]]) -> None:
    """Measures, and writes both files. Parameters: `name`; `folder`; `others`, figures of other seeds."""
    known = {
        "summary": SUMMARY[name],
        "licence": "Apache-2.0",
        "sha256": sums(folder),
        "figures": figures(name, folder),
        "other_seeds": others,
    }
    write_json(folder / "card.json", known)
    (folder / "CARD.md").write_text(card(name, folder, known), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=list(SUMMARY), default="default")
    parser.add_argument("--folder", type=Path, help="the model's folder, by default the embedded one")
    parser.add_argument("--beside", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    torch.set_num_threads(1)
    folder = args.folder or EMBEDDED / args.name
    stored = folder / "card.json"
    others = json.loads(stored.read_text(encoding="utf-8"))["other_seeds"] if stored.is_file() else {}
    for beside in args.beside:
        seed = json.loads((beside / "training.json").read_text(encoding="utf-8"))["seed"]
        others[str(seed)] = figures(args.name, beside)
    write_card(args.name, folder, others)


if __name__ == "__main__":
    main()
