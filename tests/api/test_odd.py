"""The whole verification on modules that no library made, each against what is true of it."""

from functools import cache

import pytest
import torch
from torch import Tensor

import mainstem as ms
from mainstem.find import find, run
from odd import ODD, REFUSED, noting
from zoo import Built


@cache
def verified(name: str) -> tuple[Built, ms.Model, object]:
    """A module of the registry, the model and its verification, made once. Parameters: `name`."""
    module, args, kwargs = ODD[name].build()
    model = ms.load(module)
    return (module, args, kwargs), model, model.verify(*args, **kwargs)


@pytest.mark.parametrize("name", ODD)
def test_all_of_it_is_verified(name):
    found, truth = verified(name)[2], ODD[name]
    assert {row["check"] for row in found.rows if not row["ok"]} == ({"coverage"} if truth.around else set()), str(found)


@pytest.mark.parametrize("name", ODD)
def test_streams_are_those_that_are_there(name):
    (module, args, kwargs), model, _ = verified(name)
    truth, found = ODD[name], model.map_with(*args, **kwargs)
    assert sorted(len(s.points) - 1 for s in found.streams) == sorted(truth.adds)
    assert bool(found.proof.bypass) == truth.bypass
    for name in found.proof.uncovered:
        assert name.startswith(truth.around)
    assert bool(found.proof.uncovered) == bool(truth.around)


@pytest.mark.parametrize("name", ODD)
def test_points_are_what_the_module_itself_has_there(name):
    (module, args, kwargs), model, _ = verified(name)
    found = model.map_with(*args, **kwargs)
    with torch.no_grad():
        with noting() as noted:
            module(*args, **kwargs)
        seen = run(module, args, kwargs, {key for s in found.streams for key in s.keys()}, (), found.volatile)
    if not noted:
        pytest.skip("its points stand inside a module of torch's")
    for stream in found.streams:
        values = [seen.at(p.site) for p in stream.points]
        assert any(_same(values, points) for points in noted.values()), f"{stream.name}: {[p.site.key for p in stream.points]}"


def _same(values: list[Tensor], points: list[Tensor]) -> bool:
    """The additions' results in order, whichever way the entry is told."""
    pairs = list(zip(values[:0:-1], points[::-1], strict=False))
    return len(values) == len(points) and all(a.shape == b.shape and torch.allclose(a, b, atol=1e-6) for a, b in pairs)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_has_no_stream_is_refused_in_words(name):
    refusal = REFUSED[name]
    module, args, kwargs = refusal.build()
    with pytest.raises(refusal.error, match=refusal.words):
        find(module, *args, **kwargs)
