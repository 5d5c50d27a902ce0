"""The digest of weights: worked out by hand, unmoved by what is no weight, moved by a bit of what is."""

import json
import struct
from collections.abc import Iterator
from hashlib import sha256

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import mainstem as ms
from mainstem.models import _digest, digest, digest_of, stamp
from zoo import GPT

CHUNKS = (1, 3, 8, 100, 2**20)


def of(**tensors: Tensor) -> nn.Module:
    """A module that holds these as buffers, in this order."""
    module = nn.Module()
    for name, tensor in tensors.items():
        module.register_buffer(name, tensor)
    return module


def small_gpt2() -> nn.Module:
    """A random GPT-2, its unembedding tied to its embedding."""
    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT)).eval()


def test_the_digest_is_what_it_is_said_to_be():
    """By hashlib and struct alone, for a module whose numbers are written here."""
    layer = nn.Linear(2, 2)
    layer.register_buffer("steps", torch.tensor(7))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.5], [0.0, 3.0]]))
        layer.bias.copy_(torch.tensor([-0.0, 1e-30]))
    inside = {
        "bias": sha256(struct.pack("<2f", -0.0, 1e-30)).hexdigest(),
        "steps": sha256(struct.pack("<q", 7)).hexdigest(),
        "weight": sha256(struct.pack("<4f", 1.0, -2.5, 0.0, 3.0)).hexdigest(),
    }
    lines = (
        f'["bias", "float32", [2], "{inside["bias"]}"]\n'
        f'["steps", "int64", [], "{inside["steps"]}"]\n'
        f'["weight", "float32", [2, 2], "{inside["weight"]}"]\n'
    )
    assert digest(layer) == sha256(lines.encode()).hexdigest()
    # Stored files carry such digests: it must stay this one.
    assert digest(layer) == "3abac899e21995160944ccb86843f16ac0818e6fe6cefa34dab9d4d55581f56d"


def test_a_module_without_weights_has_one_too():
    assert digest(nn.ReLU()) == digest(nn.Identity()) == sha256(b"").hexdigest()


FLOATS = ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2", "complex64", "complex128"]
INTEGERS = ["bool", "int8", "uint8", "int16", "uint16", "int32", "int64"]


def values(dtype: str) -> Tensor:
    """A tensor [3, 4] of a dtype, no two numbers alike where the dtype has as many."""
    kind = getattr(torch, dtype)
    real = torch.arange(12).view(3, 4) - (0 if dtype.startswith("u") else 5)
    return (real * (1 + 2j)).to(kind) if kind.is_complex else (real % 2 == 0) if dtype == "bool" else real.to(kind)


def raw(tensor: Tensor) -> bytes:
    """The bytes of a tensor whose values lie in order."""
    return bytes(tensor.untyped_storage())[: tensor.numel() * tensor.element_size()]


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
def test_every_dtype_by_its_bytes(dtype):
    tensor = values(dtype)
    for chunk in CHUNKS:
        line = json.dumps(["x", dtype, [3, 4], sha256(raw(tensor)).hexdigest()]) + "\n"
        assert digest(of(x=tensor), chunk) == sha256(line.encode()).hexdigest()


def test_every_dtype_is_another():
    same = {dtype: torch.zeros(3, dtype=getattr(torch, dtype)) for dtype in FLOATS + INTEGERS}
    assert len({digest(of(x=tensor)) for tensor in same.values()}) == len(same)


