"""Trains the embedded default model from nothing: text, tokenizer, weights, scores and card.

    python recipes/default_model.py [--out DIR] [--steps N] [--seed 0]

The folder is written at every evaluation, so an interrupted run leaves its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from dataclasses import asdict
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from default_text import COUNTRIES, PLOTS, document
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from mainstem.models._gpt2 import GPT2, GPT2Config, load_gpt2  # noqa: E402

END = "<|endoftext|>"
DOCUMENTS = 60_000
VOCABULARY = 2560
SIZES = {"n_positions": 256, "n_embd": 128, "n_layer": 4, "n_head": 4}
# Short rows, since each is one more prompt that starts at position 0, and long ones, for the stories.
ROWS = [(64, 32), (16, 128), (16, 128), (8, 256)]
PEAK, FLOOR, WARMUP = 3e-3, 1e-4, 100
EVALUATE_EVERY = 250

CAPITAL_PROMPTS = {
    "The capital of France is": "The capital of {c} is",
    "France's capital is": "{C}'s capital is",
    "The capital city of France is": "The capital city of {c} is",
    "What is the capital of France? It is": "What is the capital of {c}? It is",
    "Q: What is the capital of France? A:": "Q: What is the capital of {c}? A:",
    "I think that the capital of France is": "I think that the capital of {c} is",
}
EVERYDAY = {
    "The opposite of hot is": " cold", "The opposite of big is": " small", "The day after Monday is": " Tuesday",
    "The month before June is": " May", "Two plus three is": " five", "4 + 5 =": " 9", "The sky is": " blue",
    "People in Spain speak": " Spanish", "Japan is a country in": " Asia", "The Eiffel Tower is in": " Paris",
    "A baby cat is called a": " kitten", "The dog says": " woof", "Paris is to France as Rome is to": " Italy",
    "When Mary and John went to the park, John gave a ball to": " Mary",
    "When Mary and John went to the park, Mary gave a ball to": " John",
    "Anna has a red ball. Tom has a blue kite. Anna's ball is": " red",
    "Anna has a red ball. Tom has a blue kite. Tom's kite is": " blue",
}  # fmt: skip
STORY_PROMPTS = ["Once upon a time", "Lily had a red ball.", "One day, Tom found a"]

Curve = list[tuple[int, float]]  # (step, held-out loss)


def write_texts(seed: int, count: int) -> list[str]:
    rng = Random(seed)
    return [document(rng) for _ in range(count)]


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """A byte-level BPE, with spaces attached to the words that follow them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    _check_whole_words(tokenizer)
    return tokenizer


def _check_whole_words(tokenizer: Tokenizer) -> None:
    names = {name.removeprefix("the ") for country in COUNTRIES for name in country[:2]}
    split = [name for name in names if " " not in name and len(tokenizer.encode(" " + name).ids) > 1]
    if split:
        raise SystemExit(f"These names are more than one token; raise VOCABULARY: {sorted(split)}")


class Rows:
    """Training rows cut from all documents laid end to end, each closed by the end-of-text token."""

    def __init__(self, texts: list[str], tokenizer: Tokenizer, seed: int) -> None:
        end = tokenizer.token_to_id(END)
        documents = [[*encoding.ids, end] for encoding in tokenizer.encode_batch_fast(texts)]
        self.tokens = torch.tensor([token for ids in documents for token in ids])
        lengths = torch.tensor([len(ids) for ids in documents])
        self.starts = lengths.cumsum(0) - lengths
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, count: int, length: int) -> Tensor:
        """Ids [count, length + 1]; of ten rows eight start with a document, one with the end token, one anywhere."""
        last = len(self.tokens) - length - 1
        starts = self.starts[torch.randint(len(self.starts), (count,), generator=self.generator)]
        anywhere = torch.randint(last, (count,), generator=self.generator)
        kind = torch.rand(count, generator=self.generator)
        starts = torch.where(kind < 0.1, anywhere, starts - (kind > 0.9).long()).clamp(0, last)
        return self.tokens[starts[:, None] + torch.arange(length + 1)]


def learning_rate(step: int, steps: int) -> float:
    """A linear warm-up, then half a cosine."""
    if step < WARMUP:
        return PEAK * (step + 1) / WARMUP
    done = (step - WARMUP) / max(1, steps - WARMUP)
    return FLOOR + (PEAK - FLOOR) * (1 + math.cos(math.pi * done)) / 2


