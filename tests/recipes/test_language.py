"""The recipe of the embedded language models: training that goes on where it was, orthogonal updates, a storyteller like transformers'."""

import importlib
import struct
from pathlib import Path
from types import ModuleType

import pytest
import torch
from tokenizers import Tokenizer

from mainstem.models._gpt2 import GPT2, GPT2Config

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(RECIPES)
    return importlib.import_module


def made(training: ModuleType, steps: int) -> tuple[GPT2, Tokenizer, dict, "object"]:
    """A small model, some text, and the plan of a run."""
    texts = [f"The capital of {c} is {k}." for c, k in [("France", "Paris"), ("Italy", "Rome"), ("Spain", "Madrid")] * 40]
    tokenizer = training.train_tokenizer(texts, 300, {"Paris"})
    torch.manual_seed(0)
    model = GPT2(GPT2Config(tokenizer.get_vocab_size(), 32, 16, 1, 2))
    text = {"facts": training.Text(texts, tokenizer, 0.1)}
    return model, tokenizer, text, training.Plan(steps, 0, {"facts": (4, 12)})


@pytest.mark.parametrize("shape", [(8, 8), (16, 48), (48, 16), (1, 5)])
def test_an_orthogonal_update_has_singular_values_near_one(recipe, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(recipe("muon").orthogonal(torch.randn(shape), steps=8))
    assert 0.6 < values.min() <= values.max() < 1.3


def test_a_run_that_was_cut_off_ends_with_the_same_weights(
    recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training = recipe("language_training")
    monkeypatch.setattr(training, "EVALUATE_EVERY", 3)
    whole, _, text, plan = made(training, 6)
    training.train(whole, text, text, plan, tmp_path / "whole")

    cut, _, text, first = made(training, 6)
    steps = iter(range(4))

    def until_the_fifth(*arguments: object) -> None:
        next(steps)
        train_step(*arguments)

    train_step = training.train_step
    monkeypatch.setattr(training, "train_step", until_the_fifth)
    with pytest.raises(StopIteration):
        training.train(cut, text, text, first, tmp_path / "cut")
    monkeypatch.setattr(training, "train_step", train_step)
    again, _, text, second = made(training, 6)
    training.train(again, text, text, second, tmp_path / "cut")

    assert "going on from step 3" in capsys.readouterr().out
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    assert second.curve == plan.curve
    assert list(tmp_path.iterdir()) == []


def test_rows_start_with_documents_and_are_as_long_as_asked(recipe) -> None:
    training = recipe("language_training")
    _, tokenizer, text, _ = made(training, 1)
    rows = text["facts"].draw(200, 12, torch.Generator().manual_seed(0))
    assert rows.shape == (200, 13)
    first = tokenizer.encode("The").ids[0]
    starts, ends = (rows[:, 0] == first).float().mean(), (rows[:, 0] == tokenizer.token_to_id(training.END)).float().mean()
    assert starts > 0.7 and 0.02 < ends < 0.2


def test_a_name_that_is_several_tokens_is_refused(recipe) -> None:
    with pytest.raises(SystemExit, match="raise the vocabulary: .*Ouagadougou"):
        recipe("language_training").train_tokenizer(["Rome is old."], 260, {"Ouagadougou"})


def test_the_storyteller_is_transformers_llama(recipe) -> None:
    transformers = pytest.importorskip("transformers")
    teller = recipe("storyteller")
    d, hidden, layers, heads, vocab = 16, 24, 2, 2, 40
    torch.manual_seed(0)
    shapes = [
        (vocab, d),
        (layers, d),
        *[(layers, d, d)] * 4,
        (layers, d),
        (layers, hidden, d),
        (layers, d, hidden),
        (layers, hidden, d),
        (d,),
    ]
    weights = [torch.randn(shape).bfloat16().float() for shape in shapes]
    blob = struct.pack("7i", d, hidden, layers, heads, heads, vocab, 64) + b"".join(w.numpy().tobytes() for w in weights)
    ours = teller.Llama.read(blob)
    config = transformers.LlamaConfig(
        vocab_size=vocab, hidden_size=d, intermediate_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        rms_norm_eps=1e-5, tie_word_embeddings=True,
    )  # fmt: skip
    theirs = transformers.LlamaForCausalLM(config).eval()
    theirs.load_state_dict(hugging_face(weights, layers, heads), strict=False)
    ids = torch.randint(vocab, (3, 7))
    for name in ("embed", "norm1", "q", "k", "v", "o", "norm2", "gate", "down", "up", "final"):
        setattr(ours, name, getattr(ours, name).float())
    keys, values = torch.zeros(2, layers, 3, heads, 7, d // heads)
    with torch.no_grad():
        got = torch.stack([ours.logits(ids[:, i], i, keys, values) for i in range(7)], 1)
        torch.testing.assert_close(got, theirs(ids).logits, atol=2e-4, rtol=2e-4)


def hugging_face(weights: list[torch.Tensor], layers: int, heads: int) -> dict[str, torch.Tensor]:
    """The state dict of the same Llama, whose rotary pairs are two halves of a head instead of neighbours."""

    def halves(w: torch.Tensor) -> torch.Tensor:
        return w.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)

    embed, norm1, q, k, v, o, norm2, gate, down, up, final = weights
    state = {"model.embed_tokens.weight": embed, "lm_head.weight": embed, "model.norm.weight": final}
    for i in range(layers):
        parts = {
            "input_layernorm": norm1[i], "self_attn.q_proj": halves(q[i]), "self_attn.k_proj": halves(k[i]), "self_attn.v_proj": v[i],
            "self_attn.o_proj": o[i], "post_attention_layernorm": norm2[i], "mlp.gate_proj": gate[i], "mlp.down_proj": down[i],
            "mlp.up_proj": up[i],
        }  # fmt: skip
        state |= {f"model.layers.{i}.{name}.weight": value for name, value in parts.items()}
    return state


def test_pieces_and_stories_are_read(recipe) -> None:
    teller = recipe("storyteller")
    words = [b"<unk>", b"<s>", b"</s>", b" Once", b" \xe2\x80\x9cHi\xe2\x80\x9d", b"\n", b" \xc3\xa9t\xc3\xa9"]
    blob = struct.pack("i", 9) + b"".join(struct.pack("fi", 0.0, len(word)) + word for word in words)
    assert teller.pieces(blob) == words
    assert teller.told([3, 4, 5, 5, 3, 2, 6], words) == 'Once "Hi"\nOnce'
    assert teller.told([3, 3], words) is None, "it did not come to its end"
    assert teller.told([6, 1], words) is None, "what is not plain text is left out"


def test_a_package_that_is_not_the_one_meant_is_refused(recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    packages = recipe("packages")
    packages.cache_folder().mkdir(parents=True)
    (packages.cache_folder() / "thing-1.0.tgz").write_bytes(b"other")
    with pytest.raises(SystemExit, match="it is not the thing@1.0 meant. Delete it"):
        packages.npm_package("thing@1.0", "00")
