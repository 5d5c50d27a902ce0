"""Caveats: a planted writer whose write is erased, one that is backed up, one that is left alone; and each number by hand."""

import pytest
import torch

import mainstem as ms
import nets
from mainstem.core import InputError
from mainstem.find import find
from mainstem.score import Choices, caveats, score_named
from mainstem.stream import Pass, carry, take
from score.test_alternatives import made, same
from stream._runs import main, passes, plant_biases

TIGHT = {"rtol": 1e-9, "atol": 1e-11}


def planted(kind: str) -> Pass:
    torch.manual_seed(0)
    module, ids = nets.Erasing(kind).double().eval(), torch.tensor([[1, 3, 2], [2, 1, 0]])
    return take(module, find(module, ids), (ids,), {})


def of(run: Pass, level: str, k: int = 100, by: str = "logprob_increase", **how):
    return {(c.component, c.prompt): c for c in caveats(run, same(run, [1], None), by, Choices(level), k, **how)}


@pytest.mark.parametrize(("level", "label"), [("neuron", "L0.mlp.N0"), ("write", "L0.mlp")])
def test_a_planted_eraser_takes_all_of_what_was_written(level, label):
    run = planted("eraser")
    for prompt in range(2):
        found = of(run, level)[label, prompt]
        if level == "neuron":
            assert found.kept == pytest.approx(0, abs=1e-12) and found.erased == pytest.approx(-1, abs=1e-12)
            assert found.live == pytest.approx(0, abs=1e-12)  # the eraser leaves nothing with it or without it
        else:  # the second neuron's write stays: 1 of 3^2 + 1^2
            assert found.kept == pytest.approx(0.1, abs=1e-12) and found.erased == pytest.approx(-0.9, abs=1e-12)
        assert found.eraser == "L1.mlp"
        assert abs(found.frozen) > 0.1 and found.repair == pytest.approx(found.live - found.frozen)


def test_a_planted_backup_makes_up_for_the_writer_and_is_seen_in_the_live_run_alone():
    found = of(planted("backup"), "neuron")["L0.mlp.N0", 0]
    assert found.kept == pytest.approx(1) and found.overlap == pytest.approx(1) and (found.eraser, found.erased) == (None, 0.0)
    assert abs(found.frozen) > 0.1 and found.live == pytest.approx(0, abs=1e-12)
    assert found.repair == pytest.approx(-found.frozen)


def test_what_is_built_upon_loses_more_in_the_live_run():
    run = planted("bystander")
    found = of(run, "neuron")["L0.mlp.N0", 0]
    assert found.kept == pytest.approx(1) and found.eraser is None
    x, head = run.point(2)[0, -1].detach(), run.module.head.weight.detach()
    gone, both = x.clone(), x.clone()
    gone[0] -= 3
    both[0], both[3] = both[0] - 3, both[3] - 6
    logp = [float((head @ y).log_softmax(-1)[1]) for y in (x, gone, both)]
    assert found.frozen == pytest.approx(logp[0] - logp[1])
    assert found.live == pytest.approx(logp[0] - logp[2])


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "gemma2", "granite", "resnet"])
def test_every_number_is_what_it_is_said_to_be(name):
    run = passes(name, change=plant_biases)[0]
    last, level = len(run.stream.points) - 1, "neuron"
    goal, found = same(run, [1], None), of(passes(name, change=plant_biases)[0], "neuron", 6)
    dla, increase, live = (
        score_named(by).rows(run, goal, Choices(level, **how))
        for by, how in (("dla", {}), ("logprob_increase", {"within": 0.0}), ("ablation", {"zeroed": "here"}))
    )
    there = (slice(None), -1) if run.output().ndim == 3 else (slice(None),)
    carried, writes = carry(run, last, level), carry(run, last, "write")
    order = [w.label for w in (*run.stream.entry, *run.stream.writes)]
    x = run.point(last)[there].flatten(1)
    for (label, prompt), one in found.items():
        assert [one.dla, one.logprob_increase, one.live] == pytest.approx(
            [float(p[label][prompt]) for p in (dla, increase, live)], rel=1e-8, abs=1e-10
        )
        v = carried[label][there][prompt].flatten()
        behind = order[order.index(label.rpartition(".")[0]) + 1 :]
        shares = {w: float(writes[w][there][prompt].flatten() @ v / (v @ v)) for w in behind}
        assert one.kept == pytest.approx(1 + sum(shares.values())) and one.overlap == pytest.approx(
            float(x[prompt] @ v / (v @ v))
        )
        least = min(shares, key=shares.get, default=None)
        assert (one.eraser, one.erased) == ((least, pytest.approx(shares[least])) if least and shares[least] < 0 else (None, 0.0))


