"""First and last words: what components raise and lower most, from their vectors carried to the logits by hand."""

import pytest
import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.find import Patch
from mainstem.score import Words, component, values, words
from mainstem.stream import Pass, push, take
from stream import _hand
from stream._runs import built, main, mapped, passes, plant_biases


def one(found: Words) -> Words:
    """The words of a single component."""
    return Words(*(value[0] for value in (found.first, found.first_logits, found.last, found.last_logits)))


@pytest.mark.parametrize(
    "label", ["L1.mlp.N7", "L0.attn.H2", "L1.attn.H0<-1", "L0.mlp", "L1.attn.bias", "entry.pos", "L0.resid_mid"]
)
@pytest.mark.parametrize("place", [(0, 6), (1, 2)])
def test_words_by_hand(label, place):
    run = passes("gpt2", change=plant_biases)[0]
    module, x = run.module.requires_grad_(False), run.point(4)
    norm, v = module.transformer.ln_f, component(run, label)[place]
    scale = (x[place].var(correction=0) + norm.eps).sqrt()
    logits = module.lm_head.weight @ ((v - v.mean()) / scale * norm.weight)
    found = one(words(run, [label], place, 5, 4))
    order = logits.argsort(descending=True)
    assert found.first.tolist() == order[:5].tolist()
    assert found.last.tolist() == order.flip(0)[:4].tolist()
    torch.testing.assert_close(found.first_logits, logits[order[:5]], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.last_logits, logits[order.flip(0)[:4]], rtol=1e-9, atol=1e-12)


LABELS = {
    "gpt2": [
        "L0.attn",
        "L1.attn.H2",
        "L1.attn.H0<-1",
        "L0.attn.H1.D3",
        "L1.mlp.N9",
        "entry.embed",
        "L1.mlp.bias",
        "L0.resid_post",
    ],
    "llama": ["L1.mlp.N3", "L0.attn.H3<-2", "L0.mlp"],
    "gemma2": ["L1.mlp.N3", "L0.attn.H3", "L1.attn"],
    "bert": ["L0.mlp.N3", "L0.attn.H3<-2", "L1.mlp", "L0.mlp.bias"],
    "mixtral": ["L0.mlp.E1.N3", "L1.attn.H3<-2", "L1.mlp"],
    "mamba": ["L0.mixer.N3", "L1.mixer"],
    "bloom": ["L0.mlp.N3", "L1.attn.H2"],
    "vit": ["L0.mlp.N3", "L0.attn.H1", "entry.embed"],
    "resnet": ["L0.conv.N3", "L2.conv", "L2.conv.bias", "L0.resid_post"],
    "cifar": ["L3.conv.N2", "L8.conv"],
    "tabular": ["L0.mlp.N3", "L2.mlp"],
}


