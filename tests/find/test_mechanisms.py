"""Every mechanism by which residual models add, each on a small random model: what is found, and what proves it."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch

from find._found import mapped, same, seen, state
from mainstem.core import show
from mainstem.find import find, transport
from zoo import ZOO


@dataclass(frozen=True)
class Expect:
    """One stream: labels of its writes in order, blocks, class of a block, entry, points, width, output, writes an addition."""

    writes: str
    blocks: tuple[str, ...]
    kind: str
    output: str
    width: int = 32
    entry: str = "embed"
    at_once: int = 1
    prefix: str = ""

    @property
    def labels(self) -> list[str]:
        """`attn mlp` in two blocks is L0.attn, L0.mlp, L1.attn, L1.mlp."""
        return [f"{self.prefix}L{i}.{w}" for i in range(len(self.blocks)) for w in self.writes.split()]

    @property
    def points(self) -> list[str]:
        """Names of the points: an addition a write, or one a block where all its writes are added at once."""
        a_block = len(self.writes.split()) // self.at_once
        inner = [*["resid_mid", "resid_mid2"][: a_block - 1], "resid_post"]
        return [f"{self.prefix}entry", *(f"{self.prefix}L{i}.{p}" for i in range(len(self.blocks)) for p in inner)]


def two(path: str) -> tuple[str, ...]:
    """A path with 0 and 1 in it. Parameters: `path`, with a place for the number."""
    return path.format(0), path.format(1)


LAYERS, BOTH = two("model.layers.{}"), "attn mlp"
STAGES = (
    "resnet.encoder.stages.0.layers.0",
    "resnet.encoder.stages.0.layers.1",
    "resnet.encoder.stages.1.layers.0",
    "resnet.encoder.stages.1.layers.1",
)
CIFAR = tuple(f"layer{i}.{j}" for i in (1, 2, 3) for j in range(3))
T5 = (
    Expect("attn cross mlp", two("decoder.block.{}"), "T5Block", "lm_head/linear", prefix="dec."),
    Expect(BOTH, two("encoder.block.{}"), "T5Block", "encoder.final_layer_norm/mul#1", prefix="enc."),
)
EXPECTED: dict[str, tuple[Expect, ...]] = {
    "gpt2": (Expect(BOTH, two("transformer.h.{}"), "GPT2Block", "lm_head/linear", entry="embed pos"),),
    "gptj": (Expect(BOTH, two("transformer.h.{}"), "GPTJBlock", "lm_head/linear", at_once=2),),
    "neox": (Expect(BOTH, two("gpt_neox.layers.{}"), "GPTNeoXLayer", "lm_head/linear", at_once=2),),
    "llama": (Expect(BOTH, LAYERS, "LlamaDecoderLayer", "lm_head/linear"),),
    "bloom": (Expect(BOTH, two("transformer.h.{}"), "BloomBlock", "lm_head/linear"),),
    "falcon": (Expect(BOTH, two("transformer.h.{}"), "FalconDecoderLayer", "lm_head/linear", at_once=2),),
    "gemma2": (Expect(BOTH, LAYERS, "Gemma2DecoderLayer", "(root)/mul"),),
    "granite": (Expect(BOTH, LAYERS, "GraniteDecoderLayer", "(root)/div"),),
    "bert": (Expect(BOTH, two("bert.encoder.layer.{}"), "BertLayer", "cls.predictions.decoder/linear", entry="embed type pos"),),
    "mixtral": (Expect(BOTH, LAYERS, "MixtralDecoderLayer", "lm_head/linear"),),
    "mamba": (Expect("mixer", two("backbone.layers.{}"), "MambaBlock", "lm_head/linear"),),
    "t5": T5,
    "vit": (Expect(BOTH, two("vit.layers.{}"), "ViTLayer", "classifier/linear", entry="embed pos"),),
    "resnet": (Expect("conv", STAGES, "ResNetBottleNeckLayer", "classifier.1/linear"),),
    "resnet_basic": (Expect("conv", STAGES, "ResNetBasicLayer", "classifier.1/linear"),),
    "resnet_inplace": (Expect("conv", tuple(f"stages.{i}" for i in range(4)), "InplaceBlock", "head/linear"),),
    "cifar": (Expect("conv", CIFAR, "CifarBlock", "linear/linear", width=16),),
    "tabular": (Expect("mlp", ("blocks.0", "blocks.1", "blocks.2"), "TabularBlock", "head/linear", width=16),),
    "tabular_linear": (Expect("mlp", ("blocks.0", "blocks.1", "blocks.2"), "TabularBlock", "head/linear", width=16),),
    "entry_again": (Expect("mlp skip", ("", "", ""), "addition", "head/linear", width=16, at_once=2),),
    "shared": (Expect("mlp", ("block",) * 4, "TabularBlock", "head/linear", width=16),),
    "recurrent": (Expect("mixer", ("blocks.0", "blocks.1"), "RecurrentBlock", "head/linear", width=16),),
    "experts": (Expect("mlp", ("", ""), "addition", "head/linear", width=16),),
    "bypass": (Expect("mlp", ("", "", ""), "addition", "head/linear", width=16),),
    "second_path": (Expect("mlp", tuple(f"stream.blocks.{i}" for i in range(3)), "TabularBlock", "(root)/add", width=16),),
}
BYPASS = {
    "t5": ("encoder.block.1.layer.1/add",), "entry_again": ("input 0",), "bypass": ("input 0",), "second_path": ("input 0",),
}  # fmt: skip
UNCOVERED = {"second_path": ("beside.bias", "beside.weight", "gain.bias", "gain.weight")}


def test_every_model_of_the_zoo_is_expected():
    assert set(EXPECTED) == set(ZOO)


@pytest.mark.parametrize("name", ZOO)
def test_streams(name):
    streams = mapped(name)[1].streams
    assert [s.name for s in streams] == [e.prefix.rstrip(".") for e in EXPECTED[name]]
    for stream, expect in zip(streams, EXPECTED[name], strict=True):
        assert sorted(w.label for w in stream.writes) == sorted(expect.labels)
        assert [p.name for p in stream.points] == expect.points
        assert [w.label for w in stream.entry] == [f"{expect.prefix}entry.{e}" for e in expect.entry.split()]
        assert stream.blocks == expect.blocks
        assert stream.block_kind == expect.kind
        assert stream.width == expect.width
        assert {len(p.writes) for p in stream.points[1:]} == {expect.at_once}
        assert stream.output is not None
        assert show(stream.output.key) == expect.output


@pytest.mark.parametrize("name", ZOO)
def test_writes_are_in_their_block_and_of_their_kind(name):
    for stream in mapped(name)[1].streams:
        for write in stream.writes:
            number, kind = write.label.removeprefix(f"{stream.name}.").split(".")
            assert (number, kind) == (f"L{write.block}", write.kind)
        assert {p.block for p in stream.points[1:]} == set(range(len(stream.blocks)))
        assert [p.block for p in stream.points] == sorted(p.block for p in stream.points)


@pytest.mark.parametrize("name", ZOO)
def test_proof(name):
    found = mapped(name)[1]
    proof, points = found.proof, [len(s.points) for s in found.streams]
    assert proof is not None
    assert proof.dtype == "float64"
    assert proof.closed
    assert proof.max_error <= proof.bound < 1e-11
    assert proof.continuity < 1e-14
    assert proof.cut < 1e-14
    assert proof.cut_points == sum(points)
    assert proof.response < 1e-14
    assert proof.bypass == BYPASS.get(name, ())
    assert proof.uncovered == UNCOVERED.get(name, ())


@pytest.mark.parametrize("name", ZOO)
def test_nothing_is_changed_or_left(name):
    (module, _, _), _, before = mapped(name)
    assert same(state(module), before)


def test_a_changed_module_is_noticed():
    module = ZOO["resnet_inplace"]()[0]
    before = state(module)
    assert same(state(module), before)
    module.stem[1].running_mean[0] += 1e-7
    assert not same(state(module), before)
    before = state(module)
    module.stages[0].register_forward_hook(print)
    assert not same(state(module), before)


@pytest.mark.parametrize("name", ["gpt2", "resnet_inplace", "entry_again"])
def test_found_again_the_map_is_the_same(name):
    module, args, kwargs = ZOO[name]()
    assert find(module, *args, **kwargs).streams == mapped(name)[1].streams


# All but those with norms or ReLU after the addition, a scaled or a normed entry.
PRE_NORM = sorted(set(ZOO) - {"bert", "bloom", "gemma2", "granite", "resnet", "resnet_basic", "resnet_inplace", "cifar"})


@pytest.mark.parametrize("name", PRE_NORM)
def test_writes_sum_to_the_stream(name):
    """Where nothing happens between additions no algebra is needed: the sum of all that was added is the stream."""
    for stream in mapped(name)[1].streams:
        total = sum(w.factor * seen(name).at(w.site).double() for w in stream.entry)
        for point in stream.points[1:]:
            total = total + sum(w.factor * seen(name).at(w.site).double() for w in point.writes)
            torch.testing.assert_close(total.float(), seen(name).at(point.site), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ZOO)
def test_the_last_point_gives_what_the_module_returned(name):
    (module, args, kwargs), found, _ = mapped(name)
    stream, last = found.main, found.main.points[-1]
    with torch.no_grad():
        result = module(*args, **kwargs)
    logits = result if isinstance(result, torch.Tensor) else result.logits
    if name == "gemma2":  # soft-capping is a frozen ratio here: exact at this input all the same
        assert float(logits.abs().max()) < 30.0
    torch.testing.assert_close(transport(last, seen(name), seen(name).at(last.site)), logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(seen(name).at(stream.output), logits, rtol=1e-5, atol=1e-6)


def face(name: str, stream: int, point: int) -> torch.Tensor:
    """What the next block reads at a point."""
    p = mapped(name)[1].streams[stream].points[point]
    return p.face.bind(seen(name).calls)(seen(name).at(p.site))


HIDDEN = ["gpt2", "gptj", "neox", "llama", "bloom", "falcon", "gemma2", "granite", "bert", "mixtral", "mamba", "vit"]


@pytest.mark.parametrize("name", HIDDEN)
def test_points_are_the_hidden_states_that_the_library_reports(name):
    (module, args, _), found, _ = mapped(name)
    with torch.no_grad():
        hidden = module(*args, output_hidden_states=True).hidden_states
    ends = [0] + [t for t, p in enumerate(found.main.points) if p.name.endswith("post")]
    assert len(ends) == len(hidden)
    # The last one is after the final norm; Mamba reports what its blocks return and leaves the entry out.
    for t, h in zip(ends[1:] if name == "mamba" else ends[:-1], hidden[:-1], strict=True):
        torch.testing.assert_close(face(name, 0, t), h, rtol=1e-5, atol=1e-5)


def test_points_of_both_streams_of_an_encoder_and_a_decoder():
    (module, _, kwargs), found, _ = mapped("t5")
    with torch.no_grad():
        result = module(**kwargs, output_hidden_states=True)
    for s, hidden in enumerate((result.decoder_hidden_states, result.encoder_hidden_states)):
        ends = [0] + [t for t, p in enumerate(found.streams[s].points) if p.name.endswith("post")]
        for t, h in zip(ends[:-1], hidden[:-1], strict=True):
            torch.testing.assert_close(face("t5", s, t), h, rtol=1e-5, atol=1e-5)


# What a block adds, as the modules that compute it return it: paths with the layer's number, and a factor.
WRITES = {
    "gpt2": ("transformer.h.{}.attn", "transformer.h.{}.mlp", 1.0),
    "gptj": ("transformer.h.{}.attn", "transformer.h.{}.mlp", 1.0),
    "neox": ("gpt_neox.layers.{}.attention", "gpt_neox.layers.{}.mlp", 1.0),
    "llama": ("model.layers.{}.self_attn", "model.layers.{}.mlp", 1.0),
    "falcon": ("transformer.h.{}.self_attention", "transformer.h.{}.mlp", 1.0),
    "gemma2": ("model.layers.{}.post_attention_layernorm", "model.layers.{}.post_feedforward_layernorm", 1.0),
    "granite": ("model.layers.{}.self_attn", "model.layers.{}.mlp", 0.3),
    "bert": ("bert.encoder.layer.{}.attention.output.dense", "bert.encoder.layer.{}.output.dense", 1.0),
    "mixtral": ("model.layers.{}.self_attn", "model.layers.{}.mlp", 1.0),
}


@pytest.mark.parametrize("name", WRITES)
def test_writes_are_what_the_blocks_modules_return(name):
    (module, args, kwargs), found, _ = mapped(name)
    *paths, factor = WRITES[name]
    returned = {}

    def keep(path):
        return lambda m, a, out: returned.__setitem__(path, (out if isinstance(out, torch.Tensor) else out[0]).clone())

    places = {path.format(i): f"L{i}.{kind}" for i in (0, 1) for path, kind in zip(paths, ("attn", "mlp"), strict=True)}
    hooks = [module.get_submodule(path).register_forward_hook(keep(path)) for path in places]
    with torch.no_grad():
        module(*args, **kwargs)
    for hook in hooks:
        hook.remove()
    by_label = {w.label: w for w in found.main.writes}
    for path, label in places.items():
        write = by_label[label]
        torch.testing.assert_close(write.factor * seen(name).at(write.site), factor * returned[path], rtol=1e-5, atol=1e-6)


def test_cross_attention_reads_the_encoder():
    found = mapped("t5")[1]
    cross = [w for w in found.main.writes if w.kind == "cross"]
    assert [w.label for w in cross] == ["dec.L0.cross", "dec.L1.cross"]
    assert all(seen("t5").at(w.site).shape[1] == 5 for w in cross)


def test_an_entry_added_again_is_a_skip():
    (module, (x,), _), found, _ = mapped("entry_again")
    first = module.stem(x)
    for point in found.main.points[1:]:
        (skip,) = [w for w in point.writes if w.kind == "skip"]
        assert skip.writer is None
        torch.testing.assert_close(seen("entry_again").at(skip.site), first)


def test_both_faces_of_a_point_where_they_differ():
    for name in ("bert", "resnet", "resnet_inplace", "cifar"):
        for t, point in enumerate(mapped(name)[1].main.points[1:], 1):
            value, read = seen(name).at(point.site), face(name, 0, t)
            assert not torch.equal(value, read)
            if name != "bert":
                torch.testing.assert_close(read, value.relu())
    for name in ("gpt2", "llama", "tabular"):
        assert all(not p.face.steps for p in mapped(name)[1].main.points)


def test_shortcuts_carry_by_projection_and_by_padding():
    def operations(name, t):
        point = mapped(name)[1].main.points[t]
        return [step.key[2] for step in (*point.face.steps, *point.onward.steps)]

    assert operations("resnet", 0) == ["batch_norm", "relu", "max_pool2d", "conv2d", "batch_norm"]
    assert operations("resnet", 1) == ["relu"]
    assert operations("resnet", 2) == ["relu", "conv2d", "batch_norm"]
    assert operations("cifar", 3) == ["relu", "__getitem__", "pad"]
    assert operations("cifar", 4) == ["relu"]


def test_one_block_called_many_times_is_told_apart_by_call():
    points = mapped("shared")[1].main.points[1:]
    assert [p.site.key[:2] for p in points] == [("block", i) for i in range(4)]
    values = [seen("shared").at(p.site) for p in points]
    assert not any(torch.equal(a, b) for a, b in pairwise(values))
