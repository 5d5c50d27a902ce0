"""Keys: what switches neurons and attention values on, recognised from the graph, held against the modules' own tensors."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nets
from find._found import unproved
from hard import HARD
from mainstem.find import Source, StreamMap, run
from stream._runs import cast
from zoo import ZOO, Built, ids

PLAIN, GATED = ("key",), ("gate", "up")
# Names of the keys by kind of write; what is not named has none.
NAMES = {
    "gpt2": {"attn": ("value",), "mlp": PLAIN},
    "gptj": {"attn": ("value",), "mlp": PLAIN},
    "neox": {"attn": ("value",), "mlp": PLAIN},
    "llama": {"attn": ("value",), "mlp": GATED},
    "bloom": {"attn": ("value",), "mlp": PLAIN},
    "falcon": {"attn": ("value",), "mlp": PLAIN},
    "gemma2": {"attn": ("value",), "mlp": GATED},
    "granite": {"attn": ("value",), "mlp": GATED},
    "mixtral": {"attn": ("value",), "mlp": GATED},
    "mamba": {"mixer": ()},
    "bert": {"attn": ("value",), "mlp": PLAIN},
    "t5": {"attn": ("value",), "cross": ("value",), "mlp": PLAIN},
    "vit": {"attn": ("value",), "mlp": PLAIN},
    "tabular": {"mlp": PLAIN},
    "tabular_linear": {"mlp": PLAIN},
    "shared": {"mlp": PLAIN},
    "experts": {"mlp": PLAIN},
    "resnet": {"conv": ()},
}


@cache
def mapped(name: str) -> tuple[Built, StreamMap]:
    """A model in float64, and its map without the proof, found in float32. Parameters: `name`, of the zoo or of the hard ones."""
    module, args, kwargs = (ZOO[name] if name in ZOO else HARD[name].build)()
    found = unproved(module, *args, **kwargs)
    return (module.double(), cast(args, torch.float64), cast(kwargs, torch.float64)), found


def sources(found: StreamMap) -> list[tuple[str, Source]]:
    """Every source of every write, with the write's kind."""
    return [(w.kind, s) for stream in found.streams for w in stream.writes if w.writer for s in w.writer.sources]


@pytest.mark.parametrize("name", NAMES)
def test_keys_are_recognised_by_kind_of_write(name):
    found = sources(mapped(name)[1])
    assert found
    for kind, source in found:
        assert tuple(key.name for key in source.keys) == NAMES[name][kind], kind


def pre_activations(built: Built, found: StreamMap) -> list[tuple[str, Tensor, Tensor]]:
    """For every key: its name, what stood there, and what its frozen program makes of the point that is read."""
    module, args, kwargs = built
    every = [key for _, source in sources(found) for key in source.keys]
    points = {p.name: p for stream in found.streams for p in stream.points}
    wanted = {k for stream in found.streams for k in stream.keys()}
    wanted |= {k for key in every for k in (key.site.key, *key.program.keys())}
    with torch.no_grad():
        seen = run(module, args, kwargs, wanted, (), found.volatile, double=True)
    rows = []
    for key in every:
        face = points[key.point].face.bind(seen.calls).live(seen.at(points[key.point].site))
        rows.append((key.name, seen.at(key.site), key.program.bind(seen.calls)(face)))
    return rows


@pytest.mark.parametrize("name", [name for name, kinds in NAMES.items() if any(kinds.values())])
def test_the_frozen_program_gives_the_pre_activation(name):
    rows = pre_activations(*mapped(name))
    assert rows
    for label, there, frozen in rows:
        torch.testing.assert_close(frozen, there, rtol=1e-12, atol=1e-13, msg=lambda said, label=label: f"{label}: {said}")


