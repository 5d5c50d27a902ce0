"""Texts through the embedded model and measures of the registry, against the same texts one by one and a formula by hand."""

import gzip

import pytest
import torch

from mainstem.measure import measure_named
from mainstem.models import digest, load
from mainstem.scan import Batch, Batching, Job, merge, scan, source, survey


def blocks_of(module):
    """What every block adds up to, by name, at the last call."""
    seen = {}
    for name, block in module.named_modules():
        if type(block).__name__ == "Block":
            block.register_forward_hook(lambda _, given, out, name=name: seen.update({name: out}))
    return seen


def kurtosis(x: torch.Tensor) -> torch.Tensor:
    """[token, width] to [token]."""
    z = x.double() - x.double().mean(1, keepdim=True)
    return z.shape[1] * (z**4).sum(1) / (z**2).sum(1) ** 2


@pytest.fixture(scope="module")
def model():
    return load("tiny")


@pytest.fixture(scope="module")
def lines(shared):
    text = gzip.decompress((shared / "text" / "wikitext2_valid.txt.gz").read_bytes()).decode()
    return [line for line in text.splitlines() if len(line) > 40][:120]


@pytest.mark.parametrize("pack", [None, 64])
def test_kurtosis_over_a_corpus_is_that_of_every_text_alone(model, lines, tmp_path, pack):
    seen = blocks_of(model.module)

    def run(batch: Batch):
        model.module(batch.ids)
        yield from ((name, x, batch.mask) for name, x in seen.items())

    def tokenize(text: str) -> list[list[int]]:
        return model.codec.chunks(text, 64)

    job = Job(lambda: run, Batching(1024, tokenize, pack), (measure_named("kurtosis"),), model={"weights": digest(model.module)})
    scan(job, survey(source(lines), 5000), tmp_path)
    numbers = merge(tmp_path).numbers()
    by_hand = {name: [] for name in seen}
    tokens = 0
    with torch.no_grad():
        for window in (w for line in lines for w in tokenize(line)):
            model.module(torch.tensor([window]))
            tokens += len(window)
            for name, x in seen.items():
                by_hand[name].append(kurtosis(x[0]))
    assert len(by_hand) == len(numbers) > 1
    for name, values in by_hand.items():
        found = numbers["kurtosis", name]
        assert found["tokens"] == tokens
        known = torch.cat(values).mean()
        if pack is None:  # float32 runs of other shapes differ in their last bits
            torch.testing.assert_close(found["kurtosis"], known, rtol=1e-5, atol=0)
        else:  # packed texts see those before them in their row: other numbers, of as many tokens
            assert (found["kurtosis"] - known).abs() > 1e-5 * known
