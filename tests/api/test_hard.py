"""The hard architectures: the whole verification, and what their configurations and their own modules say of the map."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import mainstem as ms
from hard import HARD
from mainstem.find import Source, StreamMap, run
from mainstem.score import direct
from mainstem.stream import Pass, readout, take
from zoo import Built, ids

pytestmark = pytest.mark.slow


@cache
def verified(name: str) -> tuple[Built, StreamMap, Any]:
    """A model of the registry, its map and its verification, made once. Parameters: `name`."""
    module, args, kwargs = HARD[name].build()
    model = ms.load(module)
    found = model.verify(*args, **kwargs)
    return (module, args, kwargs), model.map, found


@pytest.mark.parametrize("name", HARD)
def test_all_of_it_is_verified(name):
    found = verified(name)[2]
    assert found.ok, str(found)


@pytest.mark.parametrize("name", HARD)
def test_streams_and_kinds_are_those_of_the_architecture(name):
    truth, found = HARD[name], verified(name)[1]
    assert sorted(len(s.points) - 1 for s in found.streams) == sorted(truth.adds)
    assert bool(found.proof.bypass) == truth.bypass
    assert found.proof.uncovered == ()
    kinds = [" ".join(w.kind for p in found.main.points for w in p.writes if p.block == b) for b in range(len(found.main.blocks))]
    assert not truth.blocks or tuple(kinds) == truth.blocks


@pytest.mark.parametrize("name", [name for name, truth in HARD.items() if truth.heads or truth.experts or truth.neurons])
def test_sizes_are_those_of_the_configuration(name):
    truth, found = HARD[name], verified(name)[1]
    sources = [source for s in found.streams for w in s.writes if w.writer for source in w.writer.sources]
    assert {s.sizes[0] for s in sources if s.attention} == ({truth.heads} if truth.heads else set())
    assert {s.sizes for s in sources if s.groups} == ({truth.experts} if truth.experts else set())
    if truth.neurons is not None:
        assert {s.sizes for s in sources if _plain(s)} == {(n,) for n in truth.neurons}


def _plain(source: Source) -> bool:
    return source.attention is None and source.groups is None


@pytest.mark.parametrize("name", HARD)
def test_the_last_point_reads_as_the_module_answers(name):
    (module, args, kwargs), found, _ = verified(name)
    for stream in found.streams:
        if stream.output is None:
            continue
        here = take(module, found, args, kwargs, stream=stream.name)
        end = len(stream.points) - 1
        torch.testing.assert_close(here.shaped(readout(here).live(here.face(end))), here.output(), rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        result = module(*args, **kwargs)
    first = take(module, found, args, kwargs).output()
    said = [t for t in vars(result).values() if isinstance(t, Tensor)] if hasattr(result, "__dict__") else [result]
    assert any(t.numel() == first.numel() and torch.allclose(t.reshape(-1), first.reshape(-1), atol=1e-5) for t in said)


@pytest.mark.parametrize("name", [name for name, truth in HARD.items() if truth.outs])
def test_writes_are_what_the_modules_return(name):
    (module, args, kwargs), found, _ = verified(name)
    wanted, returned = _returned(name), {}

    def keep(path: str) -> Any:
        return lambda m, a, out: returned.__setitem__(path, (out if isinstance(out, Tensor) else out[0]).clone())

    hooks = [module.get_submodule(path).register_forward_hook(keep(path)) for path, _ in wanted.values()]
    with torch.no_grad():
        module(*args, **kwargs)
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        seen = run(module, args, kwargs, {key for s in found.streams for key in s.keys()}, (), found.volatile)
    writes = {w.label: w for s in found.streams for w in s.writes}
    for label, (path, factor) in wanted.items():
        value = writes[label].factor * seen.at(writes[label].site)
        torch.testing.assert_close(value, (factor * returned[path]).reshape(value.shape), rtol=1e-5, atol=1e-5)


def _returned(name: str) -> dict[str, tuple[str, float]]:
    """Paths and factors by label."""
    return {
        label.format(i): (path.format(i), factor)
        for label, path, factor in HARD[name].outs
        for i in range(len(HARD[name].blocks) if "{}" in label else 1)
    }


def last(here: Pass, seed: int = 0) -> Tensor:
    """A random direction on what is said at the last place. Parameters: `here`; `seed`."""
    output = here.output()
    found, drawn = torch.zeros_like(output), torch.randn(output.shape[-1], generator=torch.Generator().manual_seed(seed))
    (found[:, -1] if found.ndim == 3 else found)[:] = drawn
    return found


def scores(here: Pass, level: str) -> dict[str, Tensor]:
    """Each part's share of the direction, [batch], by label. Parameters: `here`; `level`."""
    parts = direct(here, last(here), level)
    return dict(zip(parts.labels(), parts.tensor, strict=True))


