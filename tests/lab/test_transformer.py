"""The transformer and its variants: GPT-Neo bit for bit, published counts, rotations folded, and a stream that `find` proves."""

import json
from dataclasses import dataclass

import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoConfig, GPTNeoForCausalLM

import mainstem as ms
from house._source import ROOT
from mainstem.core import InputError, NoStreamError
from mainstem.lab._config import VariantConfig, parameters
from mainstem.lab._transformer import Variant, folded

SMALL = {"vocab_size": 50, "n_positions": 32, "d_model": 24, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}


def variant(**choices) -> Variant:
    return Variant(VariantConfig(**{**SMALL, **choices})).eval()


def ids(rows: int = 2, length: int = 9) -> torch.Tensor:
    return torch.randint(50, (rows, length), generator=torch.Generator().manual_seed(1))


@dataclass
class Neo:
    """GPT-Neo of transformers, and our model with its weights. Without its cache, whose copies of keys change its own last bits."""

    theirs: GPTNeoForCausalLM
    ours: Variant


def neo(**choices) -> Neo:
    config = GPTNeoConfig(
        vocab_size=50, max_position_embeddings=32, hidden_size=24, num_layers=4, num_heads=4, window_size=4,
        attention_types=[[["global", "local"], 2]], initializer_range=0.3, attn_implementation="eager", bos_token_id=0, eos_token_id=0, use_cache=False,
    )  # fmt: skip
    theirs = GPTNeoForCausalLM(config).eval()
    ours = variant(n_layer=4, attention=("global", "local"), window=4, **choices)
    state = {name.removeprefix("transformer.").replace("attn.attention", "attn"): w for name, w in theirs.state_dict().items()}
    state.pop("lm_head.weight")
    ours.load_state_dict(state)
    return Neo(theirs, ours)


@pytest.mark.parametrize("length", [2, 9, 32])
def test_it_is_gpt_neo_bit_for_bit(length):
    both, tokens = neo(), ids(3, length)
    with torch.no_grad():
        assert torch.equal(both.ours(tokens).logits, both.theirs(tokens).logits)
        ours, theirs = (model(tokens, labels=tokens).loss for model in (both.ours, both.theirs))
    assert torch.equal(ours, theirs)


def test_it_is_gpt_neo_bit_for_bit_under_padding():
    both, tokens = neo(), ids(2, 9)
    mask = torch.ones_like(tokens)
    mask[1, 6:] = 0
    with torch.no_grad():
        ours, theirs = (model(tokens, attention_mask=mask).logits for model in (both.ours, both.theirs))
    assert torch.equal(ours[mask.bool()], theirs[mask.bool()])


@pytest.mark.parametrize("choice", [{"scaled": True}, {"window": 3}, {"residual": False}, {"norm": "rms"}, {"placement": "post"}])
def test_a_choice_that_was_made_is_not_gpt_neo(choice):
    with torch.no_grad():
        if "norm" in choice or "placement" in choice:
            assert variant(**choice).state_dict().keys() != variant().state_dict().keys()
        else:
            both = neo()
            other = Variant(VariantConfig(**(both.ours.config.to_dict() | choice))).eval()
            other.load_state_dict(both.ours.state_dict())
            assert not torch.allclose(other(ids()).logits, both.theirs(ids()).logits)


RUNS = {
    (96, 96): 5_467_680,
    (384, 384): 27_179_136,
    (768, 768): 68_514_048,
    (768, 384): 49_215_360,
    (768, 192): 39_566_016,
    (768, 96): 34_741_344,
}


@pytest.mark.parametrize(("widths", "count"), RUNS.items())
def test_the_published_parameter_counts(widths, count):
    d, e = widths
    with torch.device("meta"):
        model = Variant(VariantConfig(vocab_size=50257, n_positions=2048, d_model=d, d_embedding=e, n_layer=4, n_head=16))
    assert model.num_parameters(only_trainable=True) == parameters(50257, d, e, 4) == count


def test_the_counts_are_those_of_the_reference():
    path = ROOT.parent / "shared" / "reference" / "data_lane.json"
    if not path.is_file():
        pytest.skip(f"no reference at {path}")
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    assert {(run["d_model"], run["d_embedding"]): run["trainable_parameters"] for run in runs} == RUNS


@pytest.mark.parametrize("norm", ["layer", "rms", "rms_scalar"])
@pytest.mark.parametrize("basis", ["shared", "independent"])
@pytest.mark.parametrize("placement", ["pre", "post"])
def test_rotations_fold_into_the_weights(norm, basis, placement):
    model = variant(norm=norm, basis=basis, placement=placement).double()
    plain = folded(model)
    with torch.no_grad():
        assert torch.allclose(plain(ids()).logits, model(ids()).logits, atol=1e-11, rtol=0)
    assert not [name for name, _ in plain.named_buffers()]
    turned = [name for name, _ in model.named_buffers()]
    assert len(turned) == 8
    assert not {name for name, _ in model.named_parameters()} & set(turned)


