"""A traced prompt as plain data: small, made by a seeded generator, its writes summing to the whole."""

from random import Random
from typing import Any

TOKENS = ["The", " capital", " of", " France", " is"]
WORDS = [" the", " a", " France", " city", " Lyon", " London", " Paris", "\n"]

NUMBERS = {"prob": "top_prob", "logprob": "logprob", "rank": "rank", "entropy": "entropy", "kl": "kl"}


def record(layers: int = 6, tokens: list[str] | None = None, against: bool = False, seed: int = 3) -> dict[str, Any]:
    """One traced prompt. Parameters: `layers`; `tokens`; `against`, whether two tokens are compared; `seed`."""
    random, tokens = Random(seed), TOKENS if tokens is None else tokens
    writes = _writes(random, layers)
    whole = sum(w["value"] for w in writes)
    prompt = "".join(tokens)
    points = ["entry", *(f"L{i}.resid_{half}" for i in range(layers) for half in ("mid", "post"))]
    return {
        "model": "default",
        "prompt": prompt,
        "tokens": tokens,
        "position": len(tokens) - 1,
        "target": {"id": 345, "text": " Paris", "against": {"id": 5, "text": " London"} if against else None},
        "whole": whole,
        "prediction": [{"token": t, "logprob": lp, "prob": p} for t, lp, p in PREDICTION],
        "writes": writes,
        "lens": [_lens(random, i / (len(points) - 1), p) for i, p in enumerate(points)],
        "look": _look(random, points, tokens, prompt, writes) if tokens else None,
        "heads": [_head(random, i, layers, tokens) for i in range(8)],
        "neurons": [_neuron(random, i, layers) for i in range(8)],
        "closure": {"error": 1.2e-6, "bound": 2e-5, "parts": len(writes)},
        "choices": {"norm": "frozen at this input", "target": "logit", "dtype": "float32"},
    }


PREDICTION = [
    (" Paris", -0.036, 0.965),
    (" Lyon", -4.2, 0.015),
    (" the", -4.9, 0.0074),
    (" Marseille", -5.5, 0.0041),
    ("\n", -6.3, 0.0018),
]


def _writes(random: Random, layers: int) -> list[dict[str, Any]]:
    found: list[tuple[str, str, int | None, float]] = [("entry.embed", "entry", -1, 0.72), ("entry.pos", "entry", -1, -0.11)]
    for i in range(layers):
        late = (i + 1) / layers
        found.append((f"L{i}.attn", "attn", i, random.gauss(0.2, 0.5) + 3.1 * (i == layers - 3)))
        found.append((f"L{i}.mlp", "mlp", i, random.gauss(0.9, 1.5) * late))
    found.append(("readout.bias", "constant", None, -0.1))
    return [{"label": a, "kind": k, "layer": n, "value": v} for a, k, n, v in found]


def _lens(random: Random, depth: float, point: str) -> dict[str, Any]:
    return {
        "point": point,
        "token": WORDS[min(int(depth * 7.4), 6)],
        "top_prob": 0.08 + 0.87 * depth**2,
        "logprob": -9 * (1 - depth) ** 1.5 - 0.04,
        "rank": int(900 * (1 - depth) ** 3),
        "entropy": 6 * (1 - depth) + random.random() * 0.3,
        "kl": 7 * (1 - depth) ** 1.4,
    }


def _look(random: Random, points: list[str], tokens: list[str], prompt: str, writes: list[dict[str, Any]]) -> dict[str, Any]:
    """How the page opens and what it can be asked: the grid, and the parts at its last cell."""
    opening = {"model": "default", "prompt": prompt, "position": len(tokens) - 1}
    here = {"prompt": prompt, "point": points[-1], "position": len(tokens) - 1}
    answers = [["prompt.open", {"prompt": prompt}, _grid(random, points, tokens)], ["prompt.parts", here, _apart(writes, points)]]
    return {"opening": opening, "answers": answers}


def _apart(writes: list[dict[str, Any]], points: list[str]) -> dict[str, Any]:
    rows = [{"component": w["label"], "kind": w["kind"], "layer": w["layer"], "value": w["value"], "into": None} for w in writes]
    whole = sum(w["value"] for w in writes)
    closure = {"sum": whole, "whole": whole, "error": 1.2e-6, "bound": 2e-5}
    said = {"token": " Paris", "against": None, "points": {writes[-2]["label"]: points[-1]}}
    return {"rows": rows, **closure, **said, "choices": {"level": "write", "target": "logit of ' Paris'"}}


def _grid(random: Random, points: list[str], tokens: list[str]) -> dict[str, Any]:
    rows = [
        [_lens(random, max(0.0, i / (len(points) - 1) - 0.1 * random.random()), p) for _ in tokens] for i, p in enumerate(points)
    ]
    numbers = {name: [[cell[key] for cell in row] for row in rows] for name, key in NUMBERS.items()}
    return {
        "model": "default",
        "tokens": tokens,
        "points": points,
        "words": WORDS,
        "vocabulary": 4096,
        "top": [[WORDS.index(cell["token"]) for cell in row] for row in rows],
        "target": [6] * len(tokens),
        **numbers,
        "tops": [[[[6, 0.5], [4, 0.25]] for _ in tokens] for _ in points],
        "scores": [
            {"by": "dla", "name": "direct logit attribution", "about": "What the part gives.", "unit": "logit", "norm": False}
        ],
    }


def _head(random: Random, i: int, layers: int, tokens: list[str]) -> dict[str, Any]:
    value = (2.4 / (i + 1)) * (-1 if i in (3, 6) else 1)
    shares = [random.random() ** 3 for _ in tokens]
    order = sorted(range(len(tokens)), key=lambda j: -shares[j])[:4]
    sources = [{"position": j, "token": tokens[j], "value": value * shares[j] / sum(shares)} for j in order]
    return {"label": f"L{random.randrange(layers)}.attn.H{i}", "value": value, "sources": sources}


def _neuron(random: Random, i: int, layers: int) -> dict[str, Any]:
    first = random.sample([" Paris", " Lyon", " French", " Seine", " Marseille", " Bordeaux", " Nice", " café"], 5)
    last = random.sample([" Tokyo", "ing", " the", "\n", " yen", " Osaka", ");", " Kyoto"], 5)
    label = f"L{random.randrange(layers)}.mlp.N{random.randrange(1024)}"
    return {
        "label": label,
        "value": (1.6 / (i + 1)) * (-1 if i == 4 else 1),
        "activation": 2.5 - 0.3 * i,
        "first": first,
        "last": last,
    }
