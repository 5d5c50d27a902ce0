"""Charts of real scores: which one a level gets, what stands above it, that its numbers are those of the scores."""

import xml.etree.ElementTree as ET
from functools import cache, partial

import pytest
import torch

import mainstem as ms
import real
from mainstem.view._ranking import _GAP as WORDS
from mainstem.view._tables import marked
from view._tables import drawn, rows_with
from zoo import ZOO

pytest.importorskip("altair")
PROMPT = "The capital of France is"
LEVELS = {"write": "layers", "head": "heads", "edge": "sources", "dim": "ranking", "neuron": "neurons"}
TITLES = {
    "layers": "Score by layer: ", "heads": "Score by layer and head: ", "sources": "Score by source: ",
    "ranking": "Strongest components: ", "neurons": "Strongest neurons: ",
}  # fmt: skip


@cache
def trace() -> ms.Trace:
    return real.model("default").trace(PROMPT)


@cache
def scores(level: str = "head", by: str = "dla") -> ms.Result:
    return trace().scores(" Paris", level, by)


def head(chart) -> tuple[str, str]:
    """Title and subtitle."""
    title = chart.to_dict()["title"]
    return tuple(" ".join(title[part]).replace("\u00a0", " ") for part in ("text", "subtitle"))


@pytest.mark.parametrize("by", ["dla", "logprob_increase"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_level_has_its_chart(level, by):
    chart = scores(level, by).chart()
    title, about = head(chart)
    assert title == f"{TITLES[LEVELS[level]]}{scores(level, by).target}"
    assert about.startswith(f"{PROMPT} default · by {by} · level {level} · ")
    assert about.endswith(f"sum {float(scores(level, by).whole):.4f}")
    assert chart.to_dict() == scores(level, by).chart(LEVELS[level]).to_dict()


@pytest.mark.parametrize("level", LEVELS)
def test_bars_by_layer_sum_to_the_logit(level):
    bars = rows_with(scores(level).chart("layers"), "left")
    assert sum(bar["value"] for bar in bars) == pytest.approx(float(scores(level).whole), abs=scores(level).bound)


def test_the_map_holds_the_heads():
    for cell in rows_with(scores("head").chart(), "head", "layer"):
        assert cell["value"] == float(scores("head")[f"L{cell['layer']}.attn.H{cell['head']}"])


def test_neurons_have_their_first_words():
    chart = scores("neuron").chart(k=3, words=trace().words)
    for row in rows_with(chart, "words"):
        first = trace().words(row["label"], 5).first
        assert row["words"] == WORDS.join(marked(word, 14) for word, _ in first)


@pytest.mark.parametrize("padding", ["left", "right"])
def test_words_are_those_at_the_scored_place(padding):
    seen = real.model("default").trace([PROMPT, "The opposite of"], padding=padding)
    best = seen.scores(" hot", "neuron", positions=1, top=4)
    of_one = seen.scores(" hot", "neuron", positions=1).prompt(1)
    charts = [best.chart(seen.words, prompt=1), of_one.chart(k=4, words=partial(seen.words, prompt=1))]
    for row in (row for chart in charts for row in rows_with(chart, "words")):
        first = seen.words(row["label"], 5, prompt=1, position=1).first
        assert row["words"] == WORDS.join(marked(word, 14) for word, _ in first)
        assert first != seen.words(row["label"], 5, prompt=1).first


def test_words_are_asked_for_once():
    asked = []

    def words(labels, *ends, **place):
        asked.append(labels)
        return trace().words(labels, *ends, **place)

    rows = rows_with(scores("neuron").chart(k=6, words=words), "words")
    assert asked == [[row["label"] for row in rows]] and len(rows) == 6


def test_a_token_stands_in_one_line_with_its_quotes():
    rivals = ms.contrast(ms.any_of(" Paris", " London", " Berlin", " Rome"), ms.any_of(" Vienna", " the", " one"))
    lines = trace().scores(rivals).chart().to_dict()["title"]["text"]
    assert len(lines) > 1 and all(line.count("'") % 2 == 0 for line in lines)


def test_numbers_of_tokens_do_not_run_together():
    found = ms.load(ZOO["gpt2"]()[0]).trace([[3, 14, 15]]).scores(5)
    assert head(found.chart())[1].startswith("3 14 15 ")


def test_a_negative_sum_has_a_true_minus():
    found = trace().scores(ms.contrast(" London", " Paris"))
    assert float(found.whole) < 0 and head(found.chart())[1].endswith(f"sum \u2212{-float(found.whole):.4f}")


def test_the_axis_names_the_unit():
    axes = {"dla": "direct logit attribution (logit)", "logprob_increase": "log-probability increase (nats)"}
    for by, name in (axes | {"prob_increase": "probability increase"}).items():
        assert scores("write", by).chart().to_dict()["layer"][0]["encoding"]["y"]["title"] == name


def test_the_highest_are_drawn_in_their_order():
    best = trace().scores(" Paris", "neuron", "logprob_increase", top=6)
    chart = best.chart(trace().words)
    assert [(row["component"], row["value"]) for row in rows_with(chart, "component")] == best.top()
    assert head(chart)[1].endswith(f"every other one at most {best.next():+.4f}")
    places = trace().scores(" Paris", "head", positions="all", top=3)
    there = places.chart(position=1)
    assert [row["component"] for row in rows_with(there, "component")] == [label for label, _ in places.top(position=1)]
    assert head(there)[1].startswith("The capital default")


def test_one_prompt_of_several_and_their_sum():
    found = real.model("default").trace([PROMPT, "The opposite of hot is"]).scores([" Paris", " cold"], "write")
    with pytest.raises(ms.InputError, match=r"chart\(\) draws one prompt at one position; here are batch 2"):
        found.chart()
    title, about = head(found.prompt(1).chart())
    assert title.endswith("' cold'") and about.startswith("The opposite of hot is default")
    assert head(found.sum("batch").chart())[1].startswith("2 prompts, summed default")


def test_a_scored_place_ends_the_prompt():
    assert head(trace().scores(" of", positions=1).chart())[1].startswith("The capital default")


def test_a_line_end_in_a_prompt_is_marked():
    found = real.model("default").trace("One day\nthe cat").scores(None)
    assert head(found.chart())[1].startswith("One day¶the cat default")


def test_what_scores_cannot_be_drawn_as():
    with pytest.raises(ms.InputError, match="no chart 'pie'; there are layers, heads, sources, neurons, ranking"):
        scores().chart("pie")
    with pytest.raises(ms.InputError, match='level="neuron"'):
        scores().chart("neurons")
    with pytest.raises(ms.InputError, match='level="edge"'):
        scores().chart("sources")
    with pytest.raises(ms.InputError, match=r'words stand in chart\("neurons"\)'):
        scores().chart("heads", words=trace().words)
    with pytest.raises(ms.InputError, match="one number a component"):
        real.model("default").trace("One").carry().chart()


@pytest.mark.parametrize("level", ["write", "neuron"])
def test_a_classifier(level, tmp_path):
    pytest.importorskip("vl_convert")
    seen = ms.load("default-image").trace(torch.rand(1, 3, 32, 32))
    chart = seen.scores("bird", level).chart(words=seen.words if level == "neuron" else None)
    assert head(chart)[1].startswith("default-image · by dla")
    shown = " ".join(ET.fromstring(chart.save(tmp_path / "chart.svg").read_bytes()).itertext())
    assert ("convolution" if level == "write" else "airplane") in shown
    assert all(len(table) < 100 for table in drawn(chart))


@pytest.mark.slow
def test_a_real_model_in_every_form(real_model, tmp_path):
    pytest.importorskip("vl_convert")
    seen = real.model(real_model("smollm2")).trace('The "quick" <b>\nfox jumps over the lazy', levels=("head", "neuron"))
    found = {level: seen.scores(" dog", level) for level in ("head", "neuron")}
    assert len(rows_with(found["head"].chart(), "head")) == 270
    for level, each in found.items():
        bars = rows_with(each.chart("layers"), "left")
        assert sum(bar["value"] for bar in bars) == pytest.approx(float(each.whole), abs=each.bound)
        for ending in (".png", ".svg", ".html"):
            assert each.chart().save(tmp_path / f"{level}{ending}").stat().st_size > 5000
