"""Vectors through a head: by hand from the weights, and as what the module itself does when its norm and pattern are held."""

import pytest
import torch
from torch import Tensor, nn

from mainstem.core import InputError
from mainstem.score import component
from mainstem.stream import Pass, find_write, head_of, spot, through_head
from stream._runs import built, main, passes, plant_biases

TIGHT = {"rtol": 1e-9, "atol": 1e-13}
QUERY, SOURCE = 5, (1, 2)


def sent(run: Pass, rows: Tensor, start: int, label: str, head: int, weight: float = 1.0) -> Tensor:
    return through_head(run, rows, start, head_of(run, find_write(run.stream, label), head), SOURCE, QUERY, weight)


def by_hand(run: Pass, layer: int, head: int, rows: Tensor) -> Tensor:
    """n(v) W_V W_O from the weights alone, the norm's scale that of the stream at the source."""
    m, x = run.module.requires_grad_(False), run.point(2 * layer)[SOURCE]
    if hasattr(m, "transformer"):
        block = m.transformer.h[layer]
        scale = (x.var(correction=0) + block.ln_1.eps).sqrt()
        n = (rows - rows.mean(-1, keepdim=True)) / scale * block.ln_1.weight
        w_v = block.attn.c_attn.weight[:, 64 + 8 * head : 64 + 8 * head + 8]
        return n @ w_v @ block.attn.c_proj.weight[8 * head : 8 * head + 8]
    block = m.model.layers[layer]
    n = rows / (x.square().mean() + m.config.rms_norm_eps).sqrt() * block.input_layernorm.weight
    shared = head // 2
    w_v = block.self_attn.v_proj.weight[8 * shared : 8 * shared + 8]
    return n @ w_v.T @ block.self_attn.o_proj.weight[:, 8 * head : 8 * head + 8].T


@pytest.mark.parametrize("head", range(4))
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_by_hand(name, head):
    run = passes(name, change=plant_biases)[0]
    rows = torch.randn(5, 32, dtype=torch.float64)
    for start in (0, 1, 2):
        torch.testing.assert_close(sent(run, rows, start, "L1.attn", head), by_hand(run, 1, head, rows), **TIGHT)
    torch.testing.assert_close(sent(run, rows, 0, "L0.attn", head, 0.3), 0.3 * by_hand(run, 0, head, rows), **TIGHT)


class Held:
    """A module whose read norm has the scale of another run, and whose queries, keys and other heads are that run's."""

    def __init__(self, module: nn.Module, args: tuple, layer: int, head: int) -> None:
        self.module, self.args, self.layer, self.head = module, args, layer, head
        self.gpt = hasattr(module, "transformer")
        self.block = module.transformer.h[layer] if self.gpt else module.model.layers[layer]
        self.norm = self.block.ln_1 if self.gpt else self.block.input_layernorm
        attention = self.block.attn if self.gpt else self.block.self_attn
        self.reads = [attention.c_attn] if self.gpt else [attention.q_proj, attention.k_proj]
        self.out = attention.c_proj if self.gpt else attention.o_proj
        self.kept: dict[str, Tensor] = {}
        self.written(None)

    def written(self, added: Tensor | None) -> Tensor:
        """What the attention writes, with a tensor added to the stream before the block; the first time, all is kept."""
        hooks = [
            self.block.register_forward_pre_hook(lambda m, a: a if added is None else (a[0] + added, *a[1:])),
            self.norm.register_forward_hook(self._norm),
            *(read.register_forward_hook(lambda m, a, out, i=i: self._held(out, i)) for i, read in enumerate(self.reads)),
            self.out.register_forward_pre_hook(self._alone),
            self.out.register_forward_hook(lambda m, a, out: self.kept.__setitem__("out", out)),
        ]
        try:
            with torch.no_grad():
                self.module(*self.args)
        finally:
            for hook in hooks:
                hook.remove()
        return self.kept["out"]

    def _norm(self, module: nn.Module, args: tuple, out: Tensor) -> Tensor:
        x = args[0]
        base = self.kept.setdefault("x", x)
        if self.gpt:
            scale = (base.var(-1, correction=0, keepdim=True) + module.eps).sqrt()
            return (x - x.mean(-1, keepdim=True)) / scale * module.weight + module.bias
        return x / (base.square().mean(-1, keepdim=True) + module.variance_epsilon).sqrt() * module.weight

    def _held(self, out: Tensor, i: int) -> Tensor:
        base = self.kept.setdefault(f"read{i}", out)
        return torch.cat([base[..., :64], out[..., 64:]], -1) if self.gpt else base

    def _alone(self, module: nn.Module, args: tuple) -> tuple:
        base, mine = self.kept.setdefault("z", args[0]).clone(), slice(8 * self.head, 8 * self.head + 8)
        base[..., mine] = args[0][..., mine]
        return (base,)