# Where the modules themselves have what the keys are of; `attn` where the projection gives the values alone.
MODULES = {
    "gpt2": {"key": "mlp.c_fc"},
    "llama": {"gate": "mlp.gate_proj", "up": "mlp.up_proj", "value": "self_attn.v_proj"},
    "gemma2": {"gate": "mlp.gate_proj", "up": "mlp.up_proj", "value": "self_attn.v_proj"},
    "bert": {"key": "intermediate.dense", "value": "attention.self.value"},
    "neox": {"key": "mlp.dense_h_to_4h"},
    "vit": {"value": "attention.v_proj"},
}


def returned(built: Built, tail: str) -> list[Tensor]:
    """What every module with a path that ends so returned. Parameters: `built`; `tail`."""
    module, args, kwargs = built
    kept: list[Tensor] = []
    hooks = [
        m.register_forward_hook(lambda m, a, out: kept.append(out.detach().clone()))
        for n, m in module.named_modules()
        if n.endswith(tail)
    ]
    with torch.no_grad():
        module(*args, **kwargs)
    for hook in hooks:
        hook.remove()
    return kept


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in MODULES.items() for key in keys])
def test_keys_stand_where_the_module_has_them(name, key):
    built, found = mapped(name)
    there = [value for label, value, _ in pre_activations(built, found) if label == key]
    wanted = returned(built, MODULES[name][key])
    assert len(there) == len(wanted) > 0
    for a, b in zip(there, wanted, strict=True):
        if key == "value":  # [batch, head, pos, dim], perhaps spread over the heads that share a value
            b = b.unflatten(-1, (-1, a.shape[-1])).transpose(1, 2)
            b = b.repeat_interleave(a.shape[1] // b.shape[1], 1)
        torch.testing.assert_close(a.reshape(b.shape), b, rtol=1e-6, atol=1e-7)


class Neurons(nn.Module):
    """x + down(f(norm(x))): one block's neurons in any form. Parameters: `f`, makes them of what was read; `n`, how many."""

    def __init__(self, f: Callable[["Neurons", Tensor], Tensor], n: int = 12) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Embedding(20, 8), nn.LayerNorm(8), nn.Linear(8, 20)
        self.one, self.two, self.down, self.f = nn.Linear(8, n), nn.Linear(8, n), nn.Linear(n, 8), f

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for _ in range(2):
            x = x + self.down(self.f(self, self.norm(x)))
        return self.head(x)


def spelled_gelu(x: Tensor) -> Tensor:
    return nets.SpelledGelu()(x)


def clamped(m: Neurons, x: Tensor) -> Tensor:
    gate, up = m.one(x).clamp(max=0.3), m.two(x).clamp(-0.2, 0.2)
    return (up + 1) * (gate * torch.sigmoid(1.7 * gate))


FORMS: dict[str, tuple[Callable[[Neurons, Tensor], Tensor], tuple[str, ...]]] = {
    "relu": (lambda m, x: F.relu(m.one(x)), PLAIN),
    "relu in place": (lambda m, x: m.one(x).relu_(), PLAIN),
    "squared relu": (lambda m, x: F.relu(m.one(x)).square(), PLAIN),
    "squared relu as a product": (lambda m, x: F.relu(u := m.one(x)) * F.relu(u), PLAIN),
    "gelu": (lambda m, x: F.gelu(m.one(x)), PLAIN),
    "gelu spelled out": (lambda m, x: spelled_gelu(m.one(x)), PLAIN),
    "swish spelled out": (lambda m, x: (u := m.one(x)) * torch.sigmoid(1.5 * u), PLAIN),
    "leaky relu spelled out": (lambda m, x: torch.where((u := m.one(x)) > 0, u, 0.1 * u), PLAIN),
    "relu as a mask": (lambda m, x: (u := m.one(x)).masked_fill(u < 0, 0.0), PLAIN),
    "linear": (lambda m, x: m.one(x), PLAIN),
    "gated": (lambda m, x: F.silu(m.one(x)) * m.two(x), GATED),
    "gated the other way round": (lambda m, x: m.one(x) * F.silu(m.two(x)), GATED),
    "gated in halves": (
        lambda m, x: (h := torch.cat([m.one(x), m.two(x)], -1)).new_zeros(()) + F.gelu((p := h.chunk(2, -1))[0]) * p[1],
        GATED,
    ),
    "bilinear": (lambda m, x: m.one(x) * m.two(x), ("up", "up2")),
    "clamped": (clamped, GATED),
    "normed behind": (lambda m, x: F.rms_norm(F.relu(m.one(x)), (12,)), PLAIN),
    "softmax over neurons": (lambda m, x: m.one(x).softmax(-1), ()),
    "rolled": (lambda m, x: F.relu(m.one(x)).roll(1, -1), ()),
    "two layers deep": (lambda m, x: F.relu(m.one(torch.tanh(x))), ()),
    "scaled by its own size": (lambda m, x: F.relu(m.one(x)) * m.two(x).norm(dim=-1, keepdim=True), PLAIN),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_neurons(form):
    make, names = FORMS[form]
    module, args = Neurons(make).double().eval(), (ids(2, 5, 20),)
    found = unproved(module, *args)
    assert [tuple(key.name for key in s.keys) for _, s in sources(found)] == [names, names]
    if names:
        for _, there, frozen in pre_activations((module, args, {}), found):
            torch.testing.assert_close(frozen, there, rtol=1e-12, atol=1e-13)


def test_gate_and_up_are_told_apart_by_the_activation():
    module, args = Neurons(lambda m, x: m.one(x) * F.silu(m.two(x))).double().eval(), (ids(2, 5, 20),)
    rows = pre_activations((module, args, {}), unproved(module, *args))
    by_name = {label: there for label, there, _ in rows[:2]}
    read = module.norm(module.embed(args[0]))
    torch.testing.assert_close(by_name["gate"], module.two(read))
    torch.testing.assert_close(by_name["up"], module.one(read))


def test_a_map_keeps_its_keys_as_plain_data():
    found = mapped("llama")[1]
    again = StreamMap.from_dict(found.to_dict())
    assert again == found
    assert any(source.keys for _, source in sources(again))


def test_what_a_neuron_reads_is_named():
    """Parallel blocks read the point before them; later ones the sum in between; a decoder reads the encoder's end."""
    assert {key.point for _, s in sources(mapped("neox")[1]) for key in s.keys} == {"entry", "L0.resid_post"}
    found = [(w.label, key.point) for w in mapped("llama")[1].main.writes for s in w.writer.sources for key in s.keys]
    assert ("L1.mlp", "L1.resid_mid") in found and ("L1.attn", "L0.resid_post") in found
    cross = [key.point for kind, s in sources(mapped("t5")[1]) if kind == "cross" for key in s.keys]
    assert cross == ["enc.L1.resid_post"] * 2


HARD_KEYS = {
    "cohere": {"attn": ("value",), "mlp": GATED},
    "olmo2": {"attn": ("value",), "mlp": GATED},
    "gemma3": {"attn": ("value",), "mlp": GATED},
    "mpt": {"attn": ("value",), "mlp": PLAIN},
    "gpt_oss": {"attn": ("value",), "mlp": GATED},
    "deepseek_v3": {"attn": ("value",), "mlp": GATED},
    "qwen2_moe": {"attn": ("value",), "mlp": GATED},
    "bitnet": {"attn": ("value",), "mlp": GATED},
    "bart": {"attn": ("value",), "cross": ("value",), "mlp": PLAIN},
    "xlnet": {"attn": ("value",), "mlp": PLAIN},
    "falcon_h1": {"attn": ("value",), "mlp": GATED, "mixer": ()},
    "albert": {"attn": ("value",), "mlp": PLAIN},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HARD_KEYS)
def test_keys_of_hard_architectures(name):
    found = sources(mapped(name)[1])
    for kind, source in found:
        assert tuple(key.name for key in source.keys) == HARD_KEYS[name][kind], kind
    for label, there, frozen in pre_activations(*mapped(name)):
        torch.testing.assert_close(frozen, there, rtol=1e-11, atol=1e-12, msg=lambda said, label=label: f"{label}: {said}")
