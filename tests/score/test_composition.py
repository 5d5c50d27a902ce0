"""Virtual weights and composition: by hand, by finite differences with norms held, in a turned basis, against random rotations."""

import pytest
import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.find import find
from mainstem.find import run as find_run
from mainstem.score import VIA, composition, virtual_weights
from mainstem.stream import Pass, find_write, matrices, take
from score._held import hold
from stream._runs import built, main, passes, plant_biases

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
WIDTH, HEADS, SIZE = 32, 4, 8


def rows_of(name: str, run: Pass, layer: int) -> dict[str, Tensor]:
    """By hand: what queries, keys, values and neurons read, with the norm's gain, centred; what heads and neurons add."""
    module = run.module.requires_grad_(False)
    if name == "gpt2":
        block = module.transformer.h[layer]
        q, k, v = (block.attn.c_attn.weight.T * block.ln_1.weight).split(WIDTH)
        found = {"query": q, "key": k, "value": v, "o": block.attn.c_proj.weight}
        found |= {"in": block.mlp.c_fc.weight.T * block.ln_2.weight, "out": block.mlp.c_proj.weight}
    elif name == "neox":
        block = module.gpt_neox.layers[layer]
        each = (block.attention.query_key_value.weight * block.input_layernorm.weight).unflatten(0, (HEADS, 3, SIZE))
        found = {part: each[:, i].flatten(0, 1) for i, part in enumerate(VIA)} | {"o": block.attention.dense.weight.T}
        found |= {"in": block.mlp.dense_h_to_4h.weight * block.post_attention_layernorm.weight}
        found |= {"out": block.mlp.dense_4h_to_h.weight.T}
    else:
        block = module.model.layers[layer]
        gain, attn = block.input_layernorm.weight, block.self_attn
        found = {part: getattr(attn, f"{part[0]}_proj").weight * gain for part in VIA} | {"o": attn.o_proj.weight.T}
        found |= {"in": block.mlp.up_proj.weight * block.post_attention_layernorm.weight, "out": block.mlp.down_proj.weight.T}
        return found
    return {part: rows if part in ("o", "out") else rows - rows.mean(-1, keepdim=True) for part, rows in found.items()}


@pytest.mark.parametrize("name", ["gpt2", "neox", "llama"])
def test_rows_are_the_weights(name):
    run = passes(name, change=plant_biases)[0]
    want = rows_of(name, run, 1)
    attn, mlp = (matrices(run, find_write(run.stream, label)) for label in ("L1.attn", "L1.mlp"))
    for part in VIA:
        torch.testing.assert_close(attn.reads[part], want[part], **CLOSE)
    torch.testing.assert_close(attn.adds, want["o"], **CLOSE)
    torch.testing.assert_close(mlp.reads["up" if name == "llama" else "key"], want["in"], **CLOSE)
    torch.testing.assert_close(mlp.adds, want["out"], **CLOSE)


@pytest.mark.parametrize("name", ["gpt2", "neox", "llama", "bert", "gemma2", "granite", "bloom", "vit", "mixtral"])
def test_they_are_the_same_whatever_the_input(name):
    run = main(name)
    module, args, kwargs = built(name)
    other = take(module, run.map, tuple(a[:1] + 0.5 if a.is_floating_point() else (a[:1, :3] + 3) % 50 for a in args), kwargs)
    for label in ("L1.attn", "L1.mlp"):
        ours, theirs = (matrices(r, find_write(r.stream, label)) for r in (run, other))
        if label == "L1.mlp" and name == "mixtral":
            assert ours is None and theirs is None
            continue
        assert set(ours.reads) == ({"query", "key", "value"} if label == "L1.attn" else set(theirs.reads))
        for part in ours.reads:
            torch.testing.assert_close(ours.reads[part], theirs.reads[part], **CLOSE)
        torch.testing.assert_close(ours.adds, theirs.adds, **CLOSE)


CASES = [("L1.attn", "L0.mlp", key) for key in VIA] + [("L0.mlp", "L0.attn", "up"), ("L1.mlp", "L1.attn", "gate")]


@pytest.mark.parametrize(("later", "earlier", "key"), CASES)
def test_by_finite_differences_of_a_run_with_norms_held(later, earlier, key):
    """A neuron's row is put into the stream once more: what the later block's rows see of it, times what its norm divides by."""
    module, args, _ = built("llama")
    hold(module)
    find_run(module, args, {}, double=True)
    run = take(module, find(module, *args), args, {})
    found = virtual_weights(run, later, earlier, key)
    write = find_write(run.stream, later)
    source = write.writer.sources[0]
    site = next(k for k in (*(source.attention.asks if source.attention else ()), *source.keys) if k.name == key).site
    norms = module.model.layers[int(later[1])]
    sigma = (norms.input_layernorm if later.endswith("attn") else norms.post_attention_layernorm).scale[0, 0]
    out = matrices(run, find_write(run.stream, earlier))
    t = next(t for t, p in enumerate(run.stream.points) if out.write in p.writes)

    def seen(extra: Tensor) -> Tensor:
        from mainstem.find import Patch

        def change(x: Tensor) -> Tensor:
            x = x.clone()
            x[0, 0] += extra
            return x

        got = find_run(module, args, {}, {site.key}, [Patch(run.stream.points[t].site, change)], double=True).at(site)
        return got[0, :, 0].flatten() if got.ndim == 4 else got[0, 0]

    base = seen(torch.zeros(WIDTH, dtype=torch.float64))
    for j in (0, 5, 17):
        torch.testing.assert_close((seen(out.adds[j]) - base) * sigma, found[:, j], rtol=1e-9, atol=1e-11)


