"""Measures of trained models: identities hold on real streams, and what is known of them is found."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

import mainstem as ms
from mainstem.measure import first_apart, measure_named
from measure._seen import measured

TEXT = "Once upon a time there was a little girl named Lily. She liked to play in the park with her dog, and one day they"


@cache
def trace(name: str) -> ms.Trace:
    return ms.load(name).trace(TEXT)


def point(name: str, label: str) -> Tensor:
    return trace(name).point(label)[0]


def write(name: str, label: str) -> Tensor:
    return trace(name)[label][0]


def test_kurtosis_is_that_of_a_plain_formula():
    x = point("default", "L2.resid_post")
    off = x.double().numpy() - x.double().numpy().mean(1, keepdims=True)
    want = float(((off**4).mean(1) / (off**2).mean(1) ** 2).mean())
    assert float(measured("kurtosis", x)["kurtosis"]) == pytest.approx(want, rel=1e-12)


def test_growth_of_every_block_keeps_to_its_bound():
    blocks = 1 + max(w.block for w in trace("default").stream.writes)
    before = ["entry", *(f"L{b}.resid_post" for b in range(blocks - 1))]
    for b, label in enumerate(before):
        writes = torch.cat([write("default", f"L{b}.attn"), write("default", f"L{b}.mlp")], 1)
        found = measured("growth", point("default", label), writes)
        assert float(found["slack"]) >= -1e-6 and abs(float(found["used"])) <= 1  # a block may shrink the stream


def test_variance_shares_of_the_writes_of_the_stream_sum_to_one():
    last = trace("default").stream.points[-1].name
    labels = [w.label for w in trace("default").stream.writes]
    parts = [point("default", "entry"), *(write("default", label) for label in labels)]
    shares = [float(measured("variance_share", part, point("default", last))["share"]) for part in parts]
    assert sum(shares) == pytest.approx(1, abs=1e-5)


def test_a_massive_activation_of_the_first_token_is_found(real_model):
    folder = str(real_model("smollm2"))
    x = point(folder, "L20.resid_post")
    found = measured("massive", x, ids=torch.arange(len(x)))
    assert int(found["massive"]) >= 1 and int(found["id"][0]) == 0 and float(found["times_median"][0]) > 1000
    first, rest = (m[0] for m in first_apart(torch.ones(1, len(x), dtype=torch.bool)))
    norm = measure_named("rms")
    sizes = [float(norm.result(norm.update(norm.init(x.shape[1]), x, m))["rms"]) for m in (first, rest)]
    assert sizes[0] > 20 * sizes[1]
    assert np.isfinite(float(measured("alignment", x[1:])["auc"]))