def test_a_planted_rotation_that_is_not_folded_shows():
    model = variant(basis="independent").double()
    plain = folded(model)
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if not k.endswith(".matrix")})
    with torch.no_grad():
        assert not torch.allclose(plain(ids()).logits, model(ids()).logits, atol=1e-3)


def test_shared_rotations_are_one_and_its_inverse_and_independent_ones_are_not():
    matrices = {basis: dict(variant(basis=basis).named_buffers()) for basis in ("shared", "independent")}
    for both in matrices.values():
        assert all(torch.allclose(m @ m.T, torch.eye(24), atol=1e-6) for m in both.values())
    shared, apart = (list(both.values()) for both in matrices.values())
    assert all(torch.allclose(m, shared[0]) or torch.allclose(m, shared[0].T) for m in shared)
    assert not any(torch.allclose(a, b, atol=0.1) for i, a in enumerate(apart) for b in apart[:i])


VARIANTS = [
    {},
    {"d_embedding": 8},
    {"d_embedding": 10, "lane": "copies"},
    {"d_embedding": 8, "positions": "embedding"},
    {"d_embedding": 8, "readout": "switched"},
    {"norm": "rms"},
    {"norm": "rms_scalar"},
    {"placement": "post"},
    {"placement": "post", "norm": "rms"},
    {"basis": "shared"},
    {"basis": "independent", "norm": "rms_scalar"},
    {"attention": ("global", "local"), "window": 3, "scaled": True},
    {"activation": "relu"},
]


@pytest.mark.parametrize("choices", VARIANTS, ids=str)
def test_the_stream_of_every_variant_is_found_and_proved(choices):
    model = variant(**choices)
    found = ms.find(model, ids())
    assert found.proof.closed
    assert len(found.main.points) == 2 * model.config.n_layer + 1
    widths = [point.width for point in found.main.points]
    narrow = choices.get("positions") == "embedding"  # then the entry is the sum of both embeddings, widened on its way
    assert widths == [choices["d_embedding"] if narrow else 24, *[24] * (len(widths) - 1)]


def test_without_residual_there_is_no_stream():
    with pytest.raises(NoStreamError):
        ms.find(variant(residual=False), ids())


@pytest.mark.parametrize("choices", VARIANTS, ids=str)
def test_it_saves_and_loads(choices, tmp_path):
    model = variant(**choices)
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert type(again) is Variant
    kept = [name for name in vars(VariantConfig()) if name in choices or name in SMALL]
    assert [getattr(again.config, name) for name in kept] == [getattr(model.config, name) for name in kept]
    with torch.no_grad():
        assert torch.equal(again(ids()).logits, model(ids()).logits)


def test_the_lane_holds_what_it_was_asked_to():
    tokens = ids()
    with torch.no_grad():
        for lane in ("zero", "copies"):
            model = variant(d_embedding=10, lane=lane, positions="embedding")
            entry, own = model.entry(tokens), model.wte(tokens) + model.wpe(torch.arange(9))
            assert torch.equal(entry[..., :10], own)
            assert torch.equal(entry[..., 10:20], own if lane == "copies" else torch.zeros_like(own))
            assert torch.equal(entry[..., 20:], (own if lane == "copies" else torch.zeros_like(own))[..., :4])


def test_the_switched_readout_reads_the_last_dimensions():
    same, switched = variant(d_embedding=8), variant(d_embedding=8, readout="switched")
    x = torch.randn(2, 3, 24)
    assert torch.equal(same.read_out(x), x[..., :8])
    assert torch.equal(switched.read_out(x), x[..., 16:])


def test_hidden_states_are_the_points_of_the_stream():
    model, tokens = variant(), ids()
    found = ms.find(model, tokens)
    from mainstem.find import run

    sites = [found.main.points[i].site for i in (0, 2, 4)]
    with torch.no_grad():
        seen = run(model, (tokens,), {}, {site.key for site in sites})
        hidden = model(tokens, output_hidden_states=True).hidden_states
    assert all(torch.equal(seen.at(site), x) for site, x in zip(sites, hidden, strict=True))


def test_it_generates():
    out = variant().generate(ids(1, 4), max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert out.shape == (1, 7)


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"lane": "copy"}, "lane is 'copy': choose 'zero' or 'copies'"),
        ({"d_embedding": 25}, "e is from 1 to d"),
        ({"n_head": 5}, "5 heads do not divide a stream of 24"),
        ({"attention": ("near",)}, "name 'global' or 'local'"),
        ({"norm": "batch"}, "norm is 'batch'"),
    ],
)
def test_what_does_not_fit_is_refused(choices, says):
    with pytest.raises(InputError, match=says):
        variant(**choices)


def test_too_many_tokens_are_refused():
    with pytest.raises(InputError, match="33 tokens, and this model has 32 positions"):
        variant()(ids(1, 33))
