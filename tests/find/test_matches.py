"""Queries and keys: found from the graph of fused and spelled-out attentions, and what their programs make is the module's own."""

import pytest
import torch

from stream._runs import main

FUSED = ["gpt2", "llama", "neox", "falcon", "granite", "mixtral", "bert", "vit"]
SPELLED = ["gptj", "bloom", "gemma2", "t5"]


@pytest.mark.parametrize("name", [*FUSED, *SPELLED])
def test_they_are_linear_in_what_the_block_reads(name):
    run = main(name)
    writes = [w for w in run.stream.writes if w.kind == "attn"]
    assert len(writes) == 2
    for write in writes:
        (source,) = write.writer.sources
        asks = source.attention.asks
        assert [ask.name for ask in asks] == ["query", "key"]
        seen = run.again({key for ask in asks for key in (ask.site.key, *ask.program.keys())})
        for ask in asks:
            t = next(t for t, p in enumerate(run.stream.points) if p.name == ask.point)
            face = run.affine(run.stream.points[t].face).live(run.raw_point(t))
            torch.testing.assert_close(run.affine(ask.program, seen)(face), seen.at(ask.site), rtol=1e-10, atol=1e-12)


def test_the_pattern_is_made_of_them():
    run = main("gpt2")
    source = run.stream.writes[2].writer.sources[0]
    seen = run.again({source.attention.key, *(ask.site.key for ask in source.attention.asks)})
    query, key = (seen.at(ask.site) for ask in source.attention.asks)
    call = seen.calls[source.attention.key]
    assert call.args[0].data_ptr() == query.data_ptr() and torch.equal(call.args[1], key)
