"""Trains an embedded language model from nothing: text, tokenizer, weights.

    python recipes/language_model.py [default|tiny] [--out DIR] [--steps N] [--seed 0]

An interrupted run goes on from its last checkpoint. What the finished model can do is measured by recipes/language_card.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from random import Random

import torch
from default_facts import COUNTRIES, relations
from default_text import facts, few_facts, prose
from language_training import END, Plan, Text, train, train_tokenizer
from packages import cache_folder
from safetensors.torch import save_file
from storyteller import stories
from tokenizers import Tokenizer

from mainstem.models._gpt2 import GPT2, GPT2Config

EMBEDDED = Path(__file__).resolve().parents[1] / "src/mainstem/models"

CHARACTERS = 2_500_000  # of every kind of text, for the tokenizer

Kinds = dict[str, list[str]]


@dataclass(frozen=True)
class Recipe:
    """What a model is made of: `rows` of a step by kind of text, (count, length); `anywhere`, rows that start inside a document."""

    sizes: dict[str, int]
    vocabulary: int
    steps: int
    rows: dict[str, tuple[int, int]]
    anywhere: dict[str, float]
    texts: Callable[[int], tuple[Kinds, Kinds]]
    whole: set[str]


def _default_texts(seed: int) -> tuple[Kinds, Kinds]:
    """What is told and what is kept back: the last of 50 stories, 40 chapters and addresses, facts of another seed."""
    told, kept = Random(seed), Random(seed + 1_000_000)
    books, tales = prose(), stories(5000, 0)
    Random(0).shuffle(books)
    return (
        {"facts": [facts(told) for _ in range(100_000)], "stories": tales[100:], "prose": books[10:]},
        {"facts": [facts(kept) for _ in range(2000)], "stories": tales[:100], "prose": books[:10]},
    )


def _tiny_texts(seed: int) -> tuple[Kinds, Kinds]:
    told, kept = Random(seed), Random(seed + 1_000_000)
    return {"facts": [few_facts(told) for _ in range(150_000)]}, {"facts": [few_facts(kept) for _ in range(500)]}


def _words(names: list[str]) -> set[str]:
    return {name.removeprefix("the ") for name in names if " " not in name.removeprefix("the ") and "-" not in name}


RECIPES = {
    "default": Recipe(
        sizes={"n_positions": 256, "n_embd": 192, "n_layer": 6, "n_head": 6},
        vocabulary=4096,
        steps=2000,
        rows={"facts": (20, 64), "stories": (8, 224), "prose": (4, 256)},
        anywhere={"facts": 0.0, "stories": 0.2, "prose": 1.0},
        texts=_default_texts,
        whole=_words([name for row in COUNTRIES for name in row[:2]]),
    ),
    "tiny": Recipe(
        sizes={"n_positions": 64, "n_embd": 48, "n_layer": 2, "n_head": 4},
        vocabulary=640,
        steps=2000,
        rows={"facts": (32, 64)},
        anywhere={"facts": 0.1},
        texts=_tiny_texts,
        whole=_words([name for row in COUNTRIES[:12] for name in row[:2]]),
    ),
}


def save_model(model: GPT2, tokenizer: Tokenizer, out: Path) -> None:
    """The folder as Hugging Face writes it, in float16; the tied unembedding is not stored twice.

    Parameters: `model`; `tokenizer`; `out`.
    """
    out.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().half().contiguous() for name, value in model.state_dict().items()}
    del state["lm_head.weight"]
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    write_json(out / "config.json", hugging_face_config(model.config, tokenizer.token_to_id(END)))
    write_json(out / "tokenizer_config.json", tokenizer_config(model.config))


def hugging_face_config(config: GPT2Config, end: int) -> dict[str, object]:
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        **asdict(config),
        "n_ctx": config.n_positions,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "dtype": "float16",
    }


def tokenizer_config(config: GPT2Config) -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
        "model_max_length": config.n_positions,
        "clean_up_tokenization_spaces": False,
    }


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def first(texts: list[str], characters: int) -> list[str]:
    """The first texts, up to so many characters in all."""
    ends = accumulate(map(len, texts))
    return [text for text, end in zip(texts, ends, strict=True) if end <= characters]


def make(name: str, out: Path, steps: int | None, seed: int) -> None:
    """Trains one of RECIPES and writes its folder.

    Parameters: `name`; `out`; `steps`, or None for as many as the recipe says; `seed`.
    """
    recipe = RECIPES[name]
    torch.set_num_threads(1)  # the order of sums, and so the weights, would depend on it
    torch.manual_seed(seed)
    began = time.monotonic()
    told, kept = recipe.texts(seed)
    sample = [text for texts in told.values() for text in first(texts, CHARACTERS)]
    tokenizer = train_tokenizer(sample, recipe.vocabulary, recipe.whole)
    model = GPT2(GPT2Config(vocab_size=tokenizer.get_vocab_size(), **recipe.sizes))
    plan = Plan(steps or recipe.steps, seed, recipe.rows)
    texts = {kind: Text(documents, tokenizer, recipe.anywhere[kind]) for kind, documents in told.items()}
    kept_texts = {kind: Text(documents, tokenizer, recipe.anywhere[kind]) for kind, documents in kept.items()}
    print(*(f"{kind} {len(text.tokens):,} tokens" for kind, text in texts.items()), f"{plan.tokens:,} to train on", flush=True)
    train(model, texts, kept_texts, plan, cache_folder() / f"{name}-{seed}-{plan.steps}.checkpoint")
    save_model(model, tokenizer, out)
    record = {"steps": plan.steps, "tokens": plan.tokens, "seed": seed, "minutes": round((time.monotonic() - began) / 60, 1)}
    sizes = {kind: {"documents": len(told[kind]), "tokens": len(text.tokens)} for kind, text in texts.items()}
    write_json(out / "training.json", record | {"text": sizes, "curve": plan.curve})
    if name == "default":
        (out / "facts.json").write_text(json.dumps(relations()) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=list(RECIPES), default="default")
    parser.add_argument("--out", type=Path, help="the folder to write, by default the embedded one")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    make(args.name, args.out or EMBEDDED / args.name, args.steps, args.seed)


if __name__ == "__main__":
    main()
