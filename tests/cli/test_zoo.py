"""`mainstem verify --zoo`: what is passed on, what is printed, how it ends."""

import json

import pytest

ROW = {"kind": "causal", "model_type": "a", "name": "AForCausalLM", "status": "closed", "reason": "", "seconds": 1.25}
CLOSED = ROW | {"streams": {"main": 4}, "closure": ["float64", 1e-15, 1e-12]}


@pytest.fixture
def asked(monkeypatch) -> dict:
    """A zoo of given rows, and what it was asked for."""
    from mainstem import api

    seen: dict = {"rows": [CLOSED]}

    def planted(*given):
        seen["given"] = given
        yield from seen["rows"]

    monkeypatch.setattr(api, "verify_zoo", planted)
    return seen


def test_all_closed_ends_well(typed, asked, tmp_path):
    said = typed("verify", "--zoo", "--out", tmp_path, "--kind", "causal", "--only", "a", "--fresh", "--workers", 1)
    assert said.code == 0
    assert asked["given"] == (tmp_path, ["causal"], ["a"], True, 1, 120.0)
    assert "AForCausalLM" in said.out and "causal   1 closed" in said.out


def test_one_open_is_an_exit_code(typed, asked):
    asked["rows"] = [CLOSED, ROW | {"name": "B", "status": "open", "reason": "cut: no"}]
    said = typed("verify", "--zoo")
    assert said.code == 1
    assert "causal   1 closed, 1 not closed" in said.out


def test_what_was_not_built_is_no_failure(typed, asked):
    asked["rows"] = [ROW | {"status": "unbuilt", "reason": "no"}, ROW | {"status": "streamless", "reason": "no"}]
    assert typed("verify", "--zoo").code == 0


def test_json_is_the_rows(typed, asked):
    assert json.loads(typed("verify", "--zoo", "--json").out) == [CLOSED]


def test_options_of_the_zoo_without_it_are_said(typed):
    found = typed("verify", "--kind", "causal")
    assert found.code == 2
    assert "add --zoo" in found.err
