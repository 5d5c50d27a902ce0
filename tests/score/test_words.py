"""First and last words: what a component raises and lowers most, from its vector carried to the logits by hand."""

import pytest
import torch

from mainstem.core import InputError
from mainstem.score import component, words
from stream import _hand
from stream._runs import main, passes, plant_biases


@pytest.mark.parametrize("label", ["L1.mlp.N7", "L0.attn.H2", "L1.attn.H0<-1", "L0.mlp", "L1.attn.bias", "entry.pos"])
@pytest.mark.parametrize("place", [(0, 6), (1, 2)])
def test_words_by_hand(label, place):
    run = passes("gpt2", change=plant_biases)[0]
    module, x = run.module.requires_grad_(False), run.point(4)
    norm, v = module.transformer.ln_f, component(run, label)[place]
    scale = (x[place].var(correction=0) + norm.eps).sqrt()
    logits = module.lm_head.weight @ ((v - v.mean()) / scale * norm.weight)
    found = words(run, label, place, 5)
    order = logits.argsort(descending=True)
    assert found.first.tolist() == order[:5].tolist()
    assert found.last.tolist() == order.flip(0)[:5].tolist()
    torch.testing.assert_close(found.first_logits, logits[order[:5]], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.last_logits, logits[order.flip(0)[:5]], rtol=1e-9, atol=1e-12)


def test_the_sign_of_the_neuron_flips_the_words():
    run = passes("llama", change=plant_biases)[0]
    with torch.no_grad():
        neurons = _hand.llama(run.module, run.args[0])[0][1].neurons[0]
    rows = (
        run.module.lm_head.weight.detach()
        @ (run.module.model.norm.weight.detach() * run.module.model.layers[1].mlp.down_proj.weight.detach().T)[..., None]
    )
    for k in (0, 1, 2, 3):
        order = rows[k, :, 0].argsort(descending=True).tolist()
        for place in range(7):
            found = words(run, f"L1.mlp.N{k}", (0, place), 3)
            up = order[:3] if neurons[place, k] > 0 else order[::-1][:3]
            assert found.first.tolist() == up


def test_words_of_one_place_are_not_moved_by_others():
    run = main("bert")
    found = words(run, "L0.mlp.N3", (0, 1), 50)
    assert sorted(found.first.tolist()) == list(range(50))
    assert found.first.tolist() == found.last.tolist()[::-1]


def test_more_words_than_there_are():
    assert len(words(main("vit"), "L0.attn", (0,), 99).first) == 3


def test_words_of_what_does_not_exist():
    with pytest.raises(InputError, match="no write 'L8.mlp'"):
        words(main("gpt2"), "L8.mlp.N3", (0, 0))
