"""The best components as users hold them: what they are, what proves it, where they come from, how they are kept."""

import json
from functools import cache
from math import inf

import polars
import pyarrow.parquet
import pytest
import torch
import transformers

import mainstem as ms
import real
from zoo import SMALL, ZOO, ids, pixels

PROMPTS = ["The capital of France is", "Once upon a time there was a little"]


@cache
def trace(padding: str | None = None) -> ms.Trace:
    return real.model("default").trace(PROMPTS, padding=padding) if padding else real.model("default").trace(PROMPTS[0])


@cache
def best(top: int = 6, level: str = "neuron", by: str = "logprob_increase"):
    return trace().scores(" Paris", level, by, top=top)


@cache
def everywhere(padding: str = "right"):
    return trace(padding).scores(5, "head", "logprob_increase", "all", top=3)


@pytest.mark.parametrize(
    ("by", "level"), [("logprob_increase", "neuron"), ("prob_increase", "head"), ("dla", "edge"), ("dla", "write")]
)
def test_the_best_are_those_of_all_rows(by, level):
    found, rows = best(5, level, by), trace().scores(" Paris", level, by, within=None if by == "dla" else 0.0)
    parts = [g for g in rows.parts.groups if g.axes or (level == "write" and g.kind not in ("constant", "transport"))]
    values = torch.cat([g.flat().flatten() for g in parts]).double()
    torch.testing.assert_close(found.tops.values[0].double(), values.topk(5).values, rtol=1e-6, atol=1e-6)
    assert float(found.next()) >= float(values.topk(6).values[-1]) - 1e-6
    assert found.choices["of"] == len(values)


def test_scores_are_those_of_the_components():
    rows = trace().scores(" Paris", "neuron", "logprob_increase", within=0.0)
    for label, value in best().top():
        assert value == pytest.approx(float(rows[label]), abs=1e-9)
    assert len(best()) == len(best().top()) == 6
    assert best().top(2) == best().top()[:2]
    with pytest.raises(ms.InputError, match="takes 1 or more, not 0"):
        best().top(0)


def test_its_choices_say_how_it_was_made():
    choices = best().choices
    assert choices["by"] == "logprob_increase" and choices["level"] == "neuron" and choices["certified"]
    assert (choices["norm"], choices["norm_bias"], choices["base"]) == ("own", True, "before")
    assert choices["of"] == 4608 and choices["worked_out"] < 1000
    assert choices["target"] == "logprob increase of ' Paris'" and choices["model"] == "default"
    other = trace().scores(" Paris", "head", "logprob_increase", norm="final", norm_bias=False, base="last", top=2).choices
    assert (other["norm"], other["norm_bias"], other["base"]) == ("final", False, "last")


def test_more_than_there_are_is_all_of_them():
    found = best(10_000, "head")
    assert len(found) == found.choices["of"] == 36
    assert found.next() == -inf
    assert found.to_dict()["next"] is None
    assert repr(found).splitlines()[-1] == "  there are no others"
    assert json.dumps(found.to_dict())


def test_one_is_enough():
    found = best(1)
    assert found.top() == best().top()[:1]
    assert best().top()[1][1] <= found.next() <= found.top()[0][1]


def test_it_prints_what_it_holds():
    text = repr(best())
    assert text.splitlines()[0] == "the 6 best of 4,608 by logprob_increase; logprob increase of ' Paris'"
    assert all(f"{label:<18} {value:+.4f}" in text for label, value in best().top())
    assert text.splitlines()[-1] == f"  every other one     at most {best().next():+.4f}"


def real_places(padding: str, prompt: int) -> list[int]:
    return trace(padding)._inputs.mask[prompt].nonzero().flatten().tolist()


@pytest.mark.parametrize("padding", ["right", "left"])
def test_every_place_has_its_own(padding):
    found = everywhere(padding)
    for prompt in range(2):
        real = real_places(padding, prompt)
        assert found.top(prompt=prompt) == found.top(prompt=prompt, position=real[-1]), "the last place is the last token's"
        for position in real:
            values = [value for _, value in found.top(prompt=prompt, position=position)]
            assert values == sorted(values, reverse=True) and found.next(prompt, position) <= values[-1]
            assert found.to_dict(prompt, position)["position"] == position
        assert found.to_dict(prompt)["position"] == real[-1]
    assert found.top(prompt=1) == found.top(prompt=1, position=-1)
    assert found.top(prompt=1, position=0) != found.top(prompt=1, position=1)


@pytest.mark.parametrize(
    ("prompt", "position", "said"),
    [
        (2, None, "there is no prompt 2: there are 2, counted from 0"),
        (-1, None, "there is no prompt -1"),
        (0, 99, r"there is no position 99: there are \d+, counted from 0 \(or back from -1\)"),
        (0, -99, "there is no position -99"),
        (0, -1, "position -1 of prompt 0 is padding, where nothing is scored"),
    ],
)
def test_places_that_are_not_there(prompt, position, said):
    with pytest.raises(ms.InputError, match=said):
        everywhere().top(prompt=prompt, position=position)
    with pytest.raises(ms.InputError, match=said):
        everywhere().next(prompt, position)


