"""One map for every input of a form: batches, lengths, masks, precisions, kinds of attention."""

from dataclasses import replace

import pytest
import torch

from find._found import charted, mapped, unproved
from mainstem.find import Proof, Stream, StreamMap, find, run, transport
from mainstem.find._inputs import second_inputs
from mainstem.find._record import record
from zoo import ZOO, ids, pixels, rows


def bare(stream: Stream) -> Stream:
    """A stream without the sizes that go with one input. Parameters: `stream`."""
    return replace(stream, points=tuple(replace(p, shape=()) for p in stream.points))


def additions(found: StreamMap) -> list:
    """Where the stream is added to, operand by operand, and what its parts are called."""
    points = [p for s in found.streams for p in s.points]
    return [(p.site, p.stream, p.name, [(w.label, w.kind, w.site, w.factor) for w in p.writes]) for p in points]


@pytest.mark.parametrize("name", ["gpt2", "llama", "gptj", "falcon", "bloom", "mixtral", "bert"])
@pytest.mark.parametrize("shape", [(1, 2), (1, 7), (3, 11)])
def test_one_map_for_all_batches_and_lengths(name, shape):
    (module, _, _), usual = charted(name)
    other = unproved(module, ids(*shape))
    assert [bare(s) for s in other.streams] == [bare(s) for s in usual.streams]
    assert [p.shape for p in other.main.points] == [(*shape, 32)] * len(other.main.points)


@pytest.mark.parametrize("name", ["gpt2", "falcon"])
def test_one_prompt_of_two_tokens_is_enough_for_a_proof(name):
    module = mapped(name)[0][0]
    proof = find(module, ids(1, 2)).proof
    assert proof == replace(mapped(name)[1].proof, **measured(proof))


def measured(proof: Proof) -> dict[str, float]:
    """The numbers of a proof that go with the input, checked. Parameters: `proof`."""
    assert proof.closed
    assert max(proof.cut, proof.response, proof.continuity) < 1e-14
    return {name: getattr(proof, name) for name in ("max_error", "bound", "continuity", "cut", "response")}


def padded(side: str) -> dict[str, torch.Tensor]:
    """Two prompts of lengths 4 and 7, padded on one side."""
    tokens, mask = ids(), torch.ones(2, 7, dtype=torch.long)
    gap = slice(4, None) if side == "right" else slice(None, 3)
    tokens[0, gap], mask[0, gap] = 0, 0
    return {"input_ids": tokens, "attention_mask": mask}


def with_attention(name: str, kind: str) -> tuple:
    """A model of the zoo with the given implementation of attention."""
    module, args, kwargs = ZOO[name]()
    module.config._attn_implementation = kind
    return module, args, kwargs


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "bloom"])
def test_padding_and_kinds_of_attention_change_no_addition(name, side, kind):
    module = with_attention(name, kind)[0]
    assert additions(unproved(module, **padded(side))) == additions(charted(name)[1])


@pytest.mark.parametrize(
    ("name", "side", "kind"), [("gpt2", "left", "sdpa"), ("gpt2", "right", "eager"), ("llama", "left", "eager")]
)
def test_padded_prompts_are_proved(name, side, kind):
    module = with_attention(name, kind)[0]
    proof = find(module, **padded(side)).proof
    assert proof == replace(mapped(name)[1].proof, bypass=("input attention_mask",), **measured(proof))


@pytest.mark.parametrize("name", ["gpt2", "llama", "bloom"])
def test_every_kind_of_attention_is_seen_as_attention(name):
    for kind in ("sdpa", "eager"):
        module, args, kwargs = with_attention(name, kind)
        writers = [w.writer for w in unproved(module, *args, **kwargs).main.writes if w.kind == "attn"]
        assert len(writers) == 2
        for writer in writers:
            (source,) = writer.sources
            assert source.attention is not None
            assert (source.attention.pattern is None) == (kind == "sdpa" and name != "bloom")


