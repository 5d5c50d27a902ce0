"""Which weights a module has, as one sha256: the same for a folder, a hub id and a module, on any device."""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

from mainstem.core import LoadError

CHUNK = 4 * 2**20  # bytes in hand at a time; larger ones are no faster
_ITSELF = (Tensor, nn.Parameter)


def digest(module: nn.Module, chunk: int = CHUNK) -> str:
    """The sha256 of a module's weights: of their names, dtypes, shapes and values, and of nothing else.

    sha256 over a line for every tensor of the state dict, in the order of their names: the JSON list [name, dtype, shape,
    sha256 of the values as little-endian bytes in row-major order], ended by a newline. A shared tensor has a line for each of
    its names.

    Parameters: `module`; `chunk`, how many bytes are copied at a time where values lie on a device or out of order; the result
    does not depend on it. Raises `LoadError` for weights that have no values at hand.
    """
    return digest_of({name: t for name, t in module.state_dict(keep_vars=True).items() if isinstance(t, Tensor)}, chunk)


def digest_of(state: Mapping[str, Tensor], chunk: int = CHUNK) -> str:
    """The same of tensors by name: of some of a module's. Parameters: `state`; `chunk`, as of `digest`."""
    known: dict[int, str] = {}
    whole = sha256()
    for name in sorted(state):
        tensor = state[name]
        if id(tensor) not in known:
            known[id(tensor)] = _values(name, tensor, chunk)
        line = [name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape), known[id(tensor)]]
        whole.update(f"{json.dumps(line)}\n".encode())
    return whole.hexdigest()


def stamp(module: nn.Module) -> tuple[Any, ...]:
    """What changes when weights are replaced, moved, or changed in place by torch (not through `.data`); costs microseconds.

    Parameters: `module`.
    """
    found: list[tuple[int, int, int]] = []
    seen, waiting = {id(module)}, [module]
    while waiting:  # by hand: `parameters()` and `buffers()` take several times as long, and this stands in every trace
        one = waiting.pop()
        for tensor in (*one._parameters.values(), *one._buffers.values()):
            if tensor is not None:
                found.append(_state(tensor))
        for child in one._modules.values():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)
    return tuple(found)


def _state(tensor: Tensor) -> tuple[int, int, int]:
    try:
        return id(tensor), tensor._version, tensor.data_ptr() if type(tensor) in _ITSELF else 0
    except RuntimeError:  # made under inference_mode, or sparse: only another tensor is noticed
        return id(tensor), -1, 0


def _values(name: str, tensor: Tensor, chunk: int) -> str:
    if tensor.is_meta:
        raise LoadError(f"weight {name} is on the meta device, without values: load it before it is hashed.")
    if not _is_plain(tensor) or tensor.layout != torch.strided or tensor.is_quantized:
        kind = type(tensor).__name__ if not _is_plain(tensor) else tensor.dtype if tensor.is_quantized else tensor.layout
        raise LoadError(f"weight {name} is a {kind}, of which the stored bytes cannot be hashed: give it as a plain tensor.")
    found = sha256()
    for piece in _pieces(tensor.detach(), max(1, chunk // tensor.element_size())):
        found.update(piece.resolve_conj().resolve_neg().view(torch.uint8).cpu().numpy().data)
    return found.hexdigest()


def _pieces(tensor: Tensor, most: int) -> Iterator[Tensor]:
    """The values in row-major order, flat. Only pieces are copied, and only where values do not lie so."""
    if tensor.is_contiguous():  # `flatten` would keep the stride of a single number
        yield from tensor.as_strided((tensor.numel(),), (1,)).split(most)
    elif tensor.numel() <= most:
        yield tensor.flatten().contiguous()
    else:
        for part in tensor.split(max(1, most * len(tensor) // tensor.numel())):
            yield from _pieces(part if len(part) > 1 else part[0], most)


def _is_plain(tensor: Tensor) -> bool:
    """Whether the tensor is its bytes; subclasses that dispatch themselves (sharded, quantised, fake) hold something else."""
    return type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__
