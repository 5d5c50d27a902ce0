"""What must hold under any supported versions: import, a trace, a folder read back, and ten architectures verified.

Not a test of pytest's: `.ci/versions` runs it in an environment for every pair of versions, `python tests/versions/check.py`.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import transformers

import mainstem as ms
from zoo import ZOO

ARCHITECTURES = "gpt2 llama gemma2 falcon mixtral mamba bert t5 vit resnet".split()


def embedded() -> str:
    """The embedded model, down to neurons."""
    trace = ms.load("default").trace("The capital of France is")
    scores = trace.scores(level="neuron")
    assert scores.error <= scores.bound
    return f"default: {trace.word(int(trace.logits[0, -1].argmax()))!r}, {len(scores)} parts"


def stored() -> str:
    """A folder that this transformers wrote, read back by `mainstem.load`."""
    module, args, _ = ZOO["llama"]()
    with tempfile.TemporaryDirectory() as folder:
        module.save_pretrained(folder)
        again = ms.load(folder).trace(args[0])
    with torch.no_grad():
        torch.testing.assert_close(again.logits, module(*args).logits, rtol=0, atol=1e-6)
    return "a stored folder: read back"


def verified(name: str) -> str:
    """One architecture through finding, proof, and every decomposition. Parameters: `name`, in the zoo."""
    module, args, kwargs = ZOO[name]()
    found = ms.load(module).verify(*args, **kwargs)
    if not found.ok:
        raise AssertionError(str(found))
    return f"{name}: verified"


def main() -> None:
    """Runs everything; exit code 1 at the first that fails."""
    torch.set_num_threads(1)
    print(f"Python {sys.version.split()[0]}, torch {torch.__version__}, transformers {transformers.__version__}")
    checks = [embedded, stored, *(lambda name=name: verified(name) for name in ARCHITECTURES)]
    for check in checks:
        print("  ok", check(), flush=True)


if __name__ == "__main__":
    main()
