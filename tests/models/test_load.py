"""Loading: by module, folder and name; what is refused, and with which fix. The command line's words are tested with it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

import mainstem as ms
from mainstem.models import Codec, load
from zoo import GPT, ZOO

DEFAULT = Path(ms.__file__).parent / "models" / "default"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small random model as a folder, with the embedded model's tokenizer."""
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT | {"vocab_size": 4096})).save_pretrained(tmp_path / "small")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(DEFAULT / name, tmp_path / "small" / name)
    return tmp_path / "small"


def test_a_module_is_taken_as_it_is():
    module = ZOO["gpt2"]()[0].train()
    weights = {k: v.clone() for k, v in module.state_dict().items()}
    model = ms.load(module)
    assert model.module is module
    assert not module.training
    assert model.name == "GPT2LMHeadModel"
    assert all(torch.equal(v, weights[k]) for k, v in module.state_dict().items())
    assert all(p.requires_grad for p in module.parameters())


def test_a_folder_is_what_the_library_loads(folder):
    model = ms.load(folder)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(folder).eval()
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert torch.equal(model.trace(ids).logits, theirs(ids).logits)
    assert model.name == "small"
    assert type(model.module) is transformers.GPT2LMHeadModel
    assert ms.load(str(folder)).trace("The capital").tokens[0] == ms.load("default").trace("The capital").tokens[0]


def test_the_default_is_the_embedded_one():
    model = ms.load()
    assert model.name == "default"
    assert model.trace("The capital of France is").scores(" Paris").top(1)
    assert model.map.proof is not None
    assert model.map.proof.closed
    assert "default" in repr(model)


def test_loading_twice_gives_two():
    assert ms.load("default").module is not ms.load("default").module


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16, "float64", torch.float16, None])
def test_precision(folder, dtype):
    wanted = {"bfloat16": torch.bfloat16, "float64": torch.float64, None: torch.float32}.get(dtype, dtype)
    for source in (folder, "default", ZOO["llama"]()[0]):
        assert {p.dtype for p in load(source, dtype=dtype).module.parameters()} == {wanted}


FUSED = pytest.mark.xfail(
    raises=ms.InputError, reason="the map is recorded with the fused product of experts, which knows no float64"
)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", pytest.param("mixtral", marks=FUSED), "bert", "mamba"])
def test_a_model_in_float64_from_the_start(name):
    """Mapped in float64 too: nothing of it is computed in float32."""
    module, args, _ = ZOO[name]()
    model = ms.load(module, dtype="float64")
    trace = model.trace(args[0])
    for level in ("write", "neuron"):
        scores = trace.scores(3, level)
        assert scores.tensor.dtype == torch.float64
        assert scores.error <= scores.bound < 1e-10


def test_a_precision_that_does_not_exist():
    for wrong in ("float99", "nn", "Tensor"):
        with pytest.raises(ms.LoadError, match=f"no dtype '{wrong}'; take float32, bfloat16, float16 or float64"):
            ms.load("default", dtype=wrong)


def test_a_device_that_is_not_there():
    with pytest.raises(ms.LoadError, match="cannot move the model to"):
        ms.load("default", device="cuda:17" if torch.cuda.is_available() else "cuda")


def test_a_tokenizer_of_ones_own(folder):
    from tokenizers import Tokenizer

    mine = Tokenizer.from_file(str(DEFAULT / "tokenizer.json"))
    for given in (mine, Codec(mine)):
        model = ms.load(transformers.GPT2LMHeadModel.from_pretrained(folder), tokenizer=given)
        assert model.trace("The capital of France is").tokens[0][-1] == " is"
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert ms.load(folder, tokenizer=mine).trace("The capital").tokens[0] == ("The", " capital")
    with pytest.raises(ms.InputError, match="text needs a tokenizer: put tokenizer.json into the folder of small"):
        ms.load(folder).trace("The capital")
    assert ms.load(folder).trace([1, 2, 3]).tokens == (("1", "2", "3"),)


