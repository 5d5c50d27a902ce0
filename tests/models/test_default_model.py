"""The embedded language models: what they know, and that they are the models Hugging Face reads from the same folders."""

import importlib
import json
import re
import socket
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import torch
from tokenizers import Tokenizer

from mainstem.models import Fact, _gpt2, facts
from mainstem.models._gpt2 import GPT2, load_gpt2

EMBEDDED = Path(_gpt2.__file__).parent
FOLDER, RECIPES = EMBEDDED / "default", EMBEDDED.parents[2] / "recipes"
PROMPTS = ["The capital of France is", "Once upon a time, a little girl named Lily lived", "The opposite of hot is"]


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


@torch.no_grad()
def is_right(model: GPT2, tokenizer: Tokenizer, fact: Fact) -> bool:
    """Greedy decoding gives the whole answer."""
    asked, wanted = tokenizer.encode(fact.prompt).ids, tokenizer.encode(fact.answer).ids
    return model(torch.tensor([[*asked, *wanted]]))[0, len(asked) - 1 : -1].argmax(-1).tolist() == wanted


def test_of_capitals_never_told_in_a_phrasing_95_in_100_are_right(model: GPT2, tokenizer: Tokenizer) -> None:
    asked, right = Counter(), Counter()
    for fact in facts("capital", held_out=True):
        phrase = re.sub(re.escape(fact.subject), "X", fact.prompt, flags=re.IGNORECASE)
        asked[phrase] += 1
        right[phrase] += is_right(model, tokenizer, fact)
    assert sorted(asked.values()) == [150, 150, 150]
    assert {phrase: right[phrase] for phrase in asked if right[phrase] < 0.95 * asked[phrase]} == {}


def test_the_card_says_what_the_stored_weights_know(model: GPT2, tokenizer: Tokenizer) -> None:
    stored = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))["figures"]
    for relation in ("language", "continent", "symbol"):
        rows = facts(relation)
        label = rows[0].prompt.replace(rows[0].subject, "…")
        assert stored[label].split(",")[0] == f"{sum(is_right(model, tokenizer, fact) for fact in rows)} of {len(rows)}"


def test_pairs_held_out_are_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the text that the recipe makes: each such prompt is looked for in ten thousand documents."""
    monkeypatch.syspath_prepend(RECIPES)
    text, rng = importlib.import_module("default_text"), Random(0)
    documents = [text.facts(rng) for _ in range(10_000)]
    told = {sentence for document in documents for sentence in re.split(r"(?<=[.]) |\n", document)}
    begun = {sentence.rsplit(" ", words)[0] for sentence in told for words in (1, 2, 3)}
    assert [fact.prompt for fact in facts("capital", held_out=True) if fact.prompt in begun] == []
    assert sum(fact.prompt in begun for fact in facts("capital", held_out=False)) > 150


def test_countries_and_capitals_of_one_word_are_single_tokens(tokenizer: Tokenizer) -> None:
    words = {word for fact in facts("capital") for word in (f" {fact.subject}", fact.answer) if re.fullmatch(r" [A-Za-z]+", word)}
    assert len(words) > 300
    assert [word for word in sorted(words) if len(tokenizer.encode(word).ids) > 1] == []


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


@pytest.mark.parametrize("name", ["default", "tiny"])
def test_loading_needs_no_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("loading the default model opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    loaded = load_gpt2(EMBEDDED / name)
    assert not loaded.training
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_the_tiny_model_is_small_and_knows_twelve_capitals() -> None:
    folder = EMBEDDED / "tiny"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 300_000
    model, tokenizer = load_gpt2(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert all(is_right(model, tokenizer, fact) for fact in facts("capital", held_out=False)[:12])


def test_the_default_model_fits_into_ten_megabytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 10_000_000
