"""A rotated model: the same outputs, R x where x stood, and a refusal that names what no rotation leaves alone."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mainstem as ms
import nets
import real
from mainstem.core import FACTOR, error
from mainstem.find import run
from mainstem.measure import directions, measure_named
from mainstem.models import digest
from zoo import GROUPED, SMALL, ZOO, causal, ids

MORE = {
    "gemma": ("Gemma", {**SMALL, **GROUPED, "head_dim": 8}),
    "qwen3": ("Qwen3", {**SMALL, **GROUPED, "head_dim": 8}),
    "opt": ("OPT", {**SMALL, "ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 64}),
    "cohere": ("Cohere", {**SMALL, **GROUPED}),
    "starcoder2": ("Starcoder2", {**SMALL, **GROUPED}),
    "mpt": ("Mpt", {"vocab_size": 50, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64}),
}
ROTATED = [
    "gpt2",
    "gptj",
    "neox",
    "llama",
    "falcon",
    "granite",
    "mixtral",
    "mamba",
    "t5",
    "vit",
    "tabular_linear",
    "second_path",
    *MORE,
]
REFUSED = {
    "bert": "LayerNorm.*norms what then is the stream",
    "bloom": "word_embeddings_layernorm.*norms what then is the stream",
    "gemma2": "post_feedforward_layernorm.*feature by feature",
    "resnet": "changes its width",
    "cifar": "changes its width",
    "tabular": "is an input of the module",
    "entry_again": "gelu",
    "shared": "block.norm takes the mean .* head/linear reads it with the mean",
}


@cache
def built(name: str) -> tuple[nn.Module, tuple[Any, ...], dict[str, Any]]:
    if name in MORE and name not in ZOO:
        causal(name, MORE[name][0], **MORE[name][1])
    return ZOO[name]()


def outputs(module: nn.Module, args: Any, kwargs: Any, double: bool = False) -> Tensor:
    with torch.no_grad():
        found = run(module, args, kwargs, double=double).result
    return getattr(found, "logits", found)


def rotation(width: int, seed: int = 1) -> Tensor:
    return directions(width, width, seed, torch.device("cpu"), torch.float64)


@pytest.mark.parametrize("name", ROTATED)
def test_outputs_are_the_same_to_the_bound(name: str) -> None:
    module, args, kwargs = built(name)
    before = digest(module)
    new = ms.rotate(ms.load(module), None, *args, seed=3, **kwargs)
    a, b = outputs(module, args, kwargs), outputs(new.module, args, kwargs)
    assert error(a, b) <= FACTOR * torch.finfo(torch.float32).eps * float(a.abs().max())
    assert digest(module) == before and type(new.module) is type(module)


@pytest.mark.parametrize("name", ["gpt2", "llama", "opt"])
def test_a_module_in_float64_is_rotated_in_float64(name: str) -> None:
    module, args, kwargs = ZOO[name]() if name in ZOO else built(name)
    module = module.double() if name in ROTATED else module
    new = ms.rotate(ms.load(module), None, *args, **kwargs)
    a, b = outputs(module, args, kwargs, True), outputs(new.module, args, kwargs, True)
    assert error(a, b) <= FACTOR * torch.finfo(torch.float64).eps * float(a.abs().max())


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma", "mixtral", "neox"])
def test_points_are_r_x_and_the_new_map_is_proved(name: str) -> None:
    module, args, kwargs = built(name)
    R = rotation(32)
    old, new = ms.load(module), ms.rotate(ms.load(module), R, *args, **kwargs)
    assert new.map_with(*args, **kwargs).proof.closed
    old.map_with(*args, **kwargs)
    centre = any(isinstance(m, nn.LayerNorm) for m in module.modules())
    for label in ("entry", "L0.resid_post", "L1.resid_post"):
        x, y = (m.trace(args[0])[label].double() for m in (old, new))
        x = x - x.mean(-1, keepdim=True) if centre else x
        assert error(x @ R.T, y) <= FACTOR * torch.finfo(torch.float32).eps * float(x.abs().max())


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_no_rotation_leaves_alone_is_named(name: str) -> None:
    module, args, kwargs = built(name)
    with pytest.raises(ms.InputError, match=REFUSED[name]):
        ms.rotate(ms.load(module), None, *args, **kwargs)


class Named(nn.Module):
    """Pre-norm with one thing about it, by name."""

    def __init__(self, kind: str, width: int = 8) -> None:
        super().__init__()
        self.kind = kind
        self.embed, self.head = nn.Embedding(20, width), nn.Linear(width, 20, bias=False)
        self.blocks = nn.ModuleList(nets.TabularBlock(width) for _ in range(2))
        self.norm, self.scale = nn.LayerNorm(width), nn.Parameter(torch.rand(width) + 0.5)
        with torch.no_grad():
            for p in self.parameters():
                p.add_(0.3 * torch.randn_like(p))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x * self.scale if self.kind == "gain" else x.relu() if self.kind == "relu" else x)
        h = self.norm(x)
        if self.kind == "shared":
            return nn.functional.linear(h, self.embed.weight)
        if self.kind == "bare":
            return h @ self.head.weight.T
        return torch.cat([self.head(h), h], -1) if self.kind == "hidden" else self.head(h)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("gain", "feature by feature"),
        ("relu", "relu"),
        ("shared", "has no bias"),
        ("bare", "no bias"),
        ("hidden", "feature by feature"),
    ],
)
def test_a_planted_obstacle_is_named(kind: str, said: str) -> None:
    tokens = ids(2, 5, 20)
    plain = Named("plain").eval()
    assert ms.rotate(ms.load(plain), None, tokens).map_with(tokens).proof.closed
    with pytest.raises(ms.InputError, match=said):
        ms.rotate(ms.load(Named(kind).eval()), None, tokens)


@pytest.mark.parametrize(
    ("R", "said"),
    [
        (torch.eye(31), "32 x 32"),
        (torch.eye(32)[:, :31], "32 x 32"),
        (torch.eye(32, dtype=torch.int64), "floating"),
        (1.001 * torch.eye(32), "not orthogonal"),
        (torch.full((32, 32), torch.nan), "not orthogonal"),
    ],
)
def test_r_is_checked(R: Tensor, said: str) -> None:
    module, args, kwargs = built("gpt2")
    with pytest.raises(ms.InputError, match=said):
        ms.rotate(ms.load(module), R, *args, **kwargs)


def test_a_rotated_llama_loads_into_its_own_class(tmp_path: Path) -> None:
    module, args, kwargs = built("llama")
    new = ms.rotate(ms.load(module), rotation(32).float(), *args, **kwargs)
    new.module.save_pretrained(tmp_path)
    again = type(module).from_pretrained(tmp_path).eval()
    assert torch.equal(outputs(again, args, kwargs), outputs(new.module, args, kwargs))


def test_state_is_stored_and_the_module_pickled(tmp_path: Path) -> None:
    module, args, kwargs = built("gpt2")
    new, other = (ms.rotate(ms.load(module), None, *args, seed=seed, **kwargs).module for seed in (1, 2))
    torch.save(new.state_dict(), tmp_path / "state.pt")
    torch.save(new, tmp_path / "module.pt")
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    whole = torch.load(tmp_path / "module.pt", weights_only=False)
    for again in (other, whole):
        assert torch.equal(outputs(again, args, kwargs), outputs(new, args, kwargs))


def test_one_of_two_streams_is_rotated_alone() -> None:
    module, args, kwargs = built("t5")
    old, R = ms.load(module), rotation(32)
    new = ms.rotate(old, R, *args, stream="dec", **kwargs)
    assert new.map_with(*args, **kwargs).proof.closed
    a, b = outputs(module, args, kwargs), outputs(new.module, args, kwargs)
    assert error(a, b) <= FACTOR * torch.finfo(torch.float32).eps * float(a.abs().max())
    with pytest.raises(ms.InputError, match="is part of the module's output .encoder.final_layer_norm"):
        ms.rotate(old, R, *args, stream="enc", **kwargs)
    with pytest.raises(ms.InputError, match="no stream 'third'"):
        ms.rotate(old, R, *args, stream="third", **kwargs)


@pytest.mark.parametrize("scaled", [True, False])
def test_a_module_that_asks_whether_weights_are_shared_is_answered(scaled: bool) -> None:
    module, args, kwargs = built("t5")
    module.config.tie_word_embeddings = True  # type: ignore[union-attr]
    module.config.scale_decoder_outputs = scaled  # type: ignore[union-attr]
    new = ms.rotate(ms.load(module), None, *args, **kwargs).module
    a, b = outputs(module, args, kwargs), outputs(new, args, kwargs)
    assert error(a, b) <= FACTOR * torch.finfo(torch.float32).eps * float(a.abs().max())


class Latents(nn.Module):
    """The stream begins at weights of its own, which are read behind a norm and added to."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.latents, self.first = nn.Parameter(torch.randn(3, width)), nn.Linear(width, width)
        self.stem, self.blocks = nn.Linear(5, width), nn.ModuleList(nets.TabularBlock(width) for _ in range(2))
        self.start, self.norm, self.head = nn.LayerNorm(width), nn.LayerNorm(width), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        z = self.latents.expand(len(x), -1, -1)
        z = z + torch.tanh(self.first(self.start(z))) * self.stem(x)[:, None]
        for block in self.blocks:
            z = block(z)
        return self.head(self.norm(z).mean(1))