@pytest.mark.parametrize("head", [0, 3])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_what_the_module_does_when_norm_and_pattern_are_held(name, head):
    """A finite difference of the module's own forward pass, its pattern's weight included; of any size, since all is linear."""
    module, args, _ = built(name, change=plant_biases)
    run, held = passes(name, change=plant_biases)[0], Held(module, args, 1, head)
    before, v = held.kept["out"], torch.randn(32, dtype=torch.float64)
    at = head_of(run, find_write(run.stream, "L1.attn"), head)
    weight = float(at.pattern(run)[SOURCE[0], QUERY, SOURCE[1]])
    assert 0 < weight < 1
    for size in (1e-2, 1.0, 100.0):
        added = torch.zeros_like(run.point(2))
        added[SOURCE] = size * v
        change = (held.written(added) - before)[SOURCE[0], QUERY] / size
        torch.testing.assert_close(through_head(run, v[None], 2, at, SOURCE, QUERY, weight)[0], change, rtol=1e-8, atol=1e-11)


ZOO = ["gpt2", "gptj", "neox", "llama", "bloom", "falcon", "gemma2", "granite", "mixtral", "bert"]


@pytest.mark.parametrize("name", ZOO)
def test_the_whole_stream_through_a_head_is_its_edge(name):
    """What a position's stream becomes, by the pattern's weight, is the head's edge from there, but for the value's constant."""
    run = main(name)  # no biases but those of norms
    write = find_write(run.stream, "L1.attn")
    for head in (0, 3):
        at = head_of(run, write, head)
        weight = float(at.pattern(run)[SOURCE[0], QUERY, SOURCE[1]])
        x = spot(run, SOURCE).of(run.point(at.read))
        edge = component(run, f"L1.attn.H{head}<-{SOURCE[1]}")[SOURCE[0], QUERY]
        found = through_head(run, x, at.read, at, SOURCE, QUERY, weight)[0]
        constant = edge_constant(run, at, weight)
        torch.testing.assert_close(found + constant, edge, **TIGHT)
        assert float(found.abs().max()) > 0


def edge_constant(run: Pass, at, weight: float) -> Tensor:
    """What is left of an edge where the stream says nothing: the norm's and the value's biases through the head."""
    zero, face = torch.zeros_like(run.point(at.read)), run.stream.points[at.read].face
    program = run.affine(at.key.program, at.seen)
    value = program(run.affine(face)(zero) if face.steps else zero)
    z, likes = at.z(run), run.lift(at.seen.at(at.source.site))
    each = value.reshape(z.shape[0], -1, *value.shape[-2:])
    alone = torch.zeros_like(z)
    alone[SOURCE[0], at.head, QUERY] = weight * each[SOURCE[0], at.head * each.shape[1] // z.shape[1], SOURCE[1]]
    writer = run.affine(at.write.writer.program, at.seen)
    return at.write.factor * run.shaped(writer.linear(alone.reshape(1, *likes.shape))[0])[SOURCE[0], QUERY]


def test_a_row_of_bert_by_hand():
    """A post-norm stream: the vector goes through the norm behind it first, by the scale at its place, and no norm at the read."""
    run = passes("bert", change=plant_biases)[0]
    layers, v = run.module.requires_grad_(False).bert.encoder.layer, torch.randn(32, dtype=torch.float64)
    norm, x = layers[0].output.LayerNorm, run.point(2)[SOURCE]
    n = (v - v.mean()) / (x.var(correction=0) + norm.eps).sqrt() * norm.weight
    attention = layers[1].attention
    value = attention.self.value.weight[8:16] @ n
    torch.testing.assert_close(sent(run, v[None], 2, "L1.attn", 1)[0], attention.output.dense.weight[:, 8:16] @ value, **TIGHT)


def test_many_rows_are_sent_a_few_at_a_time(monkeypatch):
    run = main("llama")
    rows = torch.randn(7, 32, dtype=torch.float64)
    every = sent(run, rows, 1, "L1.attn", 2)
    monkeypatch.setattr("mainstem.stream._ov._TILE", 1000)
    torch.testing.assert_close(sent(run, rows, 1, "L1.attn", 2), every, **TIGHT)


@pytest.mark.parametrize(
    ("name", "label", "head", "start", "said"),
    [
        ("gpt2", "L1.mlp", 0, 0, "L1.mlp is no attention with heads; its kind is mlp"),
        ("mamba", "L1.mixer", 0, 0, "no attention with heads"),
        ("gpt2", "L1.attn", 4, 0, "there is no head 4: L1.attn has 4"),
        ("gpt2", "L0.attn", 1, 1, "L0.attn reads entry, before L0.resid_mid"),
        ("t5", "dec.L0.cross", 1, 0, "dec.L0.cross reads its values at enc.L1.resid_post, of another stream"),
    ],
)
def test_what_cannot_be_sent(name, label, head, start, said):
    with pytest.raises(InputError, match=said):
        sent(main(name), torch.zeros(1, 32, dtype=torch.float64), start, label, head)


def test_a_vision_transformers_places_are_refused():
    with pytest.raises(InputError, match="a place is a prompt"):
        sent(main("vit"), torch.zeros(1, 32, dtype=torch.float64), 0, "L1.attn", 1)


def test_the_hand_written_module_is_held():
    """The checker's own check: without the held norm, the difference is another."""
    module, args, _ = built("llama", change=plant_biases)
    held = Held(module, args, 1, 0)
    before, added = held.kept["out"], torch.zeros(2, 7, 32, dtype=torch.float64)
    added[SOURCE] = torch.randn(32, dtype=torch.float64)
    frozen = held.written(added)
    held._norm = lambda module, args, out: out
    assert not torch.allclose(held.written(added), frozen, rtol=1e-3)
    assert not torch.allclose(frozen, before, rtol=1e-3)
