"""Heads, edges, dims, neurons, experts and channels are the vectors that one computes by hand from the weights."""

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mainstem.core import InputError
from mainstem.find import find
from mainstem.score import component, direct
from mainstem.stream import Pass, find_write, pull, take
from nets import Experts
from stream import _hand
from stream._hand import Block
from stream._runs import main, passes, plant_biases

TIGHT = {"rtol": 1e-9, "atol": 1e-13}
HAND = {"gpt2": _hand.gpt2, "llama": _hand.llama}


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, **TIGHT)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def decoder(request: pytest.FixtureRequest) -> tuple[Pass, list[Block], list[Tensor]]:
    """A decoder with large biases, its blocks and its stream by hand."""
    run = passes(request.param, change=plant_biases)[0]
    with torch.no_grad():
        return run, *HAND[request.param](run.module, run.kwargs["input_ids"] if run.kwargs else run.args[0])


def test_the_stream_by_hand(decoder):
    run, _, stream = decoder
    for layer, x in enumerate(stream):
        close(run.point(2 * layer), x)


def test_writes_by_hand(decoder):
    run, blocks, _ = decoder
    for layer, block in enumerate(blocks):
        attn, mlp = block.edges.sum((1, 3)), block.neurons @ block.w_out
        close(component(run, f"L{layer}.attn"), attn if block.b_o is None else attn + block.b_o)
        close(component(run, f"L{layer}.mlp"), mlp if block.b_out is None else mlp + block.b_out)


def test_heads_edges_and_dims_by_hand(decoder):
    run, blocks, _ = decoder
    for layer, block in enumerate(blocks):
        for head in range(4):
            close(component(run, f"L{layer}.attn.H{head}"), block.edges[:, head].sum(2))
        for head, key in ((0, 0), (1, 3), (3, 6)):
            close(component(run, f"L{layer}.attn.H{head}<-{key}"), block.edges[:, head, :, key])
            close(component(run, f"L{layer}.attn.H{head}.D{key}"), block.dims[:, head, key])


def test_neurons_by_hand(decoder):
    run, blocks, _ = decoder
    for layer, block in enumerate(blocks):
        for k in (0, 7, block.w_out.shape[0] - 1):
            close(component(run, f"L{layer}.mlp.N{k}"), block.neurons[..., k, None] * block.w_out[k])


def test_biases_by_hand():
    run = passes("gpt2", change=plant_biases)[0]
    for layer, block in enumerate(_hand.gpt2(run.module.requires_grad_(False), run.args[0])[0]):
        close(component(run, f"L{layer}.attn.bias"), block.b_o.expand(2, 7, 32))
        close(component(run, f"L{layer}.mlp.bias"), block.b_out.expand(2, 7, 32))


def frozen_readout(module: torch.nn.Module, x: Tensor) -> Tensor:
    """[batch, pos, vocab, d_model]: what a vector added at the end is multiplied by, the last norm's scale frozen."""
    if hasattr(module, "transformer"):
        norm, centre = module.transformer.ln_f, True
        scale = (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
    else:
        norm, centre = module.model.norm, False
        scale = (x.square().mean(-1, keepdim=True) + module.config.rms_norm_eps).sqrt()
    rows = (module.lm_head.weight * norm.weight)[None, None] / scale[..., None]
    return rows - rows.mean(-1, keepdim=True) if centre else rows


def test_scores_at_every_level_by_hand(decoder):
    """Direct logit attribution of every subvalue, for one direction on the output."""
    run, blocks, stream = decoder
    g = torch.randn_like(run.output())
    back = torch.einsum("bqv,bqvm->bqm", g, frozen_readout(run.module, stream[-1]))
    found = {level: direct(run, g, level) for level in ("write", "head", "edge", "dim", "neuron")}
    for layer, block in enumerate(blocks):
        edges = torch.einsum("bhqkm,bqm->hkb", block.edges, back)
        close(found["edge"][f"L{layer}.attn"], edges)
        close(found["head"][f"L{layer}.attn"], edges.sum(1))
        close(found["dim"][f"L{layer}.attn"], torch.einsum("bhdqm,bqm->hdb", block.dims, back))
        close(found["neuron"][f"L{layer}.mlp"], torch.einsum("bqn,nm,bqm->nb", block.neurons, block.w_out, back))
        for kind, level, b in (("attn", "edge", block.b_o), ("mlp", "neuron", block.b_out)):
            if b is not None:
                close(found[level][f"L{layer}.{kind}.bias"], torch.einsum("m,bqm->b", b, back))
    embedded = stream[0] if "L0.attn.bias" not in list(found["head"].labels()) else run.module.transformer.wte.weight[run.args[0]]
    close(found["write"]["entry.embed"], (embedded * back).sum((1, 2)))


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "mixtral", "gemma2", "bloom", "falcon"])
def test_subvalues_as_vectors_and_as_scores_agree(name):
    """<g, vector> of single components is what the one transpose gave them; and the vectors of a write sum to it."""
    run = main(name)
    labels = {"head": "L1.attn.H2", "edge": "L1.attn.H3<-1", "dim": "L0.attn.H1.D4", "neuron": "L1.mlp.N5"}
    if name == "mixtral":
        labels["neuron"] = "L1.mlp.E2.N5"
    g = torch.randn_like(run.output())
    sweep = pull(run, g)
    for level, label in labels.items():
        start = next(t for t, p in enumerate(run.stream.points) if find_write(run.stream, label) in p.writes)
        by_hand = (sweep.at[start] * component(run, label)).sum((1, 2))
        close(direct(run, g, level)[label], by_hand)