def test_a_post_norm_in_between_is_frozen():
    run = main("bert")
    found = virtual_weights(run, "L1.attn", "L0.mlp", "query")
    layer = run.module.bert.encoder.layer
    norm, t = layer[0].output.LayerNorm, 2
    x = run.point(t)[0, 0]
    sigma = (x.var(correction=0) + norm.eps).sqrt()
    adds = layer[0].output.dense.weight.T
    seen = (adds - adds.mean(-1, keepdim=True)) / sigma * norm.weight
    torch.testing.assert_close(found, layer[1].attention.self.query.weight @ seen.T, **CLOSE)


@pytest.mark.parametrize("name", ["gpt2", "neox", "llama"])
def test_scores_are_norms_of_whole_matrices(name):
    run = passes(name, change=plant_biases)[0]
    found = {(c.later, c.earlier, c.via): c for c in composition(run)}
    assert set(found) == {("L1.attn", "L0.attn", via) for via in VIA}
    first, second = rows_of(name, run, 0), rows_of(name, run, 1)

    def head(rows: Tensor, i: int) -> Tensor:
        each = rows.unflatten(0, (-1, SIZE))
        return each[i * len(each) // HEADS]

    for via in VIA:
        for h in range(HEADS):
            q, k, v, o = (head(second[part], h) for part in (*VIA, "o"))
            a = {"query": k.T @ q, "key": q.T @ k, "value": o.T @ v}[via]
            for g in range(HEADS):
                b = head(first["o"], g).T @ head(first["value"], g)
                want = float((a @ b).norm() / (a.norm() * b.norm()))
                assert float(found["L1.attn", "L0.attn", via].score[h, g]) == pytest.approx(want, rel=1e-9)


def test_random_rotations_have_the_baseline_and_its_spread():
    run = main("gpt2")
    found = next(c for c in composition(run) if c.via == "query")
    first, second = rows_of("gpt2", run, 0), rows_of("gpt2", run, 1)
    a, b = second["key"][:SIZE].T @ second["query"][:SIZE], first["o"][:SIZE].T @ first["value"][:SIZE]
    generator = torch.Generator().manual_seed(0)
    q, r = torch.linalg.qr(torch.randn(4000, WIDTH, WIDTH, generator=generator, dtype=torch.float64))
    turned = (a @ (q * r.diagonal(dim1=1, dim2=2).sign()[:, None]) @ b).flatten(1).norm(dim=1) / (a.norm() * b.norm())
    squares = turned.square()
    spread = float((found.score[0, 0].square() - found.baseline**2) / found.deviations[0, 0])
    assert float(squares.mean()) == pytest.approx(found.baseline**2, abs=5 * spread / 4000**0.5)
    assert float(squares.std()) == pytest.approx(spread, rel=0.1)


def test_a_turned_basis_says_the_same():
    module, args, _ = built("llama")
    generator = torch.Generator().manual_seed(1)
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64))[0]
    plain = take(module, find(module, *args), args, {})
    before = list(composition(plain)), [virtual_weights(plain, *case) for case in CASES]
    with torch.no_grad():
        for layer in module.model.layers:
            for norm, parts in (
                (layer.input_layernorm, [layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj]),
                (layer.post_attention_layernorm, [layer.mlp.gate_proj, layer.mlp.up_proj]),
            ):
                for part in parts:
                    part.weight.copy_(part.weight * norm.weight @ turn.T)
                norm.weight.fill_(1)
            for part in (layer.self_attn.o_proj, layer.mlp.down_proj):
                part.weight.copy_(turn @ part.weight)
        module.model.embed_tokens.weight.copy_(module.model.embed_tokens.weight @ turn.T)
    run = take(module, find(module, *args), args, {})
    torch.testing.assert_close(run.point(3), plain.point(3) @ turn.T, rtol=1e-8, atol=1e-9)
    for one, other in zip(before[0], composition(run), strict=True):
        torch.testing.assert_close(one.score, other.score, **CLOSE)
        torch.testing.assert_close(one.deviations, other.deviations, rtol=1e-8, atol=1e-8)
    for one, case in zip(before[1], CASES, strict=True):
        torch.testing.assert_close(one, virtual_weights(run, *case), **CLOSE)


def test_parts_are_rows_of_the_whole():
    run = main("llama")
    whole = virtual_weights(run, "L1.attn", "L0.attn", "key")
    assert whole.shape == (16, 32)  # two key heads
    torch.testing.assert_close(virtual_weights(run, "L1.attn.H3", "L0.attn.H1", "key"), whole[8:, 8:16])
    torch.testing.assert_close(
        virtual_weights(run, "L1.mlp", "L0.mlp.N3", "up"), virtual_weights(run, "L1.mlp", "L0.mlp", "up")[:, 3:4]
    )


def test_what_cannot_be_asked_is_said():
    run = main("llama")
    with pytest.raises(InputError, match="reads by query, key, value: name one"):
        virtual_weights(run, "L1.attn", "L0.mlp")
    with pytest.raises(InputError, match="take an earlier one"):
        virtual_weights(run, "L0.attn", "L0.mlp", "value")
    with pytest.raises(InputError, match="does not exist"):
        virtual_weights(run, "L1.attn.H9", "L0.mlp", "value")
    with pytest.raises(InputError, match="no weights"):
        virtual_weights(main("resnet"), "L1.conv", "L0.conv")
    with pytest.raises(InputError, match="no two attentions"):
        list(composition(main("mamba")))
