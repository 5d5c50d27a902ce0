"""Model folders as people have them: whole ones, and every way that one can be broken."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}

PLAIN = """
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel


class PlainConfig(PretrainedConfig):
    model_type = "plain"
    vocab_size = 50


class PlainModel(PreTrainedModel):
    config_class = PlainConfig

    def __init__(self, config):
        super().__init__(config)
        self.embed, self.hidden, self.head = nn.Embedding(50, 16), nn.Linear(16, 16), nn.Linear(16, 50)
        self.post_init()

    def get_input_embeddings(self):
        return self.embed

    def forward(self, input_ids):
        return self.head(nn.functional.gelu(self.hidden(self.embed(input_ids))))
"""


def embedded() -> Path:
    """The embedded model, itself a folder in Hugging Face format."""
    from mainstem.models import embedded as known

    return known()["default"].folder


def gpt2(folder: Path, vocabulary: int = 4096) -> Path:
    """A random GPT-2 with the embedded model's tokenizer. Parameters: `folder`; `vocabulary`, rows of the embedding."""
    torch.manual_seed(0)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32, "bos_token_id": 0, "eos_token_id": 0}
    config = transformers.GPT2Config(vocab_size=vocabulary, **sizes)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    for name in TOKENIZER:
        shutil.copy(embedded() / name, folder / name)
    return folder


def vit(folder: Path, size: int) -> Path:
    """A random ViT for images of 16 x 16. Parameters: `folder`; `size`, what its processor makes of an image."""
    torch.manual_seed(0)
    classes = dict(enumerate(("cat", "dog, hound", "fish")))
    config = transformers.ViTConfig(**SIZES, image_size=16, patch_size=4, id2label=classes)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": size, "width": size}).save_pretrained(folder)
    return folder


def image(path: Path) -> Path:
    """A picture of noise. Parameters: `path`."""
    from PIL import Image

    Image.effect_noise((30, 40), 100).convert("RGB").save(path)
    return path


def own_code(folder: Path) -> Path:
    """A feed-forward model whose classes lie in the folder. Parameters: `folder`."""
    folder.mkdir()
    (folder / "modeling_plain.py").write_text(PLAIN)
    auto = {"AutoConfig": "modeling_plain.PlainConfig", "AutoModel": "modeling_plain.PlainModel"}
    (folder / "config.json").write_text(json.dumps({"model_type": "plain", "auto_map": auto}))
    layers = {"embed": nn.Embedding(50, 16), "hidden": nn.Linear(16, 16), "head": nn.Linear(16, 50)}
    save_file(dict(nn.ModuleDict(layers).state_dict()), folder / "model.safetensors", {"format": "pt"})
    return folder


def weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Stores the weights again, changed. Parameters: `folder`; `change`, of the dictionary."""
    stored = load_file(folder / "model.safetensors")
    change(stored)
    save_file(stored, folder / "model.safetensors", {"format": "pt"})


def truncate(path: Path) -> None:
    """Keeps the first half of a file. Parameters: `path`."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def pickled(folder: Path) -> None:
    """The same weights as a pickle only. Parameters: `folder`."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def sharded(folder: Path) -> None:
    """Weights in two files, of which the second was never copied. Parameters: `folder`."""
    first, second = (f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
    (folder / "model.safetensors").rename(folder / first)
    index = {"metadata": {}, "weight_map": {"transformer.wte.weight": first, "transformer.wpe.weight": second}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def resized(folder: Path) -> None:
    """A config of another width. Parameters: `folder`."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_embd": 64}))


def _poison(stored: dict[str, torch.Tensor]) -> None:
    stored["transformer.h.1.mlp.c_fc.weight"][3, 5] = float("nan")


def _untokenized(folder: Path) -> None:
    for name in TOKENIZER:
        (folder / name).unlink()


def _unknown(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "nonesuch"}')


# What is wrong -> what breaks a whole folder so, and what the refusal must say.
BROKEN: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "half-written": (lambda f: truncate(f / "model.safetensors"), ("model.safetensors", "half-written", "download it again")),
    "empty weights": (lambda f: (f / "model.safetensors").write_bytes(b""), ("half-written", "download it again")),
    "a pickle only": (pickled, ("pickled", "--pickles")),
    "no config": (lambda f: (f / "config.json").unlink(), ("holds no config.json",)),
    "a broken config": (lambda f: (f / "config.json").write_text('{"model_type":'), ("config.json", "take another copy")),
    "a config of nothing": (lambda f: (f / "config.json").write_text("{}"), ("model_type",)),
    "an unknown type": (_unknown, ("nonesuch", "Transformers")),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), ("holds no .safetensors", "download model.safetensors")),
    "weights missing": (
        lambda f: weights(f, lambda stored: stored.pop("transformer.h.1.mlp.c_fc.weight")),
        ("lacks a weight", "transformer.h.1.mlp.c_fc.weight", "take another copy"),
    ),
    "weights of other sizes": (resized, ("in the checkpoint", "by config.json", "from the same model")),
    "a file missing": (sharded, ("lacks model-00002-of-00002.safetensors", "download it again")),
    "NaN weights": (lambda f: weights(f, _poison), ("transformer.h.1.mlp.c_fc.weight", "NaN", "another copy")),
    "a broken tokenizer": (lambda f: truncate(f / "tokenizer.json"), ("tokenizer", "take another copy")),
    "no tokenizer": (_untokenized, ("text needs a tokenizer", "tokenizer.json into the folder")),
}
