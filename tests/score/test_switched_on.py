"""What switches neurons and attention values on: parts sum to the pre-activation, and each is what one computes from the weights."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from mainstem.core import InputError, Parts
from mainstem.find import find
from mainstem.score import component, switched_on
from mainstem.stream import Coordinate, Pass, factors, find_write, heads, needed, take
from stream import _hand
from stream._runs import built, main, mapped, passes, plant_biases
from zoo import ids

PLACE = (1, 5)
LEVELS = ("write", "head", "edge", "dim", "neuron")


@cache
def planted(name: str) -> Pass:
    """The run of a model with large biases, made once. Parameters: `name`, of the zoo."""
    return passes(name, change=plant_biases)[0]


def on(run: Pass, label: str, key: str | None = None, level: str = "write", place: tuple[int, ...] = PLACE) -> Parts:
    (parts,) = switched_on(run, [Coordinate(label, key, place)], level)
    return parts


def hooked(run: Pass, path: str) -> Tensor:
    """What a module of the model itself returns, casts to less than float64 rewritten. Parameters: `run`; `path`."""
    kept: list[Tensor] = []
    hook = run.module.get_submodule(path).register_forward_hook(lambda m, a, out: kept.append(out.detach().clone()))
    take(run.module, run.map, run.args, run.kwargs)
    hook.remove()
    return kept[0]


# What is switched on, in which model, and where the module itself has the pre-activation: path, and index on the last axis.
NEURONS = [
    ("gpt2", "L1.mlp.N7", "key", "transformer.h.1.mlp.c_fc", 7),
    ("gptj", "L1.mlp.N7", "key", "transformer.h.1.mlp.fc_in", 7),
    ("neox", "L1.mlp.N47", "key", "gpt_neox.layers.1.mlp.dense_h_to_4h", 47),
    ("llama", "L1.mlp.N3", "gate", "model.layers.1.mlp.gate_proj", 3),
    ("llama", "L1.mlp.N3", "up", "model.layers.1.mlp.up_proj", 3),
    ("gemma2", "L1.mlp.N3", "gate", "model.layers.1.mlp.gate_proj", 3),
    ("gemma2", "L0.mlp.N3", "up", "model.layers.0.mlp.up_proj", 3),
    ("granite", "L1.mlp.N0", "gate", "model.layers.1.mlp.gate_proj", 0),
    ("bloom", "L1.mlp.N100", "key", "transformer.h.1.mlp.dense_h_to_4h", 100),
    ("falcon", "L1.mlp.N9", "key", "transformer.h.1.mlp.dense_h_to_4h", 9),
    ("bert", "L1.mlp.N11", "key", "bert.encoder.layer.1.intermediate.dense", 11),
    ("bert", "L0.mlp.N11", "key", "bert.encoder.layer.0.intermediate.dense", 11),
    ("vit", "L1.mlp.N2", "key", "vit.layers.1.mlp.fc1", 2),
]  # fmt: skip
# The same for the values of attention: which value head holds the head's, of how many dims.
VALUES = [
    ("llama", "L1.attn.H3<-2.D4", "model.layers.1.self_attn.v_proj", 1, 8),
    ("gemma2", "L1.attn.H1<-3.D4", "model.layers.1.self_attn.v_proj", 0, 8),
    ("granite", "L1.attn.H2<-0.D7", "model.layers.1.self_attn.v_proj", 1, 8),
    ("bert", "L1.attn.H2<-6.D1", "bert.encoder.layer.1.attention.self.value", 2, 8),
    ("gptj", "L1.attn.H3<-1.D0", "transformer.h.1.attn.v_proj", 3, 8),
]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("name", "label", "key", "path", "index"), NEURONS)
def test_parts_of_a_neuron_sum_to_its_pre_activation(name, label, key, path, index, level):
    run = planted(name)
    parts = on(run, label, key, level)
    wanted = torch.zeros(2, dtype=torch.float64)
    wanted[1] = hooked(run, path).reshape(2, -1, parts_width(run, path))[PLACE][index]
    torch.testing.assert_close(parts.whole, wanted, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(parts.sum(), wanted, rtol=1e-12, atol=1e-12)
    assert parts.error <= parts.bound < 1e-9
    assert abs(float(wanted[1])) > 1e-2, "nothing is tested by a pre-activation of nothing"


def parts_width(run: Pass, path: str) -> int:
    module = run.module.get_submodule(path)
    return getattr(module, "out_features", None) or module.nf


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("name", "label", "path", "head", "size"), VALUES)
def test_parts_of_a_value_sum_to_it(name, label, path, head, size, level):
    run = planted(name)
    parts = on(run, label, None, level)
    position, dim = (int(part) for part in label.partition("<-")[2].split(".D"))
    wanted = hooked(run, path).unflatten(-1, (-1, size))[1, position, head, dim]
    torch.testing.assert_close(parts.whole[1], wanted, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(parts.sum()[1], wanted, rtol=1e-12, atol=1e-12)
    assert float(parts.whole[0]) == 0


class Grouped(nn.Module):
    """Attention whose six heads share two value heads inside the fused call: nothing is spread over heads before."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 12), nn.Linear(12, 20)
        self.q, self.k, self.v, self.o = nn.Linear(12, 24), nn.Linear(12, 8), nn.Linear(12, 8), nn.Linear(24, 12)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for _ in range(2):
            q, k, v = (p(x).unflatten(-1, (-1, 4)).transpose(1, 2) for p in (self.q, self.k, self.v))
            z = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            x = x + self.o(z.transpose(1, 2).flatten(2))
        return self.head(x)