def test_a_tokenizer_of_another_model(folder):
    small = transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(DEFAULT / name, folder / name)
    small.save_pretrained(folder)
    with pytest.raises(ms.LoadError, match="the tokenizer has ids up to 4095, the model only 50 embeddings"):
        ms.load(folder)


def test_weights_that_are_no_numbers(folder):
    state = load_file(folder / "model.safetensors")
    state["transformer.h.1.mlp.c_fc.weight"][3, 4] = float("nan")
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ms.LoadError, match=r"weight transformer\.h\.1\.mlp\.c_fc\.weight holds NaN or inf"):
        ms.load(folder)
    module = ZOO["llama"]()[0]
    with torch.no_grad():
        module.lm_head.weight[0, 0] = float("inf")
    with pytest.raises(ms.LoadError, match=r"weight lm_head\.weight holds NaN or inf"):
        ms.load(module)


def test_weights_that_are_missing_or_of_another_size(folder):
    state = load_file(folder / "model.safetensors")
    full = dict(state)
    del state["transformer.h.0.mlp.c_proj.weight"]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ms.LoadError, match=r"lacks a weight of GPT2LMHeadModel \(transformer\.h\.0\.mlp\.c_proj\.weight\)"):
        ms.load(folder)
    full["transformer.wpe.weight"] = torch.zeros(9, 32)
    save_file(full, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ms.LoadError, match=r"weight transformer\.wpe\.weight is \(9, 32\) in the checkpoint and \(64, 32\) by config"
    ):
        ms.load(folder)


def test_folders_that_are_none(folder, tmp_path):
    for place, said in (
        (tmp_path / "absent", "there is no folder"),
        (tmp_path, "holds no config.json"),
        (folder / "config.json", "is a file: name the folder"),
    ):
        with pytest.raises(ms.LoadError, match=said):
            ms.load(str(place))
    (folder / "config.json").write_text("{")
    with pytest.raises(ms.LoadError, match="is not readable JSON"):
        ms.load(folder)


def test_half_a_file_of_weights(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ms.LoadError, match=r"model\.safetensors is broken or half-written"):
        ms.load(folder)
    weights.unlink()
    with pytest.raises(ms.LoadError, match=r"holds no \.safetensors weights"):
        ms.load(folder)


def test_a_weight_without_values_is_named():
    with pytest.raises(ms.LoadError, match="weight 0.weight is on the meta device, without values"):
        ms.load(nn.Sequential(nn.Linear(2, 2, device="meta")))


def test_pickles_are_read_only_when_told(folder):
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(ms.LoadError, match="holds only a pickled checkpoint, which can run code when read"):
        ms.load(folder)
    assert type(ms.load(folder, pickles=True).module) is transformers.GPT2LMHeadModel


def test_a_name_that_no_hub_can_be_asked_for():
    with pytest.raises(ms.LoadError, match="Is the name right, and the hub reachable"):
        ms.load("nobody/nothing-of-this-name")


def test_a_broken_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ms.LoadError, match=r"the tokenizer in .*small cannot be read"):
        ms.load(folder)


def test_a_module_whose_input_is_not_known():
    model = ms.load(nn.Sequential(nn.Linear(3, 3)))
    with pytest.raises(
        ms.InputError, match=r"the form of Sequential's input is not known: map it with one of your own, model\.map_with"
    ):
        model.map
    with pytest.raises(ms.NoStreamError):
        model.map_with(torch.randn(4, 3))


def test_transformers_is_as_quiet_afterwards_as_before(folder):
    before = transformers.logging.get_verbosity(), transformers.utils.logging.is_progress_bar_enabled()
    ms.load(folder)
    with pytest.raises(ms.LoadError):
        ms.load("nobody/nothing-of-this-name")
    assert (transformers.logging.get_verbosity(), transformers.utils.logging.is_progress_bar_enabled()) == before


def test_a_config_says_how_long_prompts_may_be(folder):
    config = json.loads((folder / "config.json").read_text())
    model = ms.load(folder)
    with pytest.raises(ms.InputError, match=f"this model reads at most {config['n_positions']}"):
        model.trace(" the" * 65)
