"""The embedded default model: what it knows, and that it is the model Hugging Face reads from the same folder."""

import socket
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from mainstem.models import _gpt2
from mainstem.models._gpt2 import GPT2, load_gpt2

FOLDER = Path(_gpt2.__file__).parent / "default"
PROMPTS = ["The capital of France is", "Once upon a time, a little girl named Lily lived", "The opposite of hot is"]
CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon",
    "England": "London", "Ireland": "Dublin", "Belgium": "Brussels", "Austria": "Vienna", "Switzerland": "Bern",
    "Poland": "Warsaw", "Hungary": "Budapest", "Romania": "Bucharest", "Bulgaria": "Sofia", "Greece": "Athens",
    "Turkey": "Ankara", "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki", "Denmark": "Copenhagen",
    "Russia": "Moscow", "Ukraine": "Kyiv", "Latvia": "Riga", "Estonia": "Tallinn", "Serbia": "Belgrade",
    "Croatia": "Zagreb", "Japan": "Tokyo", "China": "Beijing", "Thailand": "Bangkok", "Vietnam": "Hanoi",
    "Nepal": "Kathmandu", "Iran": "Tehran", "Iraq": "Baghdad", "Syria": "Damascus", "Egypt": "Cairo",
    "Libya": "Tripoli", "Kenya": "Nairobi", "Ghana": "Accra", "Senegal": "Dakar", "Canada": "Ottawa",
    "Cuba": "Havana", "Peru": "Lima", "Chile": "Santiago", "Ecuador": "Quito", "Colombia": "Bogota",
    "Australia": "Canberra",
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> GPT2:
    return load_gpt2(FOLDER)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(FOLDER / "tokenizer.json"))


@torch.no_grad()
def top_token(model: GPT2, tokenizer: Tokenizer, prompt: str) -> str:
    logits = model(torch.tensor([tokenizer.encode(prompt).ids]))
    return tokenizer.decode([int(logits[0, -1].argmax())])


def padded(rows: list[list[int]], side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of ids made equally long on one side, and the mask of what is real."""
    width = max(map(len, rows))
    fill = [[0] * (width - len(row)) for row in rows]
    ids = [extra + row if side == "left" else row + extra for row, extra in zip(rows, fill, strict=True)]
    ones = [[1] * len(row) for row in rows]
    mask = [extra + one if side == "left" else one + extra for one, extra in zip(ones, fill, strict=True)]
    return torch.tensor(ids), torch.tensor(mask)


def test_paris_is_the_likeliest_capital_of_france(model: GPT2, tokenizer: Tokenizer) -> None:
    ids = torch.tensor([tokenizer.encode(PROMPTS[0]).ids])
    with torch.no_grad():
        probabilities = model(ids)[0, -1].softmax(-1)
    assert top_token(model, tokenizer, PROMPTS[0]) == " Paris"
    assert probabilities.max() > 0.9


def test_most_capitals_are_right(model: GPT2, tokenizer: Tokenizer) -> None:
    right = [c for c, k in CAPITALS.items() if top_token(model, tokenizer, f"The capital of {c} is") == f" {k}"]
    assert len(right) >= 40, sorted(set(CAPITALS) - set(right))


def test_countries_and_capitals_are_single_tokens(tokenizer: Tokenizer) -> None:
    assert all(len(tokenizer.encode(f" {name}").ids) == 1 for pair in CAPITALS.items() for name in pair)


def test_other_everyday_completions(model: GPT2, tokenizer: Tokenizer) -> None:
    assert top_token(model, tokenizer, "The opposite of hot is") == " cold"
    assert top_token(model, tokenizer, "The day after Monday is") == " Tuesday"


@torch.no_grad()
def test_logits_are_those_of_transformers(model: GPT2, tokenizer: Tokenizer) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(FOLDER, dtype=torch.float32).eval()
    for prompt in PROMPTS:
        ids = torch.tensor([tokenizer.encode(prompt).ids])
        torch.testing.assert_close(model(ids), theirs(ids).logits, atol=1e-4, rtol=0)


def test_transformers_reads_the_same_tokenizer(tokenizer: Tokenizer) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(FOLDER)
    assert all(theirs(prompt)["input_ids"] == tokenizer.encode(prompt).ids for prompt in PROMPTS)
    assert theirs.pad_token_id == theirs.bos_token_id == theirs.eos_token_id == tokenizer.token_to_id("<|endoftext|>")


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padding_changes_nothing_at_real_tokens(model: GPT2, tokenizer: Tokenizer, side: str) -> None:
    rows = [tokenizer.encode(prompt).ids for prompt in PROMPTS]
    ids, mask = padded(rows, side)
    logits = model(ids, mask)
    assert logits.isfinite().all()
    for row, got, real in zip(rows, logits, mask.bool(), strict=True):
        torch.testing.assert_close(got[real], model(torch.tensor([row]))[0], atol=1e-4, rtol=0)


def test_a_mask_of_ones_is_no_mask(model: GPT2) -> None:
    ids = torch.arange(1, 9)[None]
    assert torch.equal(model(ids, torch.ones_like(ids)), model(ids))


def test_a_prompt_too_long_says_what_to_do(model: GPT2) -> None:
    limit = model.config.n_positions
    with pytest.raises(ValueError, match=f"at most {limit} tokens"):
        model(torch.zeros(1, limit + 1, dtype=torch.long))


def test_loading_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("loading the default model opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    loaded = load_gpt2(FOLDER)
    assert not loaded.training
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
