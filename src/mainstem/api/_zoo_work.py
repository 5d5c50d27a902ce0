"""One architecture of the zoo, built, run and verified in a process of its own."""

import logging
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch
import transformers

from mainstem.core import LoadError, NoStreamError, finite
from mainstem.models import STREAMLESS, Architecture, Small, load

from ._model import Model

# Imported in the server that all processes are forked from: what most architectures share takes seconds to import.
for _name in ("LlamaForCausalLM", "BertForMaskedLM", "WhisperForConditionalGeneration", "ViTForImageClassification"):
    getattr(transformers, _name)


def work(to: Connection, architecture: Architecture, build: Callable[[Architecture], Small]) -> None:
    """Sends what is known of an architecture as soon as it is: that it was built, that it ran, and how it ended.

    Parameters: `to`, where to; `architecture`; `build`, makes the module and its input.
    """
    warnings.simplefilter("ignore")
    logging.disable()
    torch.set_num_threads(1)
    to.send({})
    try:
        made = build(architecture)
    except LoadError as failure:
        to.send({"status": "unbuilt", "reason": str(failure)})
        return
    to.send({"parameters": sum(p.numel() for p in made.module.parameters())})
    try:
        with torch.no_grad():
            made.module(*made.args, **made.kwargs)
    except Exception as failure:
        to.send({"status": "unbuilt", "reason": f"cannot be run: {said(failure)}"})
        return
    to.send({"ran": True})
    to.send(verified(architecture, made))


def verified(architecture: Architecture, made: Small) -> dict[str, Any]:
    """The row of a module that runs. Parameters: `architecture`; `made`, with its input."""
    try:
        found = Model(load(made.module)).verify(*made.args, **made.kwargs)
    except NoStreamError as failure:
        known = STREAMLESS.get(architecture.name)
        return {"status": "streamless" if known else "open", "reason": known or str(failure)}
    except Exception as failure:
        return {"status": "open", "reason": said(failure)}
    row = finite(found.row())
    row.pop("model")
    return row | {"status": "closed" if found.ok else "open", "reason": "; ".join(row["failed"])}


def said(failure: BaseException) -> str:
    """An error in one line. Parameters: `failure`."""
    return f"{type(failure).__name__}: {' '.join(str(failure).split())[:300]}"
