"""Trained models as folders."""

from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from ._setup import Setup
from ._text import save_tokenizer


def save_model(model: nn.Module, setup: Setup, folder: Path) -> None:
    """A transformer as Hugging Face keeps it, with its tokenizer, which `mainstem.load` reads; of others the weights alone.

    Parameters: `model`; `setup`; `folder`, made where it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, PreTrainedModel):
        model.save_pretrained(folder)
        save_tokenizer(str(setup.data.get("tokenizer", "default")), folder)
        return
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors")