@pytest.mark.parametrize("head", range(6))
def test_heads_that_share_values_inside_the_call(head):
    module, tokens = Grouped().double().eval(), ids(2, 7, 20)
    run = take(module, find(module, tokens), (tokens,), {})
    wanted = module.v(run.point(1))[1, 2].unflatten(-1, (2, 4))[head // 3, 1].detach()
    for level in ("write", "edge"):
        torch.testing.assert_close(on(run, f"L1.attn.H{head}<-2.D1", None, level).sum()[1], wanted, rtol=1e-12, atol=1e-13)
    z = on(run, f"L1.attn.H{head}.D1")
    write = find_write(run.stream, "L1.attn")
    seen = run.again(needed(write))
    torch.testing.assert_close(z.sum()[1], seen.at(write.writer.sources[0].site)[1, head, 5, 1], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "bert", "neox", "falcon"])
def test_a_dim_of_a_head_is_its_values_weighed_by_the_pattern(name):
    run = planted(name)
    whole = on(run, "L1.attn.H2.D3")
    each = [on(run, f"L1.attn.H2<-{j}.D3") for j in range(7)]
    write = find_write(run.stream, "L1.attn")
    source, seen = write.writer.sources[0], run.again(needed(write))
    z = heads(seen.at(source.site), 2)
    pattern = factors(source.attention, seen, z, 2)[0][1, 2, PLACE[1]]
    torch.testing.assert_close(whole.whole[1], z[1, 2, PLACE[1], 3], rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(sum(p * e.tensor for p, e in zip(pattern, each, strict=True)), whole.tensor, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_shares_by_hand(name):
    """<u, Kc> / sigma of every write, head and neuron, and B = beta . W + b, from the weights alone."""
    run = planted(name)
    module = run.module.requires_grad_(False)
    blocks, _ = {"gpt2": _hand.gpt2, "llama": _hand.llama}[name](module, run.args[0])
    x = run.point(3)[PLACE]
    if name == "gpt2":
        norm, w, b = (
            module.transformer.h[1].ln_2,
            module.transformer.h[1].mlp.c_fc.weight[:, 9],
            module.transformer.h[1].mlp.c_fc.bias[9],
        )
        sigma = (x.var(correction=0) + norm.eps).sqrt()
        folded, constant = norm.weight * w, norm.bias @ w + b
        folded = folded - folded.mean()
    else:
        norm, w = module.model.layers[1].post_attention_layernorm, module.model.layers[1].mlp.gate_proj.weight[9]
        sigma = (x.square().mean() + module.config.rms_norm_eps).sqrt()
        folded, constant = norm.weight * w, torch.zeros((), dtype=x.dtype)
    key = "key" if name == "gpt2" else "gate"
    found = {level: on(run, "L1.mlp.N9", key, level) for level in ("write", "head", "edge", "neuron")}

    def close(values: Tensor, vectors: Tensor) -> None:
        torch.testing.assert_close(values[..., 1], vectors @ folded / sigma, rtol=1e-9, atol=1e-13)

    first, second = blocks
    close(found["write"]["L0.attn"], first.edges.sum((1, 3))[PLACE] + (0 if first.b_o is None else first.b_o))
    close(found["write"]["L0.mlp"], (first.neurons @ first.w_out)[PLACE] + (0 if first.b_out is None else first.b_out))
    close(found["head"]["L1.attn"], second.edges.sum(3)[1, :, 5])
    close(found["edge"]["L1.attn"], second.edges[1, :, 5])
    close(found["neuron"]["L0.mlp"], first.neurons[PLACE][:, None] * first.w_out)
    if name == "gpt2":
        torch.testing.assert_close(found["write"]["key.bias"][1], constant, rtol=1e-12, atol=1e-13)
    else:
        assert "gate.bias" not in list(found["write"].labels())


def test_post_norm_models_read_the_carried_rows():
    """BERT: what is read is the normed sum; a write of the block before goes through that norm, frozen, and there is no other."""
    run = planted("bert")
    layer = run.module.requires_grad_(False).bert.encoder.layer[1]
    w, b, norm = layer.intermediate.dense.weight[11], layer.intermediate.dense.bias[11], layer.attention.output.LayerNorm
    x = run.point(3)[PLACE]
    carried = component(run, "L1.attn")[PLACE]
    carried = (carried - carried.mean()) / (x.var(correction=0) + norm.eps).sqrt() * norm.weight
    parts = on(run, "L1.mlp.N11")
    torch.testing.assert_close(parts["L1.attn"][1], carried @ w, rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(parts["key.bias"][1], norm.bias @ w + b, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("level", LEVELS)
def test_experts_are_followed_to_their_own_rows(level):
    """Mixtral: of every token's two experts gate and up are what the weights make of the normed stream; others are off."""
    run = main("mixtral")
    layer = run.module.requires_grad_(False).model.layers[1]
    n = _hand.rms_norm(run.point(3), layer.post_attention_layernorm.weight, run.module.config.rms_norm_eps)
    gate, up = torch.einsum("bqm,enm->bqen", n, layer.mlp.experts.gate_up_proj).chunk(2, -1)
    chosen = (n @ layer.mlp.gate.weight.T).topk(2, -1).indices
    for place in ((0, 0), (1, 3), (1, 6)):
        for expert in range(4):
            label = f"L1.mlp.E{expert}.N20"
            if expert in chosen[place]:
                for key, made in (("gate", gate), ("up", up)):
                    parts = on(run, label, key, level, place)
                    torch.testing.assert_close(parts.sum()[place[0]], made[place][expert, 20], rtol=1e-12, atol=1e-13)
            else:
                with pytest.raises(InputError, match="is off at this place"):
                    on(run, label, "gate", level, place)


def test_experts_in_a_loop_are_followed_too():
    run = main("experts")
    module = run.module.requires_grad_(False)
    n = module.norms[1](run.face(1))
    chosen = module.routers[1](n).softmax(-1).argmax(-1)
    seen = 0
    branches = len(next(w for w in run.stream.writes if w.label == "L1.mlp").writer.sources)
    for place in ((0, 0), (0, 4), (1, 2)):
        wanted = module.experts[1][int(chosen[place])][0](n[place])[5]
        for branch in range(branches):
            parts = on_or_off(run, f"L1.mlp.B{branch}.N5", "key", "write", place)
            if parts is not None:
                torch.testing.assert_close(parts.sum()[place[0]], wanted, rtol=1e-12, atol=1e-13)
                seen += 1
    assert seen == 3


def on_or_off(run: Pass, label: str, key: str | None, level: str, place: tuple[int, ...] = PLACE) -> Parts | None:
    """As `on`; None where an expert is not chosen at the place."""
    try:
        return on(run, label, key, level, place)
    except InputError as error:
        if "is off at this place" not in str(error):
            raise
        return None


def test_tables_have_one_place_a_row():
    run = planted("tabular_linear")
    block = run.module.requires_grad_(False).blocks[2]
    parts = on(run, "L2.mlp.N4", None, "neuron", (3,))
    torch.testing.assert_close(parts.sum()[3], block.up(block.norm(run.point(2)))[3, 4], rtol=1e-12, atol=1e-13)
    assert bool((parts.whole[:3] == 0).all())


class Planted(nn.Module):
    """Two blocks; neuron 5 of the second reads dimension 0 alone, and of the first only neuron 3 writes to it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 8), nn.Linear(8, 20)
        self.ups = nn.ModuleList(nn.Linear(8, 12) for _ in range(2))
        self.downs = nn.ModuleList(nn.Linear(12, 8) for _ in range(2))
        with torch.no_grad():
            self.embed.weight[:, 0] = 0
            self.downs[0].weight[0], self.downs[0].bias[0] = 0, 0
            self.downs[0].weight[0, 3] = 2
            self.ups[0].weight[3], self.ups[0].bias[3] = 0, 1.5
            self.ups[1].weight[5], self.ups[1].bias[5] = 0, 0
            self.ups[1].weight[5, 0] = 1

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for up, down in zip(self.ups, self.downs, strict=True):
            x = x + down(torch.relu(up(x)))
        return self.head(x)


def test_a_neuron_that_one_neuron_alone_switches_on():
    module, tokens = Planted().double().eval(), ids(2, 7, 20)
    run = take(module, find(module, tokens), (tokens,), {})
    parts = on(run, "L1.mlp.N5", None, "neuron")
    assert dict(parts.select("batch", 1).top(1)) == {"L0.mlp.N3": 3.0}
    others = [float(v) for label, v in zip(parts.labels(), parts.tensor[:, 1], strict=True) if label != "L0.mlp.N3"]
    assert others and all(v == 0 for v in others)


@pytest.mark.parametrize(
    ("name", "label", "key", "said"),
    [
        ("llama", "L1.mlp.N3", None, "has the keys 'gate' and 'up': name one of them, key='gate'"),
        ("llama", "L1.mlp.N3", "key", "has the keys 'gate' and 'up'"),
        ("llama", "L1.mlp.N48", "up", "there is no neuron 48: this write has 48"),
        ("llama", "L1.attn.H4<-0.D1", None, "there is no head 4"),
        ("llama", "L1.attn.H0<-7.D1", None, "there is no key position 7"),
        ("llama", "L1.attn.H0<-0.D8", None, "there is no dim 8"),
        ("llama", "L1.attn.H0", None, "has dims of heads, such as H0.D2"),
        ("llama", "L1.mlp", None, "has neurons, such as N0"),
        ("llama", "entry.embed.N1", None, "entry.embed has no parts"),
        ("mamba", "L1.mixer.N3", None, r"L1.mixer.N3 has no key: the operations of L1.mixer \(mixer\)"),
        ("bypass", "L1.mlp.N3", None, "has no key"),
        ("t5", "dec.L1.cross.H1<-2.D3", None, "reads enc.L1.resid_post, a point of another stream"),
    ],
)
def test_what_cannot_be_asked(name, label, key, said):
    run = main(name)
    place = (1,) if len(run.spread) == 1 else (1, 3)
    with pytest.raises(InputError, match=said):
        on(run, label, key, "write", place)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "gemma2", "mixtral"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_lower_precision_it_closes_within_its_bound(name, dtype):
    run = main(name, dtype)
    expert = "E0." if name == "mixtral" else ""
    for label, key in (
        (f"L1.mlp.{expert}N5", "gate" if name in ("llama", "gemma2", "mixtral") else None),
        ("L1.attn.H1<-1.D2", None),
    ):
        parts = on_or_off(run, label, key, "neuron")
        if parts is None:
            continue
        assert parts.error <= parts.bound < 0.05
        assert any("rounding" in name for name in parts.labels()) == (dtype == torch.bfloat16)


def test_positions_first_and_several_streams():
    module, args, kwargs = built("t5")
    run = take(module, mapped("t5"), args, kwargs, stream="enc")
    parts = on(run, "enc.L1.mlp.N5", None, "neuron")
    layer = module.requires_grad_(False).encoder.block[1].layer[1]
    read = (
        layer.layer_norm.weight
        * run.point(3)[PLACE]
        / (run.point(3)[PLACE].square().mean() + layer.layer_norm.variance_epsilon).sqrt()
    )
    torch.testing.assert_close(parts.sum()[1], layer.DenseReluDense.wi.weight[5] @ read, rtol=1e-10, atol=1e-12)
