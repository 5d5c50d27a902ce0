"""Subvalues at some places as rows and coefficients: the vectors are those that `subvectors` spreads out."""

import pytest
import torch

from mainstem.core import InputError, NotClosedError
from mainstem.stream import LEVELS, Vectors, _vectors, needed, opened, spots, vectors
from mainstem.stream._expand import subvectors
from mainstem.stream._places import placed
from stream._runs import passes, plant_biases
from zoo import ZOO


def places_of(run) -> torch.Tensor:
    """Some places of every prompt, or the prompts where the stream has no positions."""
    if len(run.places) != 2:
        return torch.arange(run.prompts)[:, None]
    batch, length = run.places
    return torch.tensor([(b, p) for b in range(batch) for p in sorted({0, length // 2, length - 1})])


def spread(found: list[Vectors], count: int) -> dict[str, torch.Tensor]:
    """[place, component, d_model] for every label."""
    parts: dict[str, list[torch.Tensor]] = {}
    for some in found:
        n, width = some.scale.shape[1], some.rows.shape[-1]
        at = torch.cartesian_prod(torch.arange(len(some.where)), torch.arange(n))
        whole = torch.zeros(count, n, width, dtype=torch.float64)
        whole[some.where] = some.pick(*at.T).reshape(len(some.where), n, width)
        held = parts.setdefault(some.label, [])
        if held and some.offset == 0:
            held[-1] = held[-1] + whole  # another prompt's places
        else:
            held.append(whole)
    return {label: torch.cat(some, 1) for label, some in parts.items()}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", sorted(ZOO))
def test_they_are_the_subvectors_at_those_places(name, level):
    for run in passes(name, change=plant_biases):
        where = places_of(run)
        here = spots(run, where)
        for write in run.stream.writes:
            depth, seen = opened(run, write, level), run.again(needed(write))
            found = spread(list(vectors(run, write, level, seen, here)), len(where))
            if depth is None:
                torch.testing.assert_close(found[write.label][:, 0], here.of(run.write(write)), rtol=1e-12, atol=1e-14)
                continue
            groups = subvectors(run, write, depth, seen)
            assert set(found) == {g.label for g in groups}
            for group in groups:
                want = torch.stack([placed(v, here.sizes)[tuple(where.T)].flatten(1) for v in group.flat()], 1)
                torch.testing.assert_close(found[group.label], want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("level", ["head", "neuron"])
def test_of_whole_prompts_they_are_all_that_the_stream_holds(level):
    run = passes("vit", change=plant_biases)[0]
    here = spots(run, torch.arange(run.prompts)[:, None])
    for write in run.stream.writes:
        found = list(vectors(run, write, level, run.again(needed(write)), here))
        torch.testing.assert_close(sum(some.total() for some in found), run.write(write).flatten(1), rtol=1e-12, atol=1e-14)


def test_neurons_of_a_plain_model_share_their_rows_and_those_of_a_sandwich_are_sent_through_it():
    for name, shared in (("gpt2", 2), ("llama", 2), ("gemma2", 3), ("mixtral", 3)):
        run = passes(name)[0]
        write = next(w for w in run.stream.writes if w.kind == "mlp")
        first = next(vectors(run, write, "neuron", run.again(needed(write)), spots(run, places_of(run))))
        assert first.rows.ndim == shared, name


def test_products_lengths_and_sums_are_those_of_the_vectors():
    run = passes("gpt2")[0]
    write = next(w for w in run.stream.writes if w.kind == "attn")
    here = spots(run, places_of(run))
    for level in ("head", "edge", "dim"):
        for some in vectors(run, write, level, run.again(needed(write)), here):
            n = some.scale.shape[1]
            each = some.pick(*torch.cartesian_prod(torch.arange(len(some.where)), torch.arange(n)).T).unflatten(0, (-1, n))
            u = torch.randn(len(some.where), each.shape[-1], dtype=torch.float64)
            torch.testing.assert_close(some.dot(u), (each @ u[..., None])[..., 0])
            torch.testing.assert_close(some.total(), each.sum(1))
            torch.testing.assert_close(some.lengths(), each.norm(dim=-1))
            torch.testing.assert_close(some.times(-2.0).total(), -2 * each.sum(1))


def test_parts_that_miss_their_write_raise(monkeypatch):
    run = passes("gpt2", torch.float32)[0]
    write = next(w for w in run.stream.writes if w.kind == "mlp")
    seen = run.again(needed(write))
    affine, likes = _vectors.writer_map(run, write, seen)
    monkeypatch.setattr(_vectors, "writer_map", lambda *_: (affine, tuple(1.01 * like for like in likes)))
    with pytest.raises(NotClosedError, match=r"parts at level 'neuron' miss"):
        list(vectors(run, write, "neuron", seen, spots(run, places_of(run))))


def test_places_outside_of_the_stream_are_refused():
    run = passes("gpt2")[0]
    with pytest.raises(InputError, match="rows are not the stream's"):
        spots(run, torch.tensor([[0, 10_000]]))
