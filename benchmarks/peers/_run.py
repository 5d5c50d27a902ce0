"""One environment's share: the tools it holds and mainstem, in turn, in one process. Writes JSON; `__main__` starts it."""

import argparse
import copy
import json
import platform
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ._measure import compare
from ._rows import Way, Ways

TOOLS = {
    "mainstem": "_mainstem:ways",
    "hooks": "_hooks:ways",
    "nnsight": "_nnsight:ways",
    "TransformerLens 4": "_transformer_lens:ways_4",
    "TransformerLens 2": "_transformer_lens:ways_2",
}
PACKAGES = ("torch", "transformers", "numpy", "transformer_lens", "nnsight", "mainstem")


def gpt2() -> nn.Module:
    """The shape of GPT-2 small with random weights; no cache of keys and values, which none of the work needs."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(use_cache=False)).eval()


def bare(module: nn.Module, ids: Tensor) -> Ways:
    """The forward pass that all else is measured against. Parameters: `module`; `ids`."""
    return {"forward": Way(lambda _: module(ids)), "last_logits": Way(lambda _: module(ids, logits_to_keep=1))}


def twin(module: nn.Module) -> nn.Module:
    """The same weights in a module of its own, since some tools change the module. Parameters: `module`."""
    return copy.deepcopy(module, {id(p): p for p in module.parameters()})


def maker(tool: str) -> Callable[[nn.Module, Tensor], Ways]:
    """The tool's ways, imported only where it is asked for. Parameters: `tool`."""
    file, name = TOOLS[tool].split(":")
    return getattr(import_module(f".{file}", __package__), name)


def measured(size: str, tools: list[str], rounds: int) -> list[dict[str, Any]]:
    """Every tool's every way at one size, as records. Parameters: `size`, such as "8x256"; `tools`; `rounds`."""
    batch, length = map(int, size.split("x"))
    module = gpt2()
    ids = torch.randint(0, module.config.vocab_size, (batch, length), generator=torch.Generator().manual_seed(0))
    ways = {("bare", row): way for row, way in bare(module, ids).items()}
    for tool in tools:
        ways |= {(tool, row): way for row, way in maker(tool)(twin(module), ids).items()}
    found = compare(ways, rounds, lambda said: print(f"  {size} {said}", file=sys.stderr, flush=True))
    base = found["bare", "forward"]["seconds"]
    records = []
    for (tool, row), result in found.items():
        ratio = {"ratio": result["seconds"] / base} if "seconds" in result else {}
        records.append({"size": size, "tool": tool, "row": row, **result, **ratio})
    return records


def installed() -> dict[str, str]:
    """Versions of what takes part."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Measures and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", required=True, help="names, separated by commas")
    parser.add_argument("--sizes", required=True, help="batch x tokens, separated by commas, each with its rounds: 1x64:9")
    parser.add_argument("--out", required=True, type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = []
    with torch.no_grad():
        for size, rounds in (part.split(":") for part in options.sizes.split(",")):
            records += measured(size, options.tools.split(","), int(rounds))
    options.out.write_text(json.dumps({"versions": installed(), "records": records}), encoding="utf-8")


if __name__ == "__main__":
    main()