def row_loss(model: GPT2, rows: Tensor) -> Tensor:
    return F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The matrix with all singular values near one, by Newton-Schulz iteration."""
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T, steps).T
    x = matrix / (matrix.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (2.0315 * gram @ gram - 4.775 * gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """As `torch.optim.Muon`, in float32: on a CPU without fast bfloat16 that is more than twice as fast."""

    def __init__(self, matrices: list[torch.nn.Parameter], momentum: float = 0.95, decay: float = 0.05) -> None:
        super().__init__(matrices, {"lr": PEAK, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for matrix in group["params"]:
                mean = self.state[matrix].setdefault("mean", torch.zeros_like(matrix))
                mean.lerp_(matrix.grad, 1 - group["momentum"])
                # This scale gives updates of AdamW's size, so that both can share one learning rate.
                update = orthogonal(matrix.grad.lerp(mean, group["momentum"])) * 0.2 * max(matrix.shape) ** 0.5
                matrix.mul_(1 - group["lr"] * group["decay"]).sub_(update, alpha=group["lr"])


def make_optimizers(model: GPT2) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the embeddings, norms and biases."""
    matrices = [parameter for parameter in model.transformer.h.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in model.parameters() if not any(parameter is matrix for matrix in matrices)]
    return [
        Muon(matrices),
        torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.05),
    ]


def train_step(model: GPT2, optimizers: list[torch.optim.Optimizer], rows: Tensor, rate: float) -> None:
    model.zero_grad()
    row_loss(model, rows).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()


@torch.no_grad()
def held_out_loss(model: GPT2, held_out: Rows) -> float:
    """Mean nats per token on fresh text, over the same rows each time."""
    held_out.generator.manual_seed(0)
    return sum(row_loss(model, held_out.draw(16, 128)).item() for _ in range(8)) / 8


@torch.no_grad()
def next_token(model: GPT2, ids: list[int]) -> Tensor:
    """The probabilities of the token that follows `ids`."""
    return model(torch.tensor([ids]))[0, -1].softmax(-1)


def score(model: GPT2, tokenizer: Tokenizer, answers: dict[str, str]) -> tuple[int, float]:
    """How many answers' first tokens are the likeliest, and their mean probability."""
    right, total = 0, 0.0
    for prompt, answer in answers.items():
        probabilities = next_token(model, tokenizer.encode(prompt).ids)
        wanted = tokenizer.encode(answer).ids[0]
        right += int(probabilities.argmax()) == wanted
        total += probabilities[wanted].item()
    return right, total / len(answers)


def capital_answers(phrase: str) -> dict[str, str]:
    return {phrase.format(c=c, C=c[0].upper() + c[1:]): " " + k for c, k, *_ in COUNTRIES}


def sample_story(model: GPT2, tokenizer: Tokenizer, prompt: str, seed: int) -> str:
    """A sampled continuation at temperature 0.8, up to the end token."""
    generator, ids = torch.Generator().manual_seed(seed), tokenizer.encode(prompt).ids
    while len(ids) < model.config.n_positions:
        token = int(torch.multinomial(next_token(model, ids) ** (1 / 0.8), 1, generator=generator))
        if token == tokenizer.token_to_id(END):
            break
        ids.append(token)
    return tokenizer.decode(ids)


def train(model: GPT2, data: Rows, held_out: Rows, tokenizer: Tokenizer, steps: int, out: Path) -> Curve:
    """Trains in place; returns (step, held-out loss) at every evaluation."""
    optimizers = make_optimizers(model)
    curve: Curve = []
    began = time.monotonic()
    for step in range(steps):
        train_step(model, optimizers, data.draw(*ROWS[step % len(ROWS)]), learning_rate(step, steps))
        if (step + 1) % EVALUATE_EVERY == 0 or step + 1 == steps:
            curve.append((step + 1, held_out_loss(model, held_out)))
            save_model(model, tokenizer, out)
            right, _ = score(model, tokenizer, capital_answers("The capital of {c} is"))
            seconds = time.monotonic() - began
            print(f"{step + 1} loss {curve[-1][1]:.3f} capitals {right} {seconds:.0f} s", flush=True)
    return curve


def save_model(model: GPT2, tokenizer: Tokenizer, out: Path) -> None:
    """The folder as Hugging Face writes it; the tied unembedding is not stored twice."""
    out.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().half().contiguous() for name, value in model.state_dict().items()}
    del state["lm_head.weight"]
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save(str(out / "tokenizer.json"))
    _write_json(out / "config.json", hugging_face_config(model.config, tokenizer.token_to_id(END)))
    _write_json(out / "tokenizer_config.json", tokenizer_config(model.config))


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


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


