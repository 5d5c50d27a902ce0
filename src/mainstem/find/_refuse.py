"""What is refused while a module runs: chance, and statistics that the run itself would change."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mainstem.algebra import base_name, is_inplace
from mainstem.core import InputError, Key

_DROPOUTS = frozenset("dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout".split())
_DRAWS = frozenset(
    "rand randn rand_like randn_like randint randint_like randperm bernoulli normal uniform multinomial exponential".split()
)


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
        if self.buffers and args and isinstance(args[0], Tensor) and is_inplace(name, kwargs):
            self._keep(args[0])
        what = self._fault(key, base_name(name), args, kwargs)
        if what is not None:
            self.undo()
            raise InputError(f"{what} in {key[0] or 'the module'}: the stream of a random pass cannot be proved. Call module.eval() first.")

    def undo(self) -> None:
        """Puts back what buffers held before calls of this run overwrote them."""
        for address, value in self.before.items():
            self.buffers[address].copy_(value)

    def _keep(self, tensor: Tensor) -> None:
        address = _address(tensor)
        if address in self.buffers and address not in self.before:
            self.before[address] = self.buffers[address].clone()

    def _fault(self, key: Key, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
        def given(position: int, word: str, default: Any) -> Any:
            return args[position] if len(args) > position else kwargs.get(word, default)

        if name in _DROPOUTS:
            on = given(2, "training", kwargs.get("train", True))
            return "dropout is active" if on and given(1, "p", 0.5) > 0 else None
        if name == "batch_norm":
            return "batch statistics are live" if given(5, "training", False) else None
        if name == "scaled_dot_product_attention":
            return "dropout is active" if given(4, "dropout_p", 0.0) > 0 else None
        owner = self.modules.get(key[0])
        return "numbers are drawn in train mode" if name in _DRAWS and owner is not None and owner.training else None


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.device.type != "meta" else id(tensor)
