"""Directions of the stream: what they are of, and their files."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import mainstem as ms
import real

PROMPT = "The capital of France is"


@cache
def model() -> Any:
    return real.model("default")


@cache
def trace() -> Any:
    return model().trace(PROMPT)


def weights(name: str) -> torch.Tensor:
    return model().module.get_parameter(name).detach().double()


def test_tokens_are_rows_of_the_weights():
    paris, london = (model().ids(word)[0] for word in (" Paris", " London"))
    rows = weights("transformer.wte.weight")  # tied
    torch.testing.assert_close(model().direction(" Paris").vector, rows[paris])
    torch.testing.assert_close(model().direction(" Paris", side="embedding").vector, rows[paris])
    torch.testing.assert_close(model().direction(" Paris", " London").vector, rows[paris] - rows[london])
    assert model().direction(paris).name == " Paris"


def test_a_neuron_is_the_row_that_it_adds():
    found = model().direction("L2.mlp.N5")
    torch.testing.assert_close(found.vector, weights("transformer.h.2.mlp.c_proj.weight")[5])


def test_a_head_is_the_leading_pair_of_its_output_and_values():
    width, head = 192 // 6, 3
    gain = weights("transformer.h.2.ln_1.weight")
    v = weights("transformer.h.2.attn.c_attn.weight")[:, 2 * 192 :][:, head * width : (head + 1) * width].T * gain
    v = v - v.mean(1, keepdim=True)
    o = weights("transformer.h.2.attn.c_proj.weight")[head * width : (head + 1) * width]
    left, sizes, right = torch.linalg.svd(o.T @ v)
    writes, reads = (model().direction("L2.attn.H3", end=end).vector for end in ("writes", "reads"))
    assert abs(float(writes @ left[:, 0])) == pytest.approx(1, abs=1e-5)
    assert abs(float(reads @ right[0])) == pytest.approx(1, abs=1e-5)
    assert float(writes @ (o.T @ v) @ reads) == pytest.approx(float(sizes[0]), rel=1e-5)


def test_principal_directions_are_those_of_the_tokens():
    texts = [fact.prompt for fact in ms.facts("capital")[:6]]
    rows = torch.cat([model().trace(t).point("L1.resid_post")[0, 1:] for t in texts]).double()
    found = model().principal(texts, "L1.resid_post", 3)
    _, _, expected = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    products = torch.stack([d.vector for d in found]) @ expected[:3].T
    torch.testing.assert_close(products.abs(), torch.eye(3, dtype=torch.float64), atol=1e-9, rtol=0)


def test_along_is_the_product_with_the_stream():
    found = model().direction(" Paris")
    expected = trace().point("L4.resid_mid").double() @ (found.vector / found.vector.norm())
    torch.testing.assert_close(found.along(trace(), "L4.resid_mid"), expected)
    with pytest.raises(ms.InputError, match="is of no point: name one"):
        found.along(trace())
    with pytest.raises(ms.InputError, match="3 wide"):
        ms.Direction(torch.ones(3), point="L1.resid_mid").along(trace())


@pytest.mark.parametrize("form", [".safetensors", ".json"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_file_holds_all_of_it(tmp_path: Path, form: str, dtype: torch.dtype):
    vector = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).to(dtype)
    made = ms.Direction(vector, "<b>\u202e né", "L3.resid_mid", "default", "made up")
    read = ms.Direction.load(made.save(tmp_path / f"d{form}"))
    assert torch.equal(read.vector.double(), vector.double())
    assert [(read.name, read.point, read.model, read.about)] == [(made.name, made.point, made.model, made.about)]


def test_any_file_of_one_vector_is_read(tmp_path: Path):
    (tmp_path / "list.json").write_text("[1, 2.5, -3]")
    save_file({"x": torch.ones(1, 4)}, tmp_path / "row.safetensors")
    assert ms.Direction.load(tmp_path / "list.json").vector.tolist() == [1, 2.5, -3]
    read = ms.Direction.load(tmp_path / "row.safetensors")
    assert (read.vector.tolist(), read.name) == ([1.0] * 4, "row")


BAD = [
    b"",
    b"{",
    b"[]",
    b"[0, 0]",
    b"[1, null]",
    b"[1, true]",
    b'["1"]',
    b"[1e999, 1]",
    b"{}",
    b'{"vector": 3}',
    b"\x80\x04pickle",
    b"[" * 5000,
    (8).to_bytes(8, "little") + b"{}      ",
    2**62 * b"" + (2**62).to_bytes(8, "little") + b"{}",
]


@pytest.mark.parametrize("data", BAD)
def test_other_files_are_refused(data: bytes):
    with pytest.raises(ms.InputError):
        ms.Direction.unpacked(data)


def test_a_file_of_integers_or_of_two_vectors_is_refused(tmp_path: Path):
    for held in ({"x": torch.ones(4, dtype=torch.int64)}, {"x": torch.ones(4), "y": torch.ones(4)}, {"x": torch.ones(2, 2)}):
        save_file(held, tmp_path / "x.safetensors")
        with pytest.raises(ms.InputError):
            ms.Direction.load(tmp_path / "x.safetensors")
    with pytest.raises(ms.InputError, match="there is no file"):
        ms.Direction.load(tmp_path / "none.json")
    assert json.loads(ms.Direction(torch.ones(2)).packed(".json"))["width"] == 2


@pytest.mark.parametrize("of", ["L9.mlp.N5", "L2.mlp.N99999", "L2.attn.H6", "no such token at all"])
def test_what_does_not_exist_is_said(of: str):
    with pytest.raises(ms.InputError):
        model().direction(of)
