"""Two devices that are not the processor, for tests where there is no GPU: `elsewhere:0` and `elsewhere:1`.

Every call there looks first whether its tensors are on one device, as a call on a GPU does, and is then made on the processor.
Built from `elsewhere.cpp` at the first import, and kept in torch's own folder of extensions. A process that has imported this
has another accelerator than before, so tests of it run in processes of their own.
"""

import types
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.cpp_extension import load

load("elsewhere", [str(Path(__file__).with_suffix(".cpp"))], extra_cflags=["-O0", "-g0"], is_python_module=False)


def _module() -> types.ModuleType:
    """What torch asks of an accelerator by its name."""
    made: Any = types.ModuleType("torch.elsewhere")
    made.is_available = lambda: True
    made.device_count = lambda: 2
    made.current_device = torch.ops.elsewhere.current
    made.set_device = lambda device: torch.ops.elsewhere.enter(torch.device(device).index)
    made._is_in_bad_fork = lambda: False
    made.manual_seed_all = lambda seed: None
    made.get_rng_state = lambda *_: torch.get_rng_state()
    made.set_rng_state = lambda *_: None
    made.get_amp_supported_dtype = lambda: [torch.float16, torch.bfloat16]
    return made


torch.utils.rename_privateuse1_backend("elsewhere")
torch._register_device_module("elsewhere", _module())
torch.utils.generate_methods_for_privateuse1_backend()


def moved(tree: Any, device: str) -> Any:
    """Every tensor of nested arguments on a device. Parameters: `tree`; `device`."""
    if isinstance(tree, Tensor):
        return tree.to(device)
    if isinstance(tree, dict):
        return {key: moved(value, device) for key, value in tree.items()}
    return type(tree)(moved(value, device) for value in tree) if isinstance(tree, list | tuple) else tree
