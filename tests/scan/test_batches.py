"""Batches: every token once, within the budget, in an order that only the examples decide."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mainstem.scan import Batching, Example, token_at
from mainstem.scan._batches import batches
from scan import toy

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def examples(lengths: list[int]) -> list[Example]:
    """Examples that say how many tokens they have."""
    return [Example(n, f"{(n * 7919) % 101:03d}.{n}", f"row {n}", str(length)) for n, length in enumerate(lengths)]


def windows(text: str, most: int = 16) -> list[list[int]]:
    """Tokens 1, 2, 3, ... up to the number that a text says, at most 16 to a window."""
    ids = list(range(1, int(text) + 1))
    return [ids[i : i + most] for i in range(0, len(ids), most)]


def refused(example: Example, why: str) -> None:
    raise AssertionError(f"{example.place}: {why}")


@given(lengths=LENGTHS, budget=st.integers(16, 100), pack=st.sampled_from([None, 1, 7, 16]))
def test_every_token_is_there_once_and_knows_its_place(lengths, budget, pack):
    found = list(batches(examples(lengths), Batching(budget, windows, pack), refused))
    seen = []
    for batch in found:
        assert batch.ids.numel() <= budget
        assert torch.equal(batch.mask, batch.index >= 0)
        assert batch.mask.any(0).all()  # no column of pads only
        assert bool((batch.ids[~batch.mask] == 0).all())
        for index, token in zip(batch.index[batch.mask].tolist(), batch.ids[batch.mask].tolist(), strict=True):
            number, position = token_at(index)
            assert token == position + 1
            assert number in batch.examples
            seen.append((number, position))
    assert sorted(seen) == [(n, p) for n, length in enumerate(lengths) for p in range(length)]
    assert sum(batch.finished for batch in found) == len(lengths)
    assert sum(batch.tokens for batch in found) == sum(lengths)


@given(lengths=LENGTHS, pack=st.sampled_from([None, 7]), seed=st.integers(0, 99))
def test_the_order_that_examples_come_in_does_not_matter(lengths, pack, seed):
    given_, other = examples(lengths), examples(lengths)
    random.Random(seed).shuffle(other)
    one, same = (list(batches(data, Batching(64, windows, pack), refused)) for data in (given_, other))
    assert len(one) == len(same)
    assert all(torch.equal(a.index, b.index) and torch.equal(a.ids, b.ids) for a, b in zip(one, same, strict=True))


def test_packed_rows_are_full_but_the_last():
    found = list(batches(examples([5, 9, 30, 2]), Batching(16, windows, 8), refused))
    assert [tuple(b.ids.shape) for b in found] == [(2, 8), (2, 8), (2, 8)]
    assert [b.tokens for b in found] == [16, 16, 14]


def test_padded_batches_hold_windows_of_like_length():
    """Sorted by length, pads are few: half of the places would be pads without."""
    lengths = [1 + (i * 5) % 16 for i in range(160)]
    found = list(batches(examples(lengths), Batching(64, windows), refused))
    assert sum(lengths) / sum(b.ids.numel() for b in found) > 0.95


def test_what_no_batch_can_be_made_of_is_told():
    told = []
    how = Batching(8, lambda text: [] if text == "0" else windows(text, 99))
    found = list(batches(examples([3, 0, 9, 8]), how, lambda e, why: told.append((e.number, why))))
    assert sorted(told) == [(1, "no tokens"), (2, "a window of 9 tokens, more than batch_tokens=8")]
    assert sorted(n for b in found for n in b.examples) == [0, 3]


def test_batches_of_texts_do_not_depend_on_how_the_rest_is_cut(tmp_path):
    """A piece is batched alone: what lies in other pieces changes none of its numbers' bits."""
    data = toy.texts(60)
    toy.scanned(tmp_path / "whole", data)
    toy.scanned(tmp_path / "again", data)
    assert toy.same(toy.result(tmp_path / "whole"), toy.result(tmp_path / "again"))
    with pytest.raises(AssertionError):
        refused(examples([1])[0], "planted")
