"""One pass over the vocabulary in tiles says what the whole matrix at once says."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from mainstem.score import Goal, _tiles
from mainstem.score._norm import Norm
from mainstem.score._reading import Normed
from mainstem.score._survey import read, survey
from mainstem.score._tiles import Unembedding

WIDTH, VOCAB, PLACES = 6, 57, 5
TIGHT = {"rtol": 1e-12, "atol": 1e-12}
HEADS = ["plain", "biased", "multiplied", "masked", "masked first", "peaked", "float32", "bfloat16"]


@pytest.fixture(params=[1, 7, 20, 10_000])
def tile(request, monkeypatch) -> int:
    """Rows of the vocabulary in a tile, from one to all."""
    monkeypatch.setattr(_tiles, "_TILE", request.param * _tiles.ROWS)
    return request.param


def head(kind: str) -> Unembedding:
    matrix, bias = torch.randn(VOCAB, WIDTH, dtype=torch.float64), torch.randn(VOCAB, dtype=torch.float64)
    if kind == "plain":
        return Unembedding(matrix, None)
    if kind == "multiplied":
        return Unembedding(matrix, bias, 0.25)
    if kind == "peaked":
        return Unembedding(200 * matrix, bias)
    if kind in ("float32", "bfloat16"):
        return Unembedding(matrix.to(getattr(torch, kind)), bias.to(getattr(torch, kind)))
    if kind == "masked":
        bias[[0, 3, 56]] = -torch.inf
    if kind == "masked first":
        bias[:25] = -torch.inf
    return Unembedding(matrix, bias)


def dense(u: Unembedding, rows: Tensor) -> Tensor:
    logits = rows @ u.matrix.double().T
    return u.factor * (logits if u.bias is None else logits + u.bias.double())


def goal(ids: list[int], against: list[int] | None = None) -> Goal:
    each, n = torch.tensor(ids).expand(PLACES, -1), torch.arange(PLACES)
    held = None if against is None else torch.tensor(against).expand(PLACES, -1)
    mask = torch.ones_like(each, dtype=torch.bool)
    other = None if held is None else torch.ones_like(held, dtype=torch.bool)
    return Goal(torch.stack([n, n], 1), each, mask, held, other, torch.ones(PLACES), n, (PLACES,), "")


@pytest.mark.parametrize("kind", HEADS)
def test_a_survey_is_what_the_whole_matrix_says(kind, tile):
    u, norm = head(kind), Norm(torch.randn(WIDTH).double(), torch.randn(WIDTH).double(), 1e-5, True)
    points = [torch.randn(PLACES, WIDTH, dtype=torch.float64), torch.randn(2, WIDTH, dtype=torch.float64)]
    reading = Normed({1: norm, 4: norm}, u)
    asked = [(1, torch.arange(PLACES), points[0]), (4, torch.tensor([3, 0]), points[1])]
    found = survey(reading, asked, likeliest=9)
    rows = norm(torch.cat(points))
    logits = dense(u, rows)
    p = logits.softmax(-1)
    torch.testing.assert_close(found.normed, rows, **TIGHT)
    torch.testing.assert_close(found.logsumexp, logits.logsumexp(-1), **TIGHT)
    torch.testing.assert_close(found.mean, p @ u.matrix.double(), **TIGHT)
    torch.testing.assert_close(found.peak, logits.masked_fill(logits.isinf(), 0).abs().amax(-1), **TIGHT)
    best = logits.log_softmax(-1).topk(9)
    torch.testing.assert_close(found.logprobs, best.values, **TIGHT)
    torch.testing.assert_close(logits.log_softmax(-1).gather(1, found.tokens), best.values, **TIGHT)
    some = found.at(torch.tensor([6, 1]))
    torch.testing.assert_close(some.mean, found.mean[[6, 1]])
    torch.testing.assert_close(some.tokens, found.tokens[[6, 1]])


@pytest.mark.parametrize("kind", HEADS)
def test_what_is_scored_at_a_survey_and_away_from_it(kind, tile):
    u = head(kind)
    reading = Normed({1: Norm(torch.ones(WIDTH).double(), torch.zeros(WIDTH).double(), 0.0, False, False)}, u)
    x = torch.randn(PLACES, WIDTH, dtype=torch.float64)
    logits, where = dense(u, x), torch.arange(PLACES)
    for target in (goal([40]), goal([30, 41, 33]), goal([40], [41]), goal([30, 41], [33, 50])):
        wanted = target.value(logits)
        torch.testing.assert_close(reading.values([(1, where, x)], target)[0], wanted, **TIGHT)
        torch.testing.assert_close(read(reading, survey(reading, [(1, where, x)]), where, target), wanted, **TIGHT)
        torch.testing.assert_close(u.value(x[[4, 4, 0]], where[[4, 4, 0]], target), wanted[[4, 4, 0]], **TIGHT)


def test_many_rows_are_taken_some_at_a_time(monkeypatch):
    """No product is of more rows than the limit."""
    monkeypatch.setattr(_tiles, "ROWS", 4)
    seen, u = [], head("biased")
    held = SimpleNamespace(addmm=torch.addmm)
    monkeypatch.setattr(torch, "addmm", lambda b, rows, m: (seen.append(len(rows)), held.addmm(b, rows, m))[1])
    rows = torch.randn(11, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(u.logsumexp(rows), dense(u, rows).logsumexp(-1), **TIGHT)
    assert max(seen) == 4 and sum(seen) == 11


def test_ties_are_named_once():
    u = Unembedding(torch.ones(VOCAB, WIDTH, dtype=torch.float64), None)
    reading = Normed({0: Norm(torch.ones(WIDTH).double(), torch.zeros(WIDTH).double(), 1e-5, False)}, u)
    found = survey(reading, [(0, torch.tensor([0]), torch.randn(1, WIDTH, dtype=torch.float64))], likeliest=VOCAB)
    assert sorted(found.tokens[0].tolist()) == list(range(VOCAB))
    torch.testing.assert_close(found.logprobs.exp().sum(), torch.ones((), dtype=torch.float64))