def test_bert_heads_and_neurons():
    run = passes("bert", change=plant_biases)[0]
    module = run.module.requires_grad_(False)
    layer, x = module.bert.encoder.layer[1], run.face(2)
    att, out = layer.attention.self, layer.attention.output
    q, k, v = (_hand.split(x @ p.weight.T + p.bias, 4) for p in (att.query, att.key, att.value))
    pattern = (q @ k.transpose(-1, -2) / 8**0.5).softmax(-1)
    w_o = out.dense.weight.T.reshape(4, 8, 32)
    edges = torch.einsum("bhqk,bhkd,hdm->bhqkm", pattern, v, w_o)
    close(component(run, "L1.attn"), edges.sum((1, 3)) + out.dense.bias)
    close(component(run, "L1.attn.bias"), out.dense.bias.expand_as(x))
    close(component(run, "L1.attn.H3"), edges[:, 3].sum(2))
    close(component(run, "L1.attn.H0<-6"), edges[:, 0, :, 6])
    read = run.face(3)
    h = F.gelu(read @ layer.intermediate.dense.weight.T + layer.intermediate.dense.bias)
    close(component(run, "L1.mlp.N11"), h[..., 11, None] * layer.output.dense.weight[:, 11])
    close(component(run, "L1.mlp.bias"), layer.output.dense.bias.expand_as(x))


def test_mixtral_experts_and_neurons():
    run = main("mixtral")
    module, found = run.module.requires_grad_(False), direct(run, torch.ones_like(run.output()), "neuron")
    layer = module.model.layers[1]
    n = _hand.rms_norm(run.point(3), layer.post_attention_layernorm.weight, module.config.rms_norm_eps)
    parts = _hand.mixture(layer, n, module.config.num_experts_per_tok)
    close(component(run, "L1.mlp"), parts.sum((2, 3)))
    assert found["L1.mlp"].shape == (4, 48, 2)
    for expert, neuron in ((0, 3), (1, 47), (2, 0), (3, 20)):
        close(component(run, f"L1.mlp.E{expert}.N{neuron}"), parts[:, :, expert, neuron])
    back = torch.einsum("vm,bqvm->bqm", torch.ones_like(module.lm_head.weight), frozen_readout(module, run.point(4)))
    close(found["L1.mlp"], torch.einsum("bqenm,bqm->enb", parts, back))
    assert bool((parts.abs().sum((3, 4)) == 0).any()), "every token went to every expert: the routing was not seen"