def test_the_frozen_response_is_the_score_against_the_last_point():
    run = main("llama")
    down = score_named("logprob_increase").rows(run, same(run, [1], None), Choices("head", base="last"))
    for (label, prompt), one in of(run, "head").items():
        assert one.frozen == pytest.approx(float(down[label][prompt]), rel=1e-9, abs=1e-12)


def test_parts_are_the_best_of_each_prompt_by_the_score_that_is_named_in_its_order():
    run = main("gpt2")
    for by in ("logprob_increase", "dla", "coefficient_norm"):
        rows = caveats(run, same(run, [1], None), by, Choices("head"), 3)
        parts = score_named(by).rows(run, same(run, [1], None), Choices("head"))
        for prompt in range(2):
            want = sorted((float(parts[f"L{i}.attn.H{h}"][prompt]) for i in range(2) for h in range(4)), reverse=True)[:3]
            assert [float(parts[c.component][prompt]) for c in rows if c.prompt == prompt] == pytest.approx(want)


def test_parts_of_the_entry_are_taken_out_of_it():
    run = main("gpt2")
    found = of(run, "write", by="dla")
    assert {label for label, _ in found} >= {"entry.embed", "entry.pos"}
    assert all(torch.isfinite(torch.tensor([c.live, c.frozen, c.kept, c.logprob_increase])).all() for c in found.values())


def test_several_places_of_a_prompt_are_refused():
    run = main("gpt2")
    with pytest.raises(InputError, match="one place of every prompt"):
        caveats(run, same(run, [1], None, every=True), "dla", Choices(), 3)
    places = torch.tensor([[0, 4], [0, 5], [1, 2]])
    sequence = made(places, torch.ones(3, 1, dtype=torch.long), None, torch.Size([2]), places[:, 0])
    with pytest.raises(InputError, match="one place of every prompt"):
        caveats(run, sequence, "dla", Choices(), 3)


def test_from_the_door():
    trace = ms.load("tiny").trace(["The capital of France is", "The capital of Spain is a"])
    frame = trace.caveats(level="head", top=2, norm="final")
    assert frame["rank"].to_list() == [0, 1, 0, 1] and frame["prompt"].to_list() == [0, 0, 1, 1]
    assert frame["token"].to_list() == [trace.tokens[p][i] for p, i in zip(frame["prompt"], frame["position"], strict=True)]
    assert set(frame["norm"]) == {"final"} and set(frame["by"]) == {"logprob_increase"}
    assert frame.columns[-9:] == ["dla", "logprob_increase", "frozen", "live", "repair", "kept", "overlap", "eraser", "erased"]
    best = trace.scores(level="head", by="logprob_increase", top=2, norm="final")
    assert frame["component"].to_list() == [label for cell in best.tops.labels for label in cell]
    torch.testing.assert_close(
        torch.tensor(frame["logprob_increase"].to_list()), best.tops.values.flatten().float(), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(InputError, match="one place of every prompt"):
        trace.caveats(positions="all")
    with pytest.raises(InputError, match="no score 'worst'"):
        trace.caveats(by="worst")
