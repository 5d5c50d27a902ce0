"""Bounds of log-probability increase hold: thousands of writes made to break them, against extended precision."""

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from mainstem.score._bounds import above, between, room
from mainstem.score._change import change, longest
from mainstem.score._norm import Norm
from mainstem.score._reading import Normed
from mainstem.score._scene import Piece, Step
from mainstem.score._tiles import Unembedding
from mainstem.stream import Vectors
from score._planted import PLACES, VOCAB, WRITE, Planted, extended, made_goal, normed, planted, truth

BATCH = 40
EXTENDED = np.finfo(np.longdouble).eps
PRECISIONS = (torch.float32, torch.float64)
needs_extended = pytest.mark.skipif(
    EXTENDED > 1e-18, reason="this machine's long double is no longer than a double; mpmath checks a sample"
)


def bounds(case: Planted, dtype: torch.dtype = torch.float64, tokens: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """From above by Jensen, and from below and above; sums over the width and over tiles of the vocabulary in a precision."""
    at, moved = case.survey(tokens, dtype), change(case.reading, case.piece, dtype)
    rest = (case.reading, case.goal, case.piece, at, moved)
    return above(*rest), *between(*rest)


def crossed(low: Tensor | None, high: Tensor | None, wanted: np.ndarray) -> np.ndarray:
    """Where a bound says what is not so; a bound that is no number says nothing."""
    under = np.zeros(wanted.shape, bool) if low is None else extended(low) > wanted
    return under if high is None else under | (extended(high) < wanted)


SWEEP = [pytest.param(first, marks=pytest.mark.slow if first >= 4 * BATCH else ()) for first in range(0, 24 * BATCH, BATCH)]


@needs_extended
@pytest.mark.parametrize("first", SWEEP)
def test_no_score_crosses_its_bounds(first):
    for seed in range(first, first + BATCH):
        case = planted(seed)
        wanted = case.piece.step.sign * truth(case)
        for dtype in PRECISIONS:
            jensen, low, high = bounds(case, dtype)
            assert not crossed(None, jensen, wanted).any(), (seed, dtype, "above")
            assert not crossed(low, high, wanted).any(), (seed, dtype, "between")


@needs_extended
def test_a_crossed_bound_is_noticed():
    case = planted(0)
    wanted = case.piece.step.sign * truth(case)
    jensen, low, high = bounds(case)
    assert crossed(None, jensen - 1, wanted).any()
    assert crossed(high, None, wanted).any()
    assert crossed(None, low, wanted).any()


def in_many_digits(case: Planted, place: int, component: int) -> mpmath.mpf:
    """sign * (f(x + sign v) - f(x)) of one component, in fifty digits."""
    norm, u, goal, step, found = case.reading.norms[1], case.reading.unembedding, case.goal, case.piece.step, case.piece.vectors
    row = (found.rows if found.rows.ndim == 2 else found.rows[place])[component].double().tolist()
    v = [mpmath.mpf(float(found.scale[place, component])) * mpmath.mpf(r) for r in row]

    def value(y: list[mpmath.mpf]) -> mpmath.mpf:
        mean = mpmath.fsum(y) / len(y) if norm.centred else 0
        centred = [a - mean for a in y]
        s = mpmath.sqrt(mpmath.fsum(a * a for a in centred) / len(y) + mpmath.mpf(norm.eps)) if norm.scaled else 1
        s = mpmath.mpf(float(case.reading.scale[place])) if norm.scaled and case.reading.scale is not None else s
        read = [
            mpmath.mpf(g) * a / s + mpmath.mpf(b) for g, a, b in zip(norm.gain.tolist(), centred, norm.bias.tolist(), strict=True)
        ]
        shift = [0.0] * len(u.matrix) if u.bias is None else u.bias.tolist()
        logits = [
            u.factor * (mpmath.fdot(zip(map(mpmath.mpf, r), read, strict=True)) + mpmath.mpf(b))
            for r, b in zip(u.matrix.tolist(), shift, strict=True)
        ]

        def log_sum(some: list[mpmath.mpf]) -> mpmath.mpf:
            return max(some) + mpmath.log(mpmath.fsum(mpmath.exp(a - max(some)) for a in some))

        wanted = log_sum([logits[i] for i in goal.ids[place][goal.mask[place]].tolist()])
        return wanted - log_sum(logits if goal.against is None else [logits[i] for i in goal.against[place].tolist()])

    x = [mpmath.mpf(a) for a in step.x[place].tolist()]
    return step.sign * (value([a + step.sign * b for a, b in zip(x, v, strict=True)]) - value(x))


def test_a_sample_in_fifty_digits():
    draw = np.random.default_rng(0)
    with mpmath.workdps(50):
        for seed in range(0, 480, 16):
            case, sign = planted(seed), planted(seed).piece.step.sign
            place, component = int(draw.integers(PLACES)), int(draw.integers(len(case.kinds)))
            wanted = sign * in_many_digits(case, place, component)
            jensen, low, high = (float(b[place, component]) for b in bounds(case))
            assert not jensen < wanted, (seed, case.kinds[component])
            assert not low > wanted, (seed, case.kinds[component])
            assert not high < wanted, (seed, case.kinds[component])


@needs_extended
@pytest.mark.parametrize("dtype", PRECISIONS)
def test_what_the_sums_are_put_off_by_is_covered(dtype):
    """Products with a direction, the norm's scale and the length of the change, each within what is said of it."""
    for seed in range(0, 4 * BATCH):
        case = planted(seed)
        step, found, norm = case.piece.step, case.piece.vectors, case.reading.norms[1]
        moved = change(case.reading, case.piece, dtype)
        v = extended(found.scale)[:, :, None] * (extended(found.rows) if found.rows.ndim == 3 else extended(found.rows)[None])
        x = extended(step.x)[:, None]
        before, after = normed(case, x), normed(case, x + step.sign * v)
        delta, own = after - before, EXTENDED * (x.shape[-1] + 8) * (lengths(before) + lengths(after) + lengths(x + v))
        u = case.reading.unembedding.matrix[:PLACES] + (100 if seed % 3 == 0 else 0)
        said, off = moved.along(u)
        true, size = (extended(u)[:, None] * delta).sum(-1), lengths(extended(u))[:, None]
        assert not (np.abs(extended(said) - true) > extended(off) + own * size).any(), seed
        assert not (np.abs(extended(said) - true) > (extended(moved.wobble) + own) * size).any(), seed
        assert not (lengths(delta) > extended(moved.length) + own).any(), seed
        if norm.scaled and case.reading.scale is None:
            y = x + step.sign * v
            centred = y - y.mean(-1, keepdims=True) if norm.centred else y
            scale = np.sqrt((centred**2).mean(-1) + norm.eps)
            assert not (np.abs(scale * extended(moved.shrink) - 1) > extended(moved.doubt)).any(), seed


def lengths(a: np.ndarray) -> np.ndarray:
    return np.sqrt((a**2).sum(-1))


def test_bounds_are_close_where_writes_are_small():
    """They would hold, and be worth nothing, were they as wide as one likes."""
    for seed in (1, 4, 5, 8, 11, 19):  # streams as in any model, heads that are not peaked
        case = planted(seed)
        jensen, low, high = bounds(case)
        for kind in ("tiny", "nothing"):
            at = case.kinds.index(kind)
            assert float((high - low)[:, at].max()) < 1e-7, (seed, kind)
            assert float((jensen - low)[:, at].max()) < 1e-7, (seed, kind)


def test_all_tokens_named_leave_rounding_only():
    for seed in (1, 2, 7, 10):
        case = planted(seed)
        _, low, high = bounds(case, tokens=VOCAB)
        width, size = (high - low)[:, case.kinds.index("plain")], case.survey().peak.max()
        assert float(width.max()) < 1e-5 * (1 + float(size)), seed
        assert float(width.min()) >= 0


def test_a_tail_too_faint_to_be_told_from_nothing():
    """One token is nearly certain; what a write makes of the others, 1e-6 to 1e-18 of all, can be all that counts in the end."""
    for mass in 10.0 ** -np.arange(6, 19):
        for raised in (5.0, 20.0, 45.0):
            case = faint(float(mass), raised)
            wanted = truth(case)
            jensen, low, high = bounds(case, tokens=4)
            assert not crossed(None, jensen, wanted).any(), (mass, raised)
            assert not crossed(low, high, wanted).any(), (mass, raised)


def faint(mass: float, raised: float) -> Planted:
    """Logits that a write raises for half of the unlikely tokens, and lowers for the others."""
    matrix = torch.zeros(VOCAB, 2, dtype=torch.float64)
    matrix[4 : VOCAB // 2, 0], matrix[VOCAB // 2 :, 0] = 1.0, -1.0
    bias = torch.full((VOCAB,), float(np.log(mass / (VOCAB - 1))), dtype=torch.float64)
    bias[0] = 0.0
    norm = Norm(torch.ones(2).double(), torch.zeros(2).double(), 0.0, False, False)
    x, rows = torch.zeros(PLACES, 2, dtype=torch.float64), torch.tensor([[raised, 0.0]], dtype=torch.float64)
    vectors = Vectors("L0.mlp", "mlp", ("neuron",), (1,), 0, torch.arange(PLACES), x[:, :1] + 1, rows, True)
    goal = made_goal("token", Unembedding(matrix, bias), np.random.default_rng(0))
    return Planted(Normed({1: norm}, Unembedding(matrix, bias)), goal, Piece(Step(WRITE, 1, x), vectors, True), ("raised",))


def alone(x: Tensor, rows: Tensor, norm: Norm, matrix: Tensor, factor: float = 1.0) -> Planted:
    """Writes of one row each at every place."""
    n = len(rows)
    vectors = Vectors("L0.mlp", "mlp", ("neuron",), (n,), 0, torch.arange(PLACES), torch.ones(PLACES, n).double(), rows, True)
    goal = made_goal("token", Unembedding(matrix, None), np.random.default_rng(0))
    reading = Normed({1: norm}, Unembedding(matrix, None, factor))
    return Planted(reading, goal, Piece(Step(WRITE, 1, x), vectors, True), ("",) * n)


def test_float64_rows_summed_in_float32_under_a_layer_norm():
    """The variance of a long write along all ones is what is left of two large sums: those are rough, whatever the rows are in."""
    norm = Norm(torch.ones(33).double(), torch.zeros(33).double(), 1e-5, True)
    rows = 3e4 * torch.ones(4, 33, dtype=torch.float64) + torch.randn(4, 33, dtype=torch.float64)
    case = alone(torch.randn(PLACES, 33, dtype=torch.float64), rows, norm, torch.randn(VOCAB, 33, dtype=torch.float64))
    moved, exact = change(case.reading, case.piece, torch.float32), change(case.reading, case.piece)
    assert bool((moved.doubt >= (moved.shrink / exact.shrink - 1).abs()).all())
    assert float(exact.doubt.max()) < 1e-3 < float(moved.doubt.max())


def test_logits_are_multiplied_once():
    """A factor behind the unembedding is in the survey's mean already."""
    x, rows = torch.randn(PLACES, 8, dtype=torch.float64), 1e-3 * torch.randn(5, 8, dtype=torch.float64)
    norm = Norm(torch.ones(8).double(), torch.zeros(8).double(), 1e-5, True)
    for factor in (0.25, 1.0, 4.0):
        case = alone(x, rows, norm, torch.randn(VOCAB, 8, dtype=torch.float64), factor)
        jensen, _, _ = bounds(case)
        gap = jensen.numpy() - truth(case).astype(float)
        assert (gap > 0).all() and gap.max() < 1e-4 * factor


def test_squares_that_vanish_in_float32():
    """Rows too short for their squares are not taken for nothing."""
    rows = 1e-24 * torch.randn(3, 16)
    vectors = Vectors("L0.mlp", "mlp", ("neuron",), (3,), 0, torch.arange(1), torch.full((1, 3), 1e24).double(), rows, True)
    assert not bool(vectors.squares.any())
    assert bool((longest(vectors, Norm(torch.ones(16), torch.zeros(16), 1e-5, False)) >= 1e24 * rows.double().norm(dim=-1)).all())


def test_no_row_is_longer_than_the_longest():
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        for scale in (1e-3, 1.0, 100.0):
            matrix = (scale * torch.randn(50, 300)).to(dtype)
            true = float(matrix.double().norm(dim=-1).max())
            assert true <= Unembedding(matrix, None).longest <= 1.001 * true + 1e-15


@needs_extended
def test_what_logits_are_off_by_is_covered():
    every = torch.arange(VOCAB).expand(PLACES, -1)
    for seed in range(0, 4 * BATCH):
        case, u = planted(seed), planted(seed).reading.unembedding
        at = case.survey()
        true = normed(case, extended(case.piece.step.x)[:, None])[:, 0] @ extended(u.matrix).T
        true = np.longdouble(u.factor) * (true if u.bias is None else true + extended(u.bias))
        finite = np.isfinite(true)
        said = extended(room(case.reading, at, change(case.reading, case.piece)).logits)
        off = np.abs(np.where(finite, extended(u.at(at.normed, every)) - np.where(finite, true, 0), 0))
        assert not (off > said).any(), seed
        assert said.max() < 1e-9 * (1 + float(at.peak.max()))