PADDED = (
    "cohere",
    "olmo2",
    "olmo3",
    "gemma3",
    "glm4",
    "doge",
    "gpt_oss",
    "qwen3_moe",
    "deepseek_v3",
    "bitnet",
    "mpt",
    "falcon_h1",
    "mamba2",
)


@pytest.mark.parametrize("name", PADDED)
def test_left_padding_with_a_mask_changes_no_score(name):
    (module, _, _), _, _ = verified(name)
    short, mask = ids(1, 5), torch.tensor([[0, 0, 1, 1, 1, 1, 1]])
    padded = torch.cat([torch.zeros(1, 2, dtype=torch.long), short], 1)
    alone = {"input_ids": short, "attention_mask": torch.ones_like(short)}
    both = {"input_ids": padded, "attention_mask": mask}
    runs = [take(module, ms.find(module, **kwargs), (), kwargs) for kwargs in (alone, both)]
    for level in ("write", "head", "neuron"):
        one, two = (scores(here, level) for here in runs)
        assert set(one) == set(two)
        for label, value in one.items():
            torch.testing.assert_close(two[label], value, rtol=1e-4, atol=1e-4, msg=lambda said: f"{label}: {said}")


IMPLEMENTED = (
    "cohere",
    "olmo2",
    "olmo3",
    "gemma3",
    "glm4",
    "doge",
    "qwen3_moe",
    "deepseek_v3",
    "bitnet",
    "minimax",
    "albert",
    "bart",
    "clip",
)


@pytest.mark.parametrize("name", IMPLEMENTED)
def test_spelled_out_and_fused_attention_score_the_same(name):
    found = []
    for kind in ("eager", "sdpa"):
        module, args, kwargs = HARD[name].build()
        module.set_attn_implementation(kind)
        mapped = ms.find(module, *args, **kwargs)
        assert mapped.proof.closed
        fused = {w.writer.sources[0].attention.pattern is None for w in mapped.main.writes if w.kind == "attn"}
        assert fused == {kind == "sdpa"}
        found.append(scores(take(module, mapped, args, kwargs), "edge"))
    one, two = found
    assert set(one) == set(two)
    for label, value in one.items():
        torch.testing.assert_close(two[label], value, rtol=1e-4, atol=1e-4, msg=lambda said: f"{label}: {said}")


def test_sinks_take_from_every_row():
    (module, (tokens,), _), found, _ = verified("gpt_oss")
    trace = ms.load(module).trace(tokens)
    for layer in (0, 1):
        rows = trace.pattern(layer).sum(-1)
        assert bool((rows < 1).all()) and bool((rows > 0).all())
    sinks = module.model.layers[0].self_attn.sinks
    assert bool((sinks != 0).all())
    assert all(s.attention for w in found.main.writes if w.kind == "attn" for s in w.writer.sources)


@pytest.mark.parametrize("name", ["olmo3", "gpt_oss", "deepseek_v3", "mpt"])
def test_patterns_are_what_the_module_says_they_are(name):
    module, (tokens,), _ = HARD[name].build()
    module.set_attn_implementation("eager")
    with torch.no_grad():
        theirs = module(tokens, output_attentions=True).attentions
    trace = ms.load(module).trace(tokens)
    for layer, pattern in enumerate(theirs):
        torch.testing.assert_close(trace.pattern(layer), pattern, rtol=1e-5, atol=1e-5)


def test_layer_scale_is_part_of_the_write():
    (module, args, kwargs), found, _ = verified("convnext")
    here = take(module, found, args, kwargs)
    gammas = [p for n, p in module.named_parameters() if "layer_scale" in n]
    assert len(gammas) == len(found.main.writes)
    assert all(bool((g.abs() > 1e-3).all()) for g in gammas)
    before = scores_of_writes(here)
    with torch.no_grad():
        gammas[0].zero_()
    try:
        after = scores_of_writes(take(module, found, args, kwargs))
    finally:
        verified.cache_clear()
    label = found.main.writes[0].label
    assert float(before[label].abs().max()) > 0
    assert torch.equal(after[label], torch.zeros_like(after[label]))


def scores_of_writes(here: Pass) -> dict[str, Tensor]:
    """Shares of the first output, by write. Parameters: `here`."""
    direction = torch.zeros_like(here.output())
    direction[..., 0] = 1.0
    parts = direct(here, direction, "write")
    return dict(zip(parts.labels(), parts.tensor, strict=True))


@pytest.mark.parametrize(("name", "width"), [("deepseek_v4", 32), ("swin", 16), ("convnext", 12), ("xlnet", 32)])
def test_the_width_is_that_of_the_features_whatever_the_layout(name, width):
    module, args, kwargs = HARD[name].build()
    assert ms.find(module, *args, **kwargs).main.width == width
