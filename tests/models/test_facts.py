"""What the default model was taught, as data: whole, said once, and each held-out pair in a phrasing of its own."""

from collections import Counter

import pytest

import mainstem as ms

RELATIONS = ["capital", "language", "continent", "symbol"]


def test_the_relations_that_there_are():
    assert list(dict.fromkeys(fact.relation for fact in ms.facts())) == RELATIONS
    assert [fact for relation in RELATIONS for fact in ms.facts(relation)] == ms.facts()
    with pytest.raises(ms.InputError, match="no relation 'river'; there are capital, language, continent, symbol"):
        ms.facts("river")


@pytest.mark.parametrize(("relation", "least"), [("capital", 150), ("language", 120), ("continent", 150), ("symbol", 50)])
def test_each_relation_is_known_of_many(relation: str, least: int):
    told = ms.facts(relation, held_out=False)
    assert len({fact.subject for fact in told}) == len(told) >= least


def test_held_out_or_not_are_all():
    counted = Counter(ms.facts(held_out=True) + ms.facts(held_out=False))
    assert counted == Counter(ms.facts())
    assert all(fact.held_out for fact in ms.facts(held_out=True))
    assert not any(fact.held_out for fact in ms.facts(held_out=False))


def test_no_prompt_is_there_twice():
    prompts = Counter(fact.prompt for fact in ms.facts())
    assert not [prompt for prompt, times in prompts.items() if times > 1]


def test_a_prompt_names_its_subject_and_an_answer_goes_on_from_it():
    for fact in ms.facts():
        said = fact.phrasing.format(fact.subject)
        assert fact.subject in said and fact.prompt == said[0].upper() + said[1:]
        assert fact.prompt == fact.prompt.strip() and fact.prompt[0].isupper()
        assert fact.answer == f" {fact.answer.strip()}" and fact.answer.strip()


def test_held_out_capitals_are_asked_in_three_other_phrasings_of_150_countries_each():
    told = {fact.phrasing for fact in ms.facts("capital", held_out=False)}
    asked = Counter(fact.phrasing for fact in ms.facts("capital", held_out=True))
    assert sorted(asked.values()) == [150, 150, 150]
    assert not told & asked.keys()


def test_a_held_out_answer_is_the_one_that_was_told():
    told = {(fact.relation, fact.subject): fact.answer for fact in ms.facts(held_out=False)}
    assert all(told[fact.relation, fact.subject] == fact.answer for fact in ms.facts(held_out=True))


def test_the_prompts_of_a_relation_end_in_one_and_the_same_token():
    """So that a score at the last position is about the subject and not about the phrasing."""
    codec = ms.load("default").ids
    for relation in RELATIONS:
        assert len({codec(fact.prompt)[-1] for fact in ms.facts(relation, held_out=False)}) == 1
