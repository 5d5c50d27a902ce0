"""Readouts and writes made by hand to be hard for bounds, and their scores in extended precision."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mainstem.core import Site
from mainstem.find import Write
from mainstem.score import Goal
from mainstem.score._norm import Norm
from mainstem.score._reading import Normed
from mainstem.score._scene import Piece, Step
from mainstem.score._survey import Survey, survey
from mainstem.score._tiles import Unembedding
from mainstem.stream import Vectors

PLACES, VOCAB = 3, 40
WRITE = Write("L0.mlp", "mlp", 0, Site(("", 0, "add", 0), "out"))
EPS = (1e-12, 1e-5, 1e-2)
STREAMS = ("plain", "small", "shifted", "spiked")
HEADS = ("plain", "flat", "peaked", "one", "ties", "biased", "masked", "cancelled")
GOALS = ("token", "alternatives", "contrast", "odds")


@dataclass(frozen=True, eq=False)
class Planted:
    """One readout, one goal, some writes at some places, and which of their kind each write is."""

    reading: Normed
    goal: Goal
    piece: Piece
    kinds: tuple[str, ...]

    def survey(self, tokens: int = 0, dtype: torch.dtype = torch.float64) -> Survey:
        return survey(self.reading, [self.piece.step.asked(torch.arange(PLACES))], tokens, dtype)


def planted(seed: int) -> Planted:
    """A case of its own for every number: all makes of stream, head, norm, goal, precision in turn, the rest at random."""
    draw = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    width = int(draw.choice([2, 7, 16, 33]))
    x = stream(STREAMS[seed % 4], width, generator)
    norm = made_norm(seed, width, draw, generator)
    unembedding = head(HEADS[seed // 4 % 8], norm, x, generator, float(draw.choice([1.0, 0.25, 3.0])))
    goal = made_goal(GOALS[seed // 3 % 4], unembedding, draw)
    stored = (torch.float64, torch.float32, torch.bfloat16)[seed // 5 % 3]
    found, kinds = writes(x, norm, unembedding, goal, stored, generator, alone=seed % 7 == 0)
    scale = norm.scale(2 * x + 1) if seed % 5 == 0 else None
    step = Step(WRITE, 1, x, -1 if seed % 6 == 0 else 1)
    return Planted(Normed({1: norm}, unembedding, scale), goal, Piece(step, found, True), kinds)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def stream(kind: str, width: int, generator: torch.Generator) -> Tensor:
    """What stands at the places: as in any model, very short, far from its mean, or with one large number."""
    x = normal(generator, PLACES, width)
    if kind == "small":
        return 1e-4 * x
    if kind == "shifted":
        return x + 1e5
    spike = torch.zeros(width, dtype=torch.float64)
    spike[0] = 3000.0
    return x + spike if kind == "spiked" else x


def made_norm(seed: int, width: int, draw: np.random.Generator, generator: torch.Generator) -> Norm:
    gain, bias = normal(generator, width), 3 * normal(generator, width) * (seed % 2)
    if seed % 11 == 0:
        gain[0] = 0.0
    if seed % 13 == 0:
        gain = gain * 30
    return Norm(gain, bias, float(draw.choice(EPS)), seed // 2 % 2 == 0, seed % 17 != 0)


def head(kind: str, norm: Norm, x: Tensor, generator: torch.Generator, factor: float) -> Unembedding:
    """An unembedding that predicts nothing in particular, one token nearly for certain, or has ties, biases, tokens ruled out."""
    width = x.shape[1]
    matrix = normal(generator, VOCAB, width)
    bias = 3 * normal(generator, VOCAB)
    if kind == "flat":
        return Unembedding(1e-4 * matrix, None, factor)
    if kind == "peaked":
        return Unembedding(20 * matrix, None, factor)
    if kind == "one":
        bias[5] = 60.0
        return Unembedding(matrix, bias, factor)
    if kind == "ties":
        matrix[1:30] = matrix[1]
        return Unembedding(matrix, None, factor)
    if kind == "masked":
        bias[20:] = -torch.inf
        return Unembedding(matrix, bias, factor)
    if kind == "cancelled":
        return Unembedding(100 * matrix, -100 * (matrix @ norm(x)[0]), factor)
    return Unembedding(matrix, bias if kind == "biased" else None, factor)


def made_goal(kind: str, unembedding: Unembedding, draw: np.random.Generator) -> Goal:
    """Tokens that are not ruled out, the likeliest, rare and common ones alike."""
    ids = torch.tensor(draw.integers(0, 20, (PLACES, 1 if kind in ("token", "contrast") else 3)))
    against = torch.tensor(20 - 1 - draw.integers(0, 20, (PLACES, 1 if kind == "contrast" else 2)))
    mask, other = torch.ones_like(ids, dtype=torch.bool), torch.ones_like(against, dtype=torch.bool)
    if mask.shape[1] > 1:
        mask[0, 1] = False
    where = torch.arange(PLACES)
    places = torch.stack([where, torch.zeros_like(where)], 1)
    held = kind in ("contrast", "odds")
    rest = (against, other) if held else (None, None)
    return Goal(places, ids, mask, *rest, torch.ones(PLACES), where, (PLACES,), "")


def writes(
    x: Tensor, norm: Norm, unembedding: Unembedding, goal: Goal, stored: torch.dtype, generator: torch.Generator, alone: bool
) -> tuple[Vectors, tuple[str, ...]]:
    """Writes of every awkward kind at the first place, shared by the others or with rows of their own there."""
    size, width = x.norm(dim=-1).max(), x.shape[1]
    plain = normal(generator, width)
    towards = norm.centre(unembedding.matrix * norm.gain)
    ones = torch.ones(width, dtype=torch.float64)
    each = {
        "plain": plain,
        "huge": 1e5 * size * plain,
        "tiny": 1e-9 * size * plain,
        "long": 30 * size * plain / plain.norm(),
        "mean": ones,
        "huge mean": 1e6 * size * ones,
        "against": -x[0],
        "almost against": -x[0] * (1 - 1e-7) + 1e-9 * plain,
        "turned": -2 * x[0] + 0.01 * plain,
        "along": x[0],
        "far along": 1e4 * x[0],
        "nothing": torch.zeros_like(plain),
        "for it": size * towards[goal.ids[0, 0]] / towards.norm(dim=-1).max().clamp_min(1e-30),
        "for another": 3 * size * towards[31] / towards.norm(dim=-1).max().clamp_min(1e-30),
        "bare mean": size * ones + 1e-3 * plain,
    }
    rows = torch.stack(list(each.values())).to(stored)
    scale = 1 + 0.3 * normal(generator, PLACES, len(each))
    scale[0] = 1.0
    if alone:
        rows = torch.stack([rows * (1 + 0.5 * p) for p in range(PLACES)])
    found = Vectors("L0.mlp", "mlp", ("neuron",), (len(each),), 0, torch.arange(PLACES), scale, rows, not alone)
    return found, tuple(each)


def extended(t: Tensor) -> np.ndarray:
    return t.double().numpy().astype(np.longdouble)


def truth(case: Planted) -> np.ndarray:
    """score(v) = sign * (f(x + sign v) - f(x)) of every write at every place, in extended precision."""
    step, found = case.piece.step, case.piece.vectors
    x, rows, scale = extended(step.x), extended(found.rows), extended(found.scale)
    v = scale[:, :, None] * (rows[None] if rows.ndim == 2 else rows)
    at = value(case, x[:, None] + step.sign * v)
    return step.sign * (at - value(case, x[:, None]))


def normed(case: Planted, y: np.ndarray) -> np.ndarray:
    norm = case.reading.norms[1]
    centred = y - y.mean(-1, keepdims=True) if norm.centred else y
    own = np.sqrt((centred**2).mean(-1, keepdims=True) + np.longdouble(norm.eps))
    given = case.reading.scale
    s = np.ones_like(own) if not norm.scaled else own if given is None else extended(given)[:, None, None]
    return extended(norm.gain) * centred / s + extended(norm.bias)


def value(case: Planted, y: np.ndarray) -> np.ndarray:
    """What is scored, [place, component]."""
    u, goal = case.reading.unembedding, case.goal
    logits = normed(case, y) @ extended(u.matrix).T
    logits = np.longdouble(u.factor) * (logits if u.bias is None else logits + extended(u.bias))

    def some(ids: Tensor, mask: Tensor) -> np.ndarray:
        here = np.stack([logits[p][:, ids[p].numpy()] for p in range(PLACES)])
        return logsumexp(np.where(mask.numpy()[:, None], here, -np.inf))

    rest = logsumexp(logits) if goal.against is None else some(goal.against, goal.against_mask)
    return some(goal.ids, goal.mask) - rest


def logsumexp(a: np.ndarray) -> np.ndarray:
    top = a.max(-1, keepdims=True)
    return np.log(np.exp(a - top).sum(-1)) + top[..., 0]
