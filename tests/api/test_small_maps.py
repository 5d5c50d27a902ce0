"""Maps of padded batches are made with a few tokens, whatever the batch: they are proved in float64, many times over."""

import pytest
import torch

import mainstem as ms
from mainstem.api import Model
from mainstem.models import prepare
from zoo import ZOO

LONG = [list(range(1, 41)), list(range(1, 31)), list(range(1, 36))]


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "mixtral"])
def test_a_batch_is_mapped_small_and_says_what_its_prompts_say(name, padding, monkeypatch):
    model, sizes = ms.load(ZOO[name]()[0]), []
    found = Model._found

    def counted(self, ready):
        sizes.append(ready.ids.numel())
        return found(self, ready)

    monkeypatch.setattr(Model, "_found", counted)
    trace = model.trace(LONG, padding=padding)
    assert sizes and max(sizes) <= 64
    for row, ids in enumerate(LONG):
        alone = model.trace([ids])
        last = len(trace.stream.points) - 1
        real = slice(-len(ids), None) if padding == "left" else slice(0, len(ids))
        torch.testing.assert_close(trace.run.face(last)[row, real], alone.run.face(last)[0], rtol=1e-4, atol=1e-4)


def test_what_has_arguments_of_its_own_is_mapped_as_it_is():
    model = ms.load(ZOO["gpt2"]()[0])
    ready = prepare(model.loaded, LONG, "right", token_type_ids=torch.zeros(3, 40, dtype=torch.long))
    assert model._small(ready) is ready