class Written(nn.Module):
    """As `Latents`, with weights between what is gated and the stream."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.inner, self.out = Latents(width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.inner
        z = inner.latents.expand(len(x), -1, -1)
        z = z + self.out(torch.tanh(inner.first(inner.start(z))) * inner.stem(x)[:, None])
        for block in inner.blocks:
            z = block(z)
        return inner.head(inner.norm(z).mean(1))


def test_a_stream_that_begins_at_weights_is_rotated_and_a_gate_on_it_is_not() -> None:
    x = torch.randn(6, 5)
    module = Written().eval()
    a, b = outputs(module, (x,), {}), outputs(ms.rotate(ms.load(module), None, x).module, (x,), {})
    assert error(a, b) <= FACTOR * torch.finfo(torch.float32).eps * float(a.abs().max())
    with pytest.raises(ms.InputError, match="mul. makes a part of the stream feature by feature"):
        ms.rotate(ms.load(Latents().eval()), None, x)


def test_the_rotated_module_learns() -> None:
    module, args, kwargs = built("llama")
    new = ms.rotate(ms.load(module), None, *args, **kwargs).module
    new(args[0], labels=args[0]).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in new.parameters() if p.requires_grad)


def test_kurtosis_of_a_rotated_point_is_that_of_r_x() -> None:
    R, texts = rotation(192, 4), ["The capital of France is Paris.", "Water is wet."]
    old = ms.load("default")
    found = ms.measure(ms.rotate(old, R), texts, ["kurtosis"])["kurtosis"]
    one = measure_named("kurtosis")
    for site, numbers in found.items():
        rows = [old.trace(text)[site][0].double() for text in texts]
        x = torch.cat([row - row.mean(-1, keepdim=True) for row in rows]) @ R.T
        state = one.update(one.init(192), x, torch.ones(len(x), dtype=torch.bool))
        assert float(numbers["kurtosis"]) == pytest.approx(float(one.result(state)["kurtosis"]), rel=1e-4)


def test_provenance_says_which_rotation() -> None:
    module, args, kwargs = built("gpt2")
    seeded, given = (ms.rotate(ms.load(module), R, *args, seed=5, **kwargs).provenance for R in (None, rotation(32)))
    assert seeded.origin == "rotated" and seeded.source == "GPT2LMHeadModel, rotated by seed 5"
    assert "rotated by R of sha256 " in str(given.source) and seeded.weights != given.weights


def test_the_default_model_says_the_same() -> None:
    old = real.model("default")
    new = ms.rotate(old, seed=0)
    a, b = (m.trace("The capital of France is").logits for m in (old, new))
    assert error(a, b) <= FACTOR * torch.finfo(torch.float32).eps * float(a.abs().max())
    assert torch.equal(a.argmax(-1), b.argmax(-1))


@pytest.mark.slow
def test_smollm2_says_the_same(real_model: Callable[[str], Path]) -> None:
    old = real.model(real_model("smollm2"))
    new = ms.rotate(old, seed=0)
    a, b = (m.trace("The capital of France is Paris, and that of Italy is").logits for m in (old, new))
    assert error(a, b) <= FACTOR * torch.finfo(torch.float32).eps * float(a.abs().max())
    assert torch.equal(a.argmax(-1), b.argmax(-1))
