"""Generation with edits: from a cache as without one, token by token, and as a loop of traces says."""

from typing import Any

import pytest
import torch

import mainstem as ms
import real
from zoo import ZOO

NAMES = ["gpt2", "llama", "falcon", "mixtral", "gemma2", "cohere", "granite", "olmo2"]


def causal(name: str) -> ms.Model:
    """A small model that gives unlike tokens."""
    if name not in ZOO:
        pytest.skip(f"no {name} in the zoo of this release")
    module, _, _ = ZOO[name]()
    module.generation_config.eos_token_id = None
    return ms.load(module if name == "mixtral" else module.double())  # grouped products are of single precision


def edits(made: ms.Model, ids: list[int]) -> dict[str, ms.Edit]:
    """Edits of every kind."""
    other = made.trace(ids[::-1])
    width, write = other.stream.width, other.stream.writes[0].label
    v = torch.randn(width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return {
        "zero": ms.zero(other.stream.writes[1].label),
        "scale": ms.scale(write, by=3.0),
        "steer": ms.steer(v, at=other.stream.points[2].name),
        "steer a token": ms.steer(5 * v, at=other.stream.points[1].name, positions=(1, -1)),
        "patch": ms.patch(other.stream.points[1].name, source=other),
        "patch the end": ms.patch(other.stream.points[2].name, source=other, positions=-1),
        "resample": ms.resample(write, source=other, seed=3),
        "without": ms.without_skip("L1"),
        "head": ms.scale("L1.attn.H1", by=-8.0),
        "edge": ms.scale("L1.attn.H3<-2", by=-20.0),
    }


@pytest.mark.parametrize("name", NAMES)
def test_from_a_cache_is_as_without_one_and_as_a_loop_of_traces(name):
    made, ids = causal(name), [5, 9, 23, 4, 17]
    plain = made.generate(ids, 6).ids
    said = {}
    for kind, edit in edits(made, ids).items():
        cached, uncached = made.generate(ids, 6, edit).ids, made.generate(ids, 6, edit, cache=False).ids
        assert cached == uncached, kind
        drawn = [made.generate(ids, 6, edit, temperature=1.5, seed=1, cache=cache).ids for cache in (True, False)]
        assert drawn[0] == drawn[1], kind
        with made.edited(edit):
            assert made.generate(ids, 6).ids == cached, kind
        said[kind] = cached
        if kind in ("zero", "scale", "steer", "without", "head", "edge"):
            row = list(ids)
            for token in cached[0]:
                assert int(made.trace(row, edits=edit).logits[0, -1].argmax()) == token, kind
                row.append(token)
    assert made.generate(ids, 6).ids == plain, "nothing of an edit stays"
    assert len({*said.values()} - {plain}) > 2, "the edits say something"


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_prompts_of_different_lengths_go_on_as_alone(name):
    made, rows = causal(name), [[5, 9, 23, 4, 17], [8, 3]]
    edit = ms.zero(made.map.main.writes[0].label, positions=(0, -1)) + ms.scale("L1.mlp", by=2)
    both = made.generate(rows, 5, edit).ids
    assert both == (made.generate(rows[0], 5, edit).ids[0], made.generate(rows[1], 5, edit).ids[0])
    with pytest.raises(ms.InputError, match="padding='left'"):
        made.generate(rows, 5, edit, padding="right")


def test_an_encoder_is_edited_once_and_its_decoder_at_every_step():
    module, _, kwargs = ZOO["t5"]()
    made, ids = ms.load(module), kwargs["input_ids"][:1]
    edit = ms.zero("enc.L0.attn", "dec.L1.cross.H2")
    cached = made.generate(ids, 5, edit).ids
    assert cached == made.generate(ids, 5, edit, cache=False).ids
    with torch.no_grad():
        module.encoder.block[0].layer[0].SelfAttention.o.weight.zero_()
        module.decoder.block[1].layer[1].EncDecAttention.o.weight[:, 16:24].zero_()
    assert cached == made.generate(ids, 5).ids


def test_a_model_without_generate_goes_on_too():
    made = real.model("default")
    found = made.generate("The capital of France is", 3)
    assert str(found).startswith("The capital of France is Paris.")
    both = made.generate(["The capital of France is", "Rome is the capital of"], 2)
    assert both.texts[0] == made.generate("The capital of France is", 2).texts[0]
    assert both.texts[1] == made.generate("Rome is the capital of", 2).texts[0]
    other = made.trace("The capital of Italy is")
    patched = made.generate("The capital of France is", 1, ms.patch("L2.resid_post", source=other))
    assert patched.texts[0] == " Rome"


def test_what_is_said_ends_where_the_model_ends_it():
    made = real.model("default")
    found = made.generate("The capital of France is", 12)
    assert found.texts == (" Paris.",)
    assert len(made.generate("The capital of France is", 12, stop=-1).ids[0]) == 12


@pytest.mark.parametrize("name", ["default", "llama"])
def test_the_seed_says_what_is_drawn(name):
    made: Any = real.model("default") if name == "default" else causal(name)
    data = "Once upon a time" if name == "default" else [5, 9, 2]
    one, two, three = (made.generate(data, 12, temperature=2.0, seed=seed).ids for seed in (1, 1, 2))
    assert one == two != three


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: m.generate("Tom", 0), "tokens is how many to say"),
        (lambda m: m.generate("Tom", 10**6), "this model reads at most"),
        (lambda m: m.generate("Tom", temperature=-1), "temperature is a number from 0"),
        (lambda m: m.generate(""), "the prompt is empty"),
        (lambda m: m.generate("Tom", edits="zero"), "edits are what mainstem.zero and its like give"),
        (lambda m: m.generate("Tom", edits=ms.zero("L9")), "no block 'L9'"),
    ],
)
def test_what_cannot_be_gone_on_with(call, said):
    with pytest.raises(ms.InputError, match=said):
        call(ms.load("tiny"))


def test_images_say_nothing():
    with pytest.raises(ms.InputError, match="was given no tokens|reads images"):
        ms.load("default-image").generate(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize("name", ["default", "llama"])
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"foo": 3}, "generate has no argument 'foo', and .* reads none of that name"),
        ({"temprature": 1.0}, "no argument 'temprature'.* Did you mean temperature"),
        ({"edit": None}, "no argument 'edit'.* Did you mean edits"),
    ],
)
def test_arguments_that_nothing_reads_are_named(name, more, said):
    made: Any = real.model("default") if name == "default" else causal(name)
    with pytest.raises(ms.InputError, match=said):
        made.generate([5, 9, 2], 2, **more)


def test_arguments_of_the_module_and_of_its_own_generate_pass():
    made = causal("llama")
    assert made.generate([5, 9, 2], 2, num_beams=1).ids == made.generate([5, 9, 2], 2).ids
    with pytest.raises(ms.InputError, match="max_new_tokens is said by tokens"):
        made.generate([5, 9, 2], 2, max_new_tokens=3)