def test_a_tidy_frame_of_it():
    frame = best().frame()
    assert len(frame) == 6
    assert frame["rank"].to_list() == list(range(6))
    assert list(zip(frame["component"], frame["value"], strict=True)) == best().top()
    assert set(frame["write"]) <= {f"L{i}.mlp" for i in range(6)}
    for row in frame.iter_rows(named=True):
        assert row["component"] == f"L{row['layer']}.mlp.N{row['neuron']}"
    every, real = everywhere().frame(), [(b, t) for b in range(2) for t in real_places("right", b)]
    assert len(every) == 3 * len(real)
    assert sorted(every.select("prompt", "position").unique().rows()) == sorted(real), "rows of padding"


@pytest.mark.parametrize("name", ["best.parquet", "best.csv"])
def test_it_is_stored_and_read(tmp_path, name):
    path = best().save(tmp_path / name)
    read = polars.read_parquet(path) if name.endswith("parquet") else polars.read_csv(path)
    assert read["component"].to_list() == [label for label, _ in best().top()]
    if name.endswith("parquet"):
        kept = b"".join(pyarrow.parquet.read_schema(path).metadata.values())
        assert b"certified" in kept and trace().provenance.weights.encode() in kept


def test_another_form_is_refused(tmp_path):
    with pytest.raises(ms.InputError, match="parquet"):
        best().save(tmp_path / "best.xlsx")


@pytest.mark.parametrize("top", [0, -3, True])
def test_how_many_is_a_whole_number(top):
    with pytest.raises(ms.InputError, match="top is how many to take, a whole number from 1"):
        trace().scores(" Paris", by="logprob_increase", top=top)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"by": "logprob"}, "no score 'logprob'; there are"),
        ({"level": "layer"}, "no level 'layer'; there are write, head, edge, dim, neuron"),
        ({"base": "first"}, "no base 'first'; there are before, last"),
        ({"norm": "mine"}, "no norm rule 'mine'; there are own, final, none"),
        ({"by": "dla", "norm": "final"}, "by='dla' has no choice of norm"),
    ],
)
@pytest.mark.parametrize("top", [None, 3])
def test_choices_that_are_not_there(choices, said, top):
    with pytest.raises(ms.InputError, match=said):
        trace().scores(" Paris", **{"by": "logprob_increase", "level": "head", "top": top} | choices)


def test_a_norm_that_cannot_be_left_out():
    with pytest.raises(ms.InputError, match="this model's readout is not one norm and one matrix"):
        ms.load(ZOO["bert"]()[0]).trace([[3, 4, 5]]).scores(5, by="logprob_increase", norm="none", top=2)
    with pytest.raises(ms.InputError, match="its norm cannot be left out, nor its bias"):
        ms.load(ZOO["vit"]()[0]).trace(pixels(size=16)).scores(1, by="logprob_increase", norm_bias=False, top=2)


def test_a_level_that_takes_nothing_apart():
    with pytest.raises(ms.InputError, match="nothing in this model is taken apart at level 'head'"):
        ms.load(ZOO["mamba"]()[0]).trace([[3, 4, 5]]).scores(5, "head", "logprob_increase", top=2)


def test_weights_that_became_no_numbers():
    module = ZOO["llama"]()[0]
    model = ms.load(module)
    assert model.trace([[3, 4, 5]]).scores(5, by="logprob_increase", top=2).next() < inf
    with torch.no_grad():
        module.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
    spoiled = model.trace([[3, 4, 5]])
    for top in (None, 2):
        with pytest.raises(ms.InputError, match="the target's logit is -inf or no number: .* its weights hold NaN"):
            spoiled.scores(5, by="logprob_increase", top=top)


def test_images_have_their_best():
    found = ms.load(ZOO["resnet"]()[0]).trace(pixels()).scores(1, "neuron", "logprob_increase", top=4)
    assert found.tops.shape == (2,)
    assert found.top(prompt=1)[0][1] >= found.top(prompt=1)[-1][1] >= found.next(1)
    assert found.choices["worked_out"] == found.choices["of"]


def test_two_targets_and_a_contrast():
    held = trace("right")
    found = held.scores([" Paris", " girl"], by="logprob_increase", level="head", top=2)
    assert found.target == ("logprob increase of ' Paris'", "logprob increase of ' girl'")
    assert found.to_dict(1)["choices"]["target"] == "logprob increase of ' girl'"
    odds = held.scores(ms.contrast(" Paris", " girl"), by="logprob_increase", level="head", norm="final", top=40)
    rows = held.scores(ms.contrast(" Paris", " girl"), by="logprob_increase", level="head", norm="final", within=0.0)
    for label, value in odds.top(prompt=1):
        assert value == pytest.approx(float(rows[label][1]), abs=1e-9)


@pytest.mark.parametrize("norm", ["own", "final"])
def test_a_model_whose_entry_and_logits_are_multiplied(norm):
    torch.manual_seed(0)
    config = transformers.GraniteConfig(**SMALL, num_key_value_heads=2, logits_scaling=8.0, embedding_multiplier=12.0)
    held = ms.load(transformers.GraniteForCausalLM(config).eval()).trace(ids(2, 6))
    found = held.scores(7, "neuron", "logprob_increase", norm=norm, top=5)
    rows = held.scores(7, "neuron", "logprob_increase", norm=norm, within=0.0)
    for prompt in range(2):
        wanted = torch.cat([g.flat()[:, prompt] for g in rows.parts.groups if g.axes]).topk(5).values.tolist()
        assert [value for _, value in found.top(prompt=prompt)] == pytest.approx(wanted, abs=1e-9)
