"""Points are the entry plus what was added up to them, and both faces are what the model's own modules read and return."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from mainstem.core import InputError
from mainstem.find import find
from mainstem.stream import find_point, find_write, pre_point, take
from stream._runs import built, main
from zoo import ZOO

AFTER_ADD = ("bert", "resnet", "resnet_basic", "resnet_inplace", "cifar")  # a norm, a ReLU or a projection between additions
SCALED = ("gemma2", "granite")  # the embedding is multiplied before it is read
TRANSPORTED = (*AFTER_ADD, "bloom")  # BLOOM's entry goes through a norm


def heard(module: nn.Module, call: Callable[[], object], *paths: str) -> dict[str, tuple[Tensor | None, Tensor]]:
    """What modules were given first and what they returned, copied: (input, output) by path."""
    found = {}

    def hear(path):
        def keep(_, args, out):
            found[path] = args[0].clone() if args else None, (out if isinstance(out, Tensor) else out[0]).clone()

        return keep

    hooks = [module.get_submodule(path).register_forward_hook(hear(path)) for path in paths]
    with torch.no_grad():
        call()
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("name", sorted(set(ZOO) - set(TRANSPORTED)))
def test_points_are_the_entry_plus_running_sums(name):
    run = main(name)
    entry = sum(run.write(w) for w in run.stream.entry)
    torch.testing.assert_close(entry.expand_as(run.point(0)), run.point(0), rtol=1e-13, atol=1e-13)
    total = run.face(0)
    for t, point in enumerate(run.stream.points[1:], 1):
        total = total + sum(run.write(w) for w in point.writes)
        torch.testing.assert_close(total, run.point(t), rtol=1e-13, atol=1e-13)
        assert torch.equal(run.face(t), run.point(t))
    assert torch.equal(run.face(0), run.point(0)) == (name not in SCALED)


def test_sixteen_layers_are_thirty_three_vectors():
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 16, "vocab_size": 9}
    module, ids = LlamaForCausalLM(LlamaConfig(**sizes)).double().eval(), torch.tensor([[1, 2, 3]])
    run = take(module, find(module, ids), (ids,), {})
    vectors = [run.write(w) for w in (*run.stream.entry, *run.stream.writes)]
    assert len(vectors) == len(run.stream.points) == 33
    for t, total in enumerate(torch.stack(vectors).cumsum(0)):
        torch.testing.assert_close(total, run.point(t), rtol=1e-13, atol=1e-13)


def test_bert_a_norm_stands_between_additions():
    module, (ids,), _ = built("bert")
    run, layers = main("bert"), module.bert.encoder.layer
    norms = [module.bert.embeddings.LayerNorm]
    norms += [norm for layer in layers for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm)]
    for t, norm in enumerate(norms):
        read = norm(run.point(t))
        torch.testing.assert_close(run.face(t), read, rtol=1e-13, atol=1e-13)
        if t + 1 < len(norms):
            (write,) = run.stream.points[t + 1].writes
            torch.testing.assert_close(run.point(t + 1), read + run.write(write), rtol=1e-13, atol=1e-13)
    hidden = module(ids, output_hidden_states=True).hidden_states
    for layer, h in enumerate(hidden[1:]):
        torch.testing.assert_close(run.face(2 * layer + 2), h, rtol=1e-13, atol=1e-13)


def test_resnet_relu_after_the_addition():
    module, args, kwargs = built("resnet")
    run, blocks = main("resnet"), main("resnet").stream.blocks
    paths = [f"{b}.{part}" for b in blocks for part in ("layer", "shortcut")]
    found = heard(module, lambda: module(*args, **kwargs), *blocks, *paths)
    stem = module.resnet.embedder.embedder
    torch.testing.assert_close(run.point(0), stem.convolution(*args), rtol=1e-13, atol=1e-13)
    for t, block in enumerate(blocks, 1):
        read, returned = found[block]
        branch, shortcut = found[f"{block}.layer"][1], found[f"{block}.shortcut"][1]
        torch.testing.assert_close(run.face(t - 1), read, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(run.write(run.stream.points[t].writes[0]), branch, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(run.point(t), branch + shortcut, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(run.face(t), returned, rtol=1e-13, atol=1e-13)
    assert float(run.point(1).min()) < 0 == float(run.face(1).min())


def test_blooms_entry_is_a_norm_of_the_embedding():
    module, (ids,), _ = built("bloom")
    run, inner = main("bloom"), module.transformer
    normed = inner.word_embeddings_layernorm(inner.word_embeddings(ids))
    torch.testing.assert_close(run.face(0), normed, rtol=1e-13, atol=1e-13)
    total = normed + sum(run.write(w) for w in run.stream.writes)
    torch.testing.assert_close(run.point(len(run.stream.points) - 1), total, rtol=1e-13, atol=1e-13)


def test_in_place_additions_are_recorded_before_they_are_overwritten():
    for name in ("falcon", "resnet_inplace"):
        run = main(name)
        values = [run.point(t) for t in range(len(run.stream.points))]
        assert not any(torch.equal(a, b) for i, a in enumerate(values) for b in values[i + 1 :])
        for t, point in enumerate(run.stream.points[1:], 1):
            operand = run.seen.at(point.stream)
            torch.testing.assert_close(operand + sum(run.write(w) for w in point.writes), run.point(t), rtol=1e-13, atol=1e-13)


def test_granites_writes_hold_their_multiplier():
    module, args, _ = built("granite")
    run = main("granite")
    found = heard(module, lambda: module(*args), "model.layers.0.self_attn", "model.layers.1.mlp")
    for path, label in (("model.layers.0.self_attn", "L0.attn"), ("model.layers.1.mlp", "L1.mlp")):
        torch.testing.assert_close(run.write(find_write(run.stream, label)), 0.3 * found[path][1], rtol=1e-6, atol=1e-8)
    embedded = module.model.embed_tokens(args[0])
    torch.testing.assert_close(run.point(0), embedded, rtol=0, atol=0)
    torch.testing.assert_close(run.face(0), 2.0 * embedded, rtol=1e-13, atol=1e-13)


def test_names_of_points():
    stream = main("llama").stream
    assert [p.name for p in stream.points] == ["entry", "L0.resid_mid", "L0.resid_post", "L1.resid_mid", "L1.resid_post"]
    assert [find_point(stream, p.name) for p in stream.points] == list(range(5))
    assert (find_point(stream, "L0.resid_pre"), find_point(stream, "L1.resid_pre")) == (0, 2)
    assert (pre_point(stream, 0), pre_point(stream, 1), pre_point(stream, 2)) == (0, 2, None)
    assert find_point(stream, "L0.attn") is None


def test_a_write_that_does_not_exist_says_what_there_is():
    with pytest.raises(InputError, match=r"no write 'L7\.mlp' in this model; there are entry\.embed, L0\.attn"):
        find_write(main("llama").stream, "L7.mlp.N3")


def test_a_stream_that_does_not_exist_says_what_there_is():
    run = main("t5")
    with pytest.raises(InputError, match="no stream 'side'; there are dec, enc"):
        take(run.module, run.map, run.args, run.kwargs, stream="side")