def test_mamba_channels():
    run = main("mamba")
    module = run.module.requires_grad_(False)
    seen = {}
    for i, layer in enumerate(module.backbone.layers):
        hook = layer.mixer.out_proj.register_forward_pre_hook(lambda m, args, i=i: seen.setdefault(i, args[0].clone()))
        module(*run.args)
        hook.remove()
        for channel in (0, 33, 63):
            wanted = seen[i][..., channel, None] * layer.mixer.out_proj.weight[:, channel]
            torch.testing.assert_close(component(run, f"L{i}.mixer.N{channel}"), wanted, rtol=1e-4, atol=1e-7)


def test_resnet_channels_are_columns_of_the_last_convolution():
    run = main("resnet")
    module = run.module.requires_grad_(False)
    for block, path in enumerate(run.stream.blocks):
        last, seen = module.get_submodule(path).layer[-1], []
        hook = last.convolution.register_forward_pre_hook(lambda m, args, seen=seen: seen.append(args[0].clone()))
        module(*run.args)
        hook.remove()
        norm = last.normalization
        gain = (norm.weight / (norm.running_var + norm.eps).sqrt())[:, None, None]
        for channel in range(seen[0].shape[1]):
            alone = F.conv2d(seen[0][:, channel : channel + 1], last.convolution.weight[:, channel : channel + 1])
            close(component(run, f"L{block}.conv.N{channel}"), gain * alone)
        shift = norm.bias - norm.running_mean * norm.weight / (norm.running_var + norm.eps).sqrt()
        close(component(run, f"L{block}.conv.bias"), shift[:, None, None].expand_as(run.point(block + 1)))


@pytest.mark.parametrize("seed", range(6))
def test_rows_that_an_expert_sees_are_given_to_their_own_prompt(seed):
    """A loop over experts takes some rows of the stream, here and there as many as there are prompts or places."""
    torch.manual_seed(seed)
    module, ids = Experts().double().eval(), torch.randint(1, 20, (2, 4))
    run = take(module, find(module, ids), (ids,), {})
    g = torch.randn_like(run.output())
    back = torch.einsum("bqv,vm->bqm", g, module.head.weight)
    for level in ("write", "neuron"):
        places, whole = (direct(run, g, level, keep_pos).sum() for keep_pos in (True, False))
        close(places, (g * run.output()).sum(-1))
        close(whole, places.sum(1))
    write = "L1.mlp.B0"
    for neuron in (0, 23):
        wanted = (back * component(run, f"{write}.N{neuron}")).sum(-1)
        close(direct(run, g, "neuron", True)[f"{write}.N{neuron}"], wanted)


def components(run: Pass, write: str) -> Iterator[str]:
    level = "head" if write.endswith("attn") else "neuron"
    return (label for label in direct(run, torch.ones_like(run.output()), level).labels() if label.startswith(f"{write}."))


@pytest.mark.parametrize(
    ("name", "write"), [("neox", "L1.mlp"), ("gemma2", "L1.attn"), ("granite", "L1.attn"), ("vit", "L0.attn")]
)
def test_vectors_of_a_write_sum_to_it(name, write):
    run = main(name)
    close(sum(component(run, label) for label in components(run, write)), component(run, write))


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("L1.attn.H4", "there is no head 4: this write has 4"),
        ("L1.attn.H0<-7", "there is no key position 7: this write has 7"),
        ("L1.attn.H0.D8", "there is no dim 8: this write has 8"),
        ("L1.mlp.N128", "there is no neuron 128: this write has 128"),
        ("L1.mlp.H0", "L1.mlp has neurons, such as N0"),
        ("L1.attn.N0", "L1.attn has heads, such as H0"),
        ("L1.attn.H0<-1.D2", "L1.attn has heads, such as H0"),
        ("L1.mlp.E0.N3", "L1.mlp.E0.N3 does not exist: L1.mlp has neurons"),
        ("L5.mlp.N0", "no write 'L5.mlp'"),
        ("L1.mlp.bias.N0", "L1.mlp.bias.N0 does not exist: the parts of L1.mlp are in L1.mlp"),
        ("L1.mlp.B1.N0", "L1.mlp.B1.N0 does not exist: the parts of L1.mlp are in L1.mlp"),
        ("entry.embed.N3", "entry.embed has no parts"),
        ("entry.embed.bias", "entry.embed has no parts"),
    ],
)
def test_components_that_do_not_exist(label, said):
    with pytest.raises(InputError, match=said):
        component(main("gpt2"), label)