@pytest.mark.parametrize("name", ["llama", "falcon", "bert", "tabular"])
def test_low_precision_is_proved_in_float64(name):
    module, args, kwargs = ZOO[name]()
    module = module.to(torch.bfloat16)
    args = tuple(a.to(torch.bfloat16) if a.is_floating_point() else a for a in args)
    found = find(module, *args, **kwargs)
    assert found.proof.dtype == "float64"
    assert found.proof.closed
    assert found.proof.bound < 1e-11
    assert [w.label for w in found.main.writes] == [w.label for w in charted(name)[1].main.writes]
    assert all(p.dtype == torch.bfloat16 for p in module.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_map_is_that_of_the_modules_own_precision(dtype):
    module, args, kwargs = ZOO["llama"]()
    module = module.to(dtype)
    found = unproved(module, *args, **kwargs)
    with torch.no_grad():
        seen = run(module, args, kwargs, found.main.keys(), (), found.volatile)
    last = found.main.points[-1]
    assert seen.at(last.site).dtype == dtype
    torch.testing.assert_close(transport(last, seen, seen.at(last.site)), seen.result.logits, rtol=1e-5, atol=1e-5)


def test_a_map_holds_for_a_longer_input():
    """What was found with seven tokens takes apart a run with twelve."""
    (module, _, _), found = charted("gemma2")
    with torch.no_grad():
        seen = run(module, (ids(3, 12),), {}, found.main.keys(), (), found.volatile)
    last = found.main.points[-1]
    total = transport(found.main.points[0], seen, seen.at(found.main.entry[0].site))
    total = total + sum(seen.at(w.site) for w in found.main.writes)
    torch.testing.assert_close(total, seen.at(last.site), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(transport(last, seen, total), seen.result.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "other"), [("cifar", pixels(1)), ("tabular_linear", rows(1)), ("resnet", pixels(1, 48))])
def test_a_batch_of_one_image_or_row(name, other):
    (module, _, _), usual = charted(name)
    found = find(module, other)
    assert found.proof.closed
    assert additions(found) == additions(usual)


def test_inputs_by_keyword_and_by_position_are_the_same():
    (module, (tokens,), _), usual = charted("gpt2")
    assert unproved(module, input_ids=tokens).streams == usual.streams


def test_embeddings_in_place_of_ids():
    module, (tokens,), _ = ZOO["llama"]()
    found = find(module, inputs_embeds=module.get_input_embeddings()(tokens).detach())
    assert found.proof.closed
    assert [w.label for w in found.main.writes] == ["L0.attn", "L0.mlp", "L1.attn", "L1.mlp"]
    assert [w.label for w in found.main.entry] == ["entry.embed"]


def test_under_inference_mode_and_with_gradients():
    (module, args, kwargs), usual = charted("tabular_linear")
    args = (args[0].clone(),)
    with torch.inference_mode():
        assert find(module, *args, **kwargs).streams == usual.streams
    args[0].requires_grad_()
    assert find(module, *args, **kwargs).streams == usual.streams
    assert all(p.grad is None for p in module.parameters())


def test_the_second_input_is_made_of_ids_that_are_there():
    """Ids that are not there may stand for something else, or be none of a code book's."""
    module, (first,), _ = ZOO["gpt2"]()
    graph = record(module, (first,), {})
    (((second,), _), *_) = second_inputs(graph, (first,), {})
    assert bool((second != first).all())
    assert set(second.unique().tolist()) == set(first.unique().tolist())
    (((third,), _), *_) = second_inputs(graph, (torch.full_like(first, 7),), {})
    assert bool((third == 8).all())


def test_an_input_of_one_id_and_one_of_numbers():
    module, (x,), _ = ZOO["tabular"]()
    (((y,), _), *_) = second_inputs(record(module, (x,), {}), (x,), {})
    assert y.shape == x.shape and y.dtype == x.dtype
    assert bool((y != x).all())