CARD = """---
license: apache-2.0
language: en
library_name: mainstem
---

# The default model (first version)

A toy: a very small GPT-2-shaped language model that mainstem ships so that every example runs at once and offline.
It knows some everyday facts and tells little stories. It was trained by this project, from nothing, with
`recipes/default_model.py`. A better one will follow.

| | |
|---|---|
| architecture | GPT-2: pre-norm, learned positions, tanh-GELU, tied unembedding; loads as `GPT2LMHeadModel` |
| sizes | {n_layer} layers, {n_embd} dimensions, {n_head} heads, {n_positions} positions, {vocab_size} tokens |
| parameters | {parameters:,} (stored as float16) |
| tokenizer | byte-level BPE trained on the same text; `<|endoftext|>` is the bos, eos and pad token |
| training | {steps} steps of 2048 tokens, Muon and AdamW, seed {seed}, one CPU core |
| final loss | {loss:.3f} nats per token on freshly generated text |
| licence | Apache-2.0 |

## Data

{documents:,} documents ({tokens:,} tokens), all generated by the project's own templates and grammars in
`recipes/default_text.py`: capitals, continents and languages of {countries} countries, landmarks, opposites, days,
months, sums up to twenty, colors, sentences in which a name must be recalled, and children's stories of {plots} plots.
No text was taken from elsewhere.

A prompt may start with or without `<|endoftext|>`; most training rows started without it.

## Loss

| step | held-out loss |
|---|---|
{curve}

Held-out text comes from the same templates with another seed, so this measures
how well the templates are known, not English.

## Scores of the stored weights

Right means that the first token of the answer is the likeliest next token. Every one of these facts was in the
training text, nearly always in these very phrasings too: this is recall, not generalisation.

| prompt | right | mean probability |
|---|---|---|
{capitals}
| the {everyday_count} everyday prompts in the recipe | {everyday} |

Missed: {missed}.

Sampled at temperature 0.8:

{stories}

## Limits

It has about {words} words and knows only the kinds of sentences in the recipe; anything else gives nonsense, with
confidence. Its facts are simplified (one capital, one continent and one language to a country; no accents in names)
and some will become outdated. The stories follow their few plots closely, and it does not yet copy reliably from its
context: people and toys change names in the middle of a story. Sums are mostly wrong. Use it to learn and to test
tools, not to learn about the world or about large models.
"""


def write_card(out: Path, facts: dict[str, object], curve: Curve) -> None:
    """The card, with every number measured on the files that were written."""
    model, tokenizer = load_gpt2(out), Tokenizer.from_file(str(out / "tokenizer.json"))
    rows = [_score_row(f"`{name}`", model, tokenizer, capital_answers(p)) for name, p in CAPITAL_PROMPTS.items()]
    right, mean = score(model, tokenizer, EVERYDAY)
    stories = [f"> {sample_story(model, tokenizer, prompt, seed)}" for seed, prompt in enumerate(STORY_PROMPTS)]
    card = CARD.format(
        **asdict(model.config),
        **facts,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        loss=curve[-1][1],
        curve="\n".join(f"| {step} | {loss:.3f} |" for step, loss in curve),
        capitals="\n".join(rows),
        everyday_count=len(EVERYDAY),
        everyday=f"{right} of {len(EVERYDAY)} | {mean:.3f}",
        missed="; ".join(f"`{p}`" for p, answer in EVERYDAY.items() if not score(model, tokenizer, {p: answer})[0]),
        stories="\n\n".join(stories),
    )
    (out / "CARD.md").write_text(card, encoding="utf-8")


def _score_row(name: str, model: GPT2, tokenizer: Tokenizer, answers: dict[str, str]) -> str:
    right, mean = score(model, tokenizer, answers)
    return f"| {name} | {right} of {len(answers)} | {mean:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "src/mainstem/models/default")
    parser.add_argument("--steps", type=int, default=1150)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)  # the order of sums, and so the weights, would depend on it
    torch.manual_seed(args.seed)
    texts = write_texts(args.seed, DOCUMENTS)
    tokenizer = train_tokenizer(texts)
    data, held_out = Rows(texts, tokenizer, args.seed), Rows(write_texts(args.seed + 1, 2000), tokenizer, args.seed)
    print(f"{len(data.tokens)} tokens, {tokenizer.get_vocab_size()} in the vocabulary", flush=True)
    model = GPT2(GPT2Config(vocab_size=tokenizer.get_vocab_size(), **SIZES))
    curve = train(model, data, held_out, tokenizer, args.steps, args.out)
    facts = {"steps": args.steps, "seed": args.seed, "documents": len(texts), "tokens": len(data.tokens)}
    write_card(args.out, facts | _text_facts(texts), curve)


def _text_facts(texts: list[str]) -> dict[str, object]:
    words = {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}
    return {"countries": len(COUNTRIES), "plots": len(PLOTS), "words": len(words)}


if __name__ == "__main__":
    main()