@pytest.mark.parametrize("name", sorted(LABELS))
def test_several_components_are_the_order_of_their_vectors_carried_whole(name):
    """argsort of every component's own vector, pushed to the output with nothing cut away on the way."""
    run, labels = passes(name, change=plant_biases)[0], LABELS[name]
    place = (1, 3) if run.output().ndim == 3 else (1,)
    found = words(run, labels, place, 4, 3)
    assert found.first.shape[0] == found.last.shape[0] == len(labels)
    for i, label in enumerate(labels):
        wanted = carried(run, label, place)
        order = wanted.sort(descending=True).values  # an expert that was not chosen says nothing, of all words alike
        torch.testing.assert_close(wanted[found.first[i]], order[:4], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(wanted[found.last[i]], order.flip(0)[:3], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(values(run, [label], place)[0], wanted, rtol=1e-9, atol=1e-12)


def carried(run: Pass, label: str, place: tuple[int, ...]) -> Tensor:
    t = next(i for i, p in enumerate(run.stream.points) if p.name == label or label.startswith(tuple(w.label for w in p.writes)))
    alone = torch.zeros_like(run.point(t))
    alone[place] = component(run, label)[place]
    return push(run, alone[None], t, None)[0][place]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_sign_of_the_neuron_flips_the_words(name):
    """The row of weights says the same at every place; what is written there has its sign, and its first words are the last."""
    run = passes(name, change=plant_biases)[0]
    module = run.module.requires_grad_(False)
    neurons = (_hand.gpt2 if name == "gpt2" else _hand.llama)(module, run.args[0])[0][1].neurons[0]
    signs = set()
    for k in range(6):
        label = f"L1.mlp.N{k}"
        for place in range(7):
            row, written = (one(words(run, [label], (0, place), 3, 3, of)) for of in ("row", "write"))
            flipped = bool(neurons[place, k] < 0)
            signs.add(flipped)
            assert written.first.tolist() == (row.last if flipped else row.first).tolist()
            assert written.last.tolist() == (row.first if flipped else row.last).tolist()
            torch.testing.assert_close(
                (row.last_logits if flipped else row.first_logits) * neurons[place, k],
                written.first_logits,
                rtol=1e-9,
                atol=1e-14,
            )
    assert signs == {False, True}


ROWS = [
    ("gpt2", "L1.mlp.N5", lambda m: m.transformer.h[1].mlp.c_proj.weight[5]),
    ("gpt2", "L0.attn.H2.D3", lambda m: m.transformer.h[0].attn.c_proj.weight[2 * 8 + 3]),
    ("llama", "L0.mlp.N5", lambda m: m.model.layers[0].mlp.down_proj.weight[:, 5]),
    ("llama", "L1.attn.H3.D1", lambda m: m.model.layers[1].self_attn.o_proj.weight[:, 3 * 8 + 1]),
    ("neox", "L1.mlp.N5", lambda m: m.gpt_neox.layers[1].mlp.dense_4h_to_h.weight[:, 5]),
    ("granite", "L1.mlp.N5", lambda m: 0.3 * m.model.layers[1].mlp.down_proj.weight[:, 5]),
    ("vit", "L1.mlp.N5", lambda m: m.vit.layers[1].mlp.fc2.weight[:, 5]),
]


@pytest.mark.parametrize(("name", "label", "row"), ROWS)
def test_a_row_is_the_weights(name, label, row):
    run = passes(name, change=plant_biases)[0]
    found = component(run, label, "row")
    torch.testing.assert_close(found, row(run.module.requires_grad_(False)).expand_as(found), rtol=1e-12, atol=1e-15)


def test_an_experts_row_is_its_weights_where_it_is_asked():
    run = main("mixtral")
    layer, found = run.module.requires_grad_(False).model.layers[1], component(run, "L1.mlp.E2.N5", "row")
    n = _hand.rms_norm(run.point(3), layer.post_attention_layernorm.weight, run.module.config.rms_norm_eps)
    weight = (n @ layer.mlp.gate.weight.T).softmax(-1)
    kept, chosen = weight.topk(2, -1)
    route = torch.zeros_like(weight).scatter(-1, chosen, kept / kept.sum(-1, keepdim=True))[..., 2]
    torch.testing.assert_close(found, route[..., None] * layer.mlp.experts.down_proj[2, :, 5], rtol=1e-9, atol=1e-14)
    assert bool((route == 0).any()) and bool((route > 0).any())


def test_a_silent_neuron_still_has_a_row():
    run = passes("tabular")[0]
    h = torch.relu(run.module.requires_grad_(False).blocks[1].up(run.module.blocks[1].norm(run.point(1))))
    silent = int((h[0] == 0).nonzero()[0])
    label = f"L1.mlp.N{silent}"
    assert float(values(run, [label], (0,)).abs().max()) == 0.0
    assert float(values(run, [label], (0,), "row").abs().max()) > 0.0


@pytest.mark.parametrize(
    ("label", "of", "said"),
    [
        ("L1.mlp", "row", "L1.mlp has no row of its own: name a neuron"),
        ("L1.resid_post", "row", "L1.resid_post has no row of its own"),
        ("L1.mlp.bias", "row", "L1.mlp.bias has no row of its own"),
        ("L1.attn.H2", "row", "L1.attn has rows of attention dims, such as H0.D2"),
        ("L1.attn.H2<-1", "row", "L1.attn has rows of attention dims"),
        ("L1.attn.H9.D0", "row", "there is no head 9"),
        ("L1.mlp.N3", "key", "words are of 'write' or 'row', not of 'key'"),
        ("L8.mlp.N3", "write", "no write 'L8.mlp'"),
    ],
)
def test_what_has_no_words(label, of, said):
    with pytest.raises(InputError, match=said):
        words(main("gpt2"), [label], (0, 0), of=of)


def test_neurons_of_all_experts_together_have_no_row():
    with pytest.raises(InputError, match="L1.mlp has rows of neurons of an expert, such as E0.N0"):
        words(main("mixtral"), ["L1.mlp.N3"], (0, 0), of="row")


def test_words_of_one_place_are_not_moved_by_others():
    run = main("bert")
    found = one(words(run, ["L0.mlp.N3"], (0, 1), 50, 50))
    assert sorted(found.first.tolist()) == list(range(50))
    assert found.first.tolist() == found.last.tolist()[::-1]


def test_more_words_than_there_are():
    assert words(main("vit"), ["L0.attn"], (0,), 99).first.shape == (1, 3)


def test_no_words_of_one_end():
    found = words(main("vit"), ["L0.attn"], (0,), 2, 0)
    assert (found.first.shape, found.last.shape) == ((1, 2), (1, 0))


def test_words_of_what_was_edited():
    """A write that was changed has the words of what it is now; its row of weights is as it was."""
    module, args, kwargs = built("gpt2")
    write = next(w for w in mapped("gpt2").main.writes if w.label == "L1.mlp")
    run = take(module, mapped("gpt2"), args, kwargs, (Patch(write.site, torch.zeros_like),))
    assert float(values(run, ["L1.mlp"], (0, 0)).abs().max()) == 0.0
    torch.testing.assert_close(component(run, "L1.mlp.N3", "row"), component(main("gpt2"), "L1.mlp.N3", "row"))
