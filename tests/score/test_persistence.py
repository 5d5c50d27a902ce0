"""Persistence and erasure: a planted eraser with and without what it erases, every number by hand, norms frozen by hand."""

import pytest
import torch
from torch import Tensor, nn

import nets
from mainstem.core import InputError
from mainstem.find import find
from mainstem.find import run as find_run
from mainstem.score import persistence, taken
from mainstem.stream import Pass, carry, take
from score._held import hold
from stream._runs import built, main, mapped, passes, plant_biases

TIGHT = {"rel": 1e-9, "abs": 1e-11}


def planted(kind: str) -> Pass:
    torch.manual_seed(0)
    module, ids = nets.Erasing(kind).double().eval(), torch.tensor([[1, 3, 2], [2, 1, 0]])
    return take(module, find(module, ids), (ids,), {})


@pytest.mark.parametrize("zeroed", ["everywhere", "here"])
def test_a_planted_eraser_takes_all_and_nothing_once_it_cannot_read_it(zeroed):
    run = planted("eraser")
    assert [one.kept for one in persistence(run, "L0.mlp.N0", (0, 2))] == pytest.approx([1, 0], abs=1e-12)
    assert [one.overlap for one in persistence(run, "L0.mlp.N0", (0, 2))] == pytest.approx([1, 0], abs=1e-12)
    (eraser,) = taken(run, "L0.mlp.N0", (0, 2), zeroed)
    assert eraser.write == "L1.mlp"
    assert (eraser.share, eraser.without, eraser.caused) == pytest.approx((-1, 0, -1), abs=1e-12)
    assert (eraser.kept, eraser.restored) == pytest.approx((0, 1), abs=1e-12)  # 1 -> 0, restored


def test_what_is_left_alone_stays():
    (other,) = taken(planted("bystander"), "L0.mlp.N0", (0, 2))
    assert (other.share, other.without, other.kept, other.restored) == pytest.approx((0, 0, 1, 1), abs=1e-12)


LABELS = {
    "gpt2": "L0.mlp.N7",
    "llama": "L0.attn.H1",
    "bert": "L0.attn",
    "falcon": "L0.mlp",
    "gemma2": "entry.embed",
    "granite": "L0.mlp.N3",
    "mamba": "L0.mixer",
    "vit": "L0.attn.H2",
    "resnet": "L0.conv.N1",
    "mixtral": "L0.attn.H0",
    "tabular": "L0.mlp.N2",
}


def place_of(run: Pass) -> tuple[int, ...]:
    return (1, run.output().shape[1] - 2) if run.output().ndim == 3 else (1,)


@pytest.mark.parametrize("name", LABELS)
def test_every_point_holds_what_the_parts_carried_there_say(name):
    run = passes(name, change=plant_biases)[0]
    label, place = LABELS[name], place_of(run)
    found, order = persistence(run, label, place), [w.label for w in (*run.stream.entry, *run.stream.writes)]
    entering = {w.label: t for t, p in enumerate(run.stream.points) for w in p.writes}
    start = entering[label.partition(".N")[0].partition(".H")[0]]
    assert [one.point for one in found] == [p.name for p in run.stream.points[start:]]
    at = place[:1] if run.point(start).ndim == 4 or len(place) == 1 else place
    for t, one in enumerate(found, start):
        level = "neuron" if ".N" in label else "head" if ".H" in label else "write"
        parts, whole = carry(run, t, level), carry(run, t, "write")
        v = parts[label][at].flatten()
        later = [u for u in order if start < entering[u] <= t]
        kept = 1 + sum(float(whole[u][at].flatten() @ v) for u in later) / float(v @ v)
        assert one.kept == pytest.approx(kept, **TIGHT)
        assert one.overlap == pytest.approx(float(run.point(t)[at].flatten() @ v / (v @ v)), **TIGHT)
        assert one.length == pytest.approx(float(v.norm()), **TIGHT)
    assert found[0].kept == 1.0


CASES = {
    "gpt2": ("L0.attn", lambda m: m.transformer.h[0].attn, ["L0.mlp", "L1.attn", "L1.mlp"]),
    "llama": ("L0.mlp", lambda m: m.model.layers[0].mlp, ["L1.attn", "L1.mlp"]),
    "neox": ("L0.attn", lambda m: m.gpt_neox.layers[0].attention, ["L1.attn", "L1.mlp"]),
}
AFTER = {
    "gpt2": lambda m: [m.transformer.h[0].mlp, m.transformer.h[1].attn, m.transformer.h[1].mlp],
    "llama": lambda m: [m.model.layers[1].self_attn, m.model.layers[1].mlp],
    "neox": lambda m: [m.gpt_neox.layers[1].attention, m.gpt_neox.layers[1].mlp],
}


def outputs(module: nn.Module, args: tuple[Tensor, ...], after, change) -> list[Tensor]:
    met, handles = [], []
    where, instead = change
    handles.append(where.register_forward_hook(lambda m, a, out: instead(out)))
    for one in after:
        handles.append(one.register_forward_hook(lambda m, a, out: met.append(out[0] if isinstance(out, tuple) else out)))
    with torch.no_grad():
        find_run(module, args, {}, double=True)  # rotary angles are cast to float32 inside
    for handle in handles:
        handle.remove()
    return met


def zeroed(out):
    return (torch.zeros_like(out[0]), *out[1:]) if isinstance(out, tuple) else torch.zeros_like(out)


@pytest.mark.parametrize("name", CASES)
def test_without_the_writer_is_a_run_by_hand_with_norms_that_divide_as_before(name):
    label, at, writes = CASES[name]
    module, args, _ = built(name)
    run = take(module, mapped(name), args, {})
    found = {one.write: one for one in taken(run, label, (1, 4))}
    other, _, _ = built(name)
    hold(other)
    with torch.no_grad():
        v = run.write(next(w for w in run.stream.writes if w.label == label))[1, 4]
        find_run(other, args, {}, double=True)
        gone = outputs(other, args, AFTER[name](other), (at(other), zeroed))
    later = [one for one in found if one in writes]
    assert len(later) >= 2
    for one, out in zip(writes, gone, strict=True):
        if one in found:
            assert found[one].without == pytest.approx(float(out[1, 4] @ v / (v @ v)), **TIGHT)
            assert abs(found[one].caused) > 1e-6
    assert found[writes[-1]].restored == pytest.approx(1 + sum(one.without for one in found.values()), **TIGHT)


@pytest.mark.parametrize("name", LABELS)
def test_shares_sum_to_what_is_kept_and_a_part_gone_here_alone_is_less_missed(name):
    run = main(name)
    label, place = LABELS[name], place_of(main(name))
    found = taken(run, label, place)
    assert found[-1].kept == pytest.approx(persistence(run, label, place)[-1].kept, **TIGHT)
    assert any(abs(one.caused) > 1e-9 for one in found)
    assert len(taken(run, label, place, "here")) == len(found)


def test_what_cannot_be_asked_is_said():
    with pytest.raises(InputError, match="everywhere or here"):
        taken(main("gpt2"), "L0.mlp", (0, 1), "there")
    with pytest.raises(InputError, match="no write"):
        persistence(main("gpt2"), "L9.mlp", (0, 1))