def laid_out(x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The values of a tensor [4, 6, 2, 3], lying in memory in other ways."""
    yield "transposed", x.transpose(0, 1).contiguous().transpose(0, 1)
    yield "reversed axes", x.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    yield "channels last", x.contiguous(memory_format=torch.channels_last)
    yield "every other", torch.stack([x, -x], -1)[..., 0]
    yield "part of a larger one", torch.cat([x, x], 2)[:, :, :2]
    yield "needs a gradient", x.clone().requires_grad_()
    yield "a parameter", nn.Parameter(x.clone())


def test_how_values_lie_in_memory_does_not_matter():
    x = torch.randn(4, 6, 2, 3)
    for name, other in laid_out(x):
        assert torch.equal(other, x)
        assert {digest(of(x=other), chunk) for chunk in CHUNKS} == {digest(of(x=x))}, name
    column = torch.tensor([[1.0], [2.0]])
    assert digest(of(x=column.expand(2, 3))) == digest(of(x=column.repeat(1, 3)))
    z = torch.randn(3, dtype=torch.complex64)
    assert digest(of(x=z.conj())) == digest(of(x=z.conj().resolve_conj())) != digest(of(x=z))
    assert digest(of(x=z.conj().imag)) == digest(of(x=-z.imag))
    assert digest(of(x=torch.arange(6.0).view(2, 3)[1:, 2])) == digest(of(x=torch.tensor([5.0])))


SHAPES = [(), (0,), (1,), (3, 0, 2), (7,), (1, 9), (9, 1), (2, 3, 4), (3, 1, 1, 5)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("most", [1, 2, 5, 1000])
def test_pieces_are_small_and_make_the_whole(shape, most):
    x = torch.arange(torch.Size(shape).numel()).reshape(shape)
    back = list(reversed(range(x.ndim)))
    turned = x.permute(back).contiguous().permute(back)
    for one in (x, turned):
        pieces = list(_digest._pieces(one, most))
        assert all(piece.ndim == 1 and piece.numel() <= most for piece in pieces)
        assert torch.equal(torch.cat(pieces), x.flatten())


def test_values_in_order_are_not_copied():
    x = torch.arange(10)
    pieces = list(_digest._pieces(x, 4))
    assert [piece.data_ptr() - x.data_ptr() for piece in pieces] == [0, 4 * 8, 8 * 8]


def test_empty_and_single_numbers_are_told_apart():
    shapes = [(), (1,), (1, 1), (0,), (0, 2), (2, 0)]
    assert len({digest(of(x=torch.zeros(shape))) for shape in shapes}) == len(shapes)


def test_the_order_of_parameters_does_not_matter():
    a, b, c = torch.randn(2), torch.randn(3), torch.randn(2)
    assert digest(of(a=a, b=b, c=c)) == digest(of(c=c, a=a, b=b))
    assert digest(of(a=a, b=b, c=c)) != digest(of(a=c, b=b, c=a))


def test_a_bit_a_name_a_shape_and_a_dtype_matter():
    module = small_gpt2()
    before = digest(module)
    for tensor in {id(t): t for t in module.state_dict().values()}.values():
        bits = tensor.view(torch.int32)
        bits.flatten()[-1] ^= 1
        assert digest(module) != before
        bits.flatten()[-1] ^= 1
        assert digest(module) == before
    x = torch.randn(4)
    assert len({digest(of(x=x)), digest(of(y=x)), digest(of(x=x.view(2, 2))), digest(of(x=x.view(torch.int32)))}) == 4
    assert digest(of(x=torch.tensor(0.0))) != digest(of(x=torch.tensor(-0.0)))
    assert digest(module.bfloat16()) != before


def test_what_is_no_weight_does_not_matter():
    module = small_gpt2()
    before = digest(module)
    module.train().requires_grad_(False)
    module.register_buffer("made_anew", torch.ones(3), persistent=False)
    assert digest(module) == before
    norm = nn.BatchNorm1d(3)
    before = digest(norm)
    norm(torch.randn(4, 3))
    assert digest(norm) != before, "running statistics are weights"


def test_a_stored_folder_and_its_module_are_equal(tmp_path):
    module = small_gpt2()
    module.save_pretrained(tmp_path / "small")
    assert ms.load(tmp_path / "small").provenance.weights == ms.load(module).provenance.weights == digest(module)


def test_the_embedded_model_is_the_one_that_transformers_reads():
    """Two implementations and two ways to read the file: one digest."""
    folder = ms.embedded()["default"].folder
    theirs = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32)
    assert digest(theirs) == ms.load("default").provenance.weights


def test_shared_weights_count_by_their_names_and_values():
    tied, untied = small_gpt2(), small_gpt2()
    assert tied.lm_head.weight is tied.transformer.wte.weight
    untied.lm_head.weight = nn.Parameter(untied.lm_head.weight.detach().clone())
    assert digest(tied) == digest(untied)
    with torch.no_grad():
        untied.lm_head.weight[0, 0] += 1
    assert digest(tied) != digest(untied)


def test_weights_without_values_are_refused():
    with pytest.raises(ms.LoadError, match="weight 1.bias is on the meta device, without values"):
        digest(nn.Sequential(nn.ReLU(), nn.Linear(2, 2, device="meta")))
    with FakeTensorMode():
        fake = nn.Linear(2, 2)
    with pytest.raises(ms.LoadError, match="weight bias is a FakeTensor, of which the stored bytes cannot be hashed"):
        digest(fake)
    with pytest.raises(ms.LoadError, match="weight x is a torch.sparse_coo, of which"):
        digest(of(x=torch.eye(3).to_sparse()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_device_does_not_matter():
    module = small_gpt2().to(memory_format=torch.channels_last)
    before = digest(module)
    for chunk in (16, 1000, 2**25):
        assert digest(module.cuda(), chunk) == before


def changes(module: nn.Linear) -> Iterator[tuple[str, bool]]:
    """Makes one change after another: what was done, and whether weights were changed by it in a way that torch counts."""
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module(torch.randn(1, 2)).sum().backward()
    yield "a run with gradients", False
    module.eval().requires_grad_(True)
    yield "eval mode", False
    torch.optim.SGD(module.parameters(), lr=0.1).step()
    yield "a step of an optimizer", True
    module.load_state_dict(before)
    yield "a loaded state", True
    with torch.no_grad():
        module.bias[0] = 3.0
    yield "an assignment", True
    module.bias = nn.Parameter(module.bias.detach().clone())
    yield "another parameter", True
    module.double()
    yield "another dtype", True
    module.append = nn.BatchNorm1d(2)
    yield "another module", True
    module.append(torch.randn(3, 2))
    yield "running statistics", True


def test_a_stamp_changes_with_the_weights():
    module = nn.Linear(2, 2)
    seen = stamp(module)
    for name, changed in changes(module):
        found = stamp(module)
        assert (found != seen) == changed, name
        seen = found


def test_a_stamp_takes_any_module():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    module.add_module("again", module[0])
    module.register_module("none", None)
    assert len(stamp(module)) == 3
    with torch.inference_mode():
        made = nn.Linear(2, 2)
    with FakeTensorMode():
        fake = nn.Linear(2, 2)
    for one in (made, fake, nn.ReLU(), of(x=torch.eye(3).to_sparse())):
        assert stamp(one) == stamp(one)


def test_some_tensors_have_the_digest_of_a_module_that_holds_these():
    tensors = {"matrix": torch.randn(3, 4), "bias": torch.randn(3, dtype=torch.float64)}
    assert digest_of(tensors) == digest(of(**tensors))
    assert digest_of(tensors) != digest_of(tensors | {"bias": tensors["bias"] + 1e-12})
