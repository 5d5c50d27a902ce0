"""What is refused while a module runs: chance, and statistics that the run itself would change."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mainstem.algebra import base_name
from mainstem.core import InputError, Key

_DROPOUTS = frozenset("dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout".split())
DRAWS = frozenset(
    "rand randn rand_like randn_like randint randint_like randperm bernoulli normal uniform multinomial exponential".split()
)
_LOOKED_AT = _DROPOUTS | DRAWS | {"batch_norm", "scaled_dot_product_attention"}
_bases: dict[str, str] = {}


def refuse_form(module: object) -> None:
    """Raises `InputError` for what cannot be looked into: no module, a compiled or a scripted one. Parameters: `module`."""
    if not isinstance(module, nn.Module):
        raise InputError(f"find() takes a torch.nn.Module, not {type(module).__name__}.")
    refuse_autocast()
    for path, part in module.named_modules():
        where = path or "the module"
        if isinstance(part, torch.jit.ScriptModule):
            raise InputError(f"{where} is scripted or traced by TorchScript, which hides its operations: map the plain module.")
        if hasattr(part, "_orig_mod") and hasattr(part, "dynamo_ctx"):
            raise InputError(f"{where} is compiled, which hides its operations: map the plain module, {_dotted(path)}_orig_mod.")


def refuse_autocast() -> None:
    """Raises `InputError` where autocast is on."""
    if torch.is_autocast_enabled() or torch.is_autocast_enabled("cpu"):
        raise InputError(
            "autocast is on, which casts inside of every operation where nothing can be seen: leave it, and load the model in a "
            "lower precision instead, such as dtype='bfloat16'."
        )


def _dotted(path: str) -> str:
    return f"module.{path}." if path else "module."


class Guard:
    """Refuses calls that are random or that train, and then undoes what the run had done to the module's buffers.

    Batch statistics are counted in a buffer before they are taken, so a refusal alone would leave the module changed.
    """

    def __init__(self, module: nn.Module) -> None:
        self.modules = dict(module.named_modules())
        self.buffers = {_address(b): b for b in module.buffers()}
        self.before: dict[int, Tensor] = {}

    def check(self, key: Key, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raises `InputError` where a call may not be made. Parameters: `key`, `name`, `args`, `kwargs`, the call's."""
        base = _bases.get(name) or _bases.setdefault(name, base_name(name))
        if (base != name or "inplace" in kwargs) and self.buffers and args and isinstance(args[0], Tensor):
            self._keep(args[0])
        what = self._fault(key, base, args, kwargs) if base in _LOOKED_AT else None
        if what is not None:
            self.undo()
            where = key[0] or "the module"
            raise InputError(f"{what} in {where}: the stream of a random pass cannot be proved. Call module.eval() first.")

    def undo(self) -> None:
        """Puts back what buffers held before calls of this run overwrote them."""
        for address, value in self.before.items():
            self.buffers[address].copy_(value)

    def _keep(self, tensor: Tensor) -> None:
        address = _address(tensor)
        if address in self.buffers and address not in self.before:
            self.before[address] = self.buffers[address].clone()

    def _fault(self, key: Key, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
        if name in _DROPOUTS:
            on = _given(args, kwargs, 2, "training", kwargs.get("train", True))
            return "dropout is active" if on and _given(args, kwargs, 1, "p", 0.5) > 0 else None
        if name == "batch_norm":
            alone = (
                _given(args, kwargs, 1, "running_mean", None) is None and args[0].shape[0] == 1
            )  # weights that are standardised
            return "batch statistics are live" if _given(args, kwargs, 5, "training", False) and not alone else None
        if name == "scaled_dot_product_attention":
            return "dropout is active" if _given(args, kwargs, 4, "dropout_p", 0.0) > 0 else None
        owner = self.modules.get(key[0])
        return "numbers are drawn in train mode" if name in DRAWS and owner is not None and owner.training else None


def _given(args: tuple[Any, ...], kwargs: Mapping[str, Any], position: int, word: str, default: Any) -> Any:
    return args[position] if len(args) > position else kwargs.get(word, default)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.device.type != "meta" else id(tensor)
