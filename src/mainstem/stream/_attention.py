"""The two factors of an attention: pattern and values, recomputed where a fused call hides them."""

import torch
from torch import Tensor

from mainstem.algebra import Call, raised
from mainstem.core import NotClosedError, bound, error
from mainstem.find import Attention, Captured


def factors(attention: Attention, seen: Captured, z: Tensor, batch: int, edited: bool = False) -> tuple[Tensor, Tensor]:
    """Pattern [batch, head, pos, key_pos] and values [batch, head, key_pos, d_head] with z = pattern @ values.

    Parameters: `attention`, where the parts stand; `seen`, the run; `z`, the attention's result [batch, head, pos, d_head];
    `batch`, how many prompts; `edited`, an edit changed z afterwards. Raises `NotClosedError` where the product is not z.
    """
    value = heads(seen.at(attention.value), batch)
    if attention.pattern is None:
        pattern = fused_pattern(raised(seen.calls[attention.key], z.dtype))
    else:
        pattern = heads(seen.at(attention.pattern), batch)
    pattern, value = pattern.to(z.dtype), value.to(z.dtype)
    if value.shape[1] != z.shape[1]:
        value = value.repeat_interleave(z.shape[1] // value.shape[1], 1)
    found, size = pattern @ value, pattern.abs() @ value.abs()
    low = seen.at(attention.value).dtype
    if not edited and not error(found, z) <= bound(low, size):
        raise NotClosedError(f"attention: pattern times values misses the heads' result by {error(found, z):.3g}.")
    return pattern, value


def heads(tensor: Tensor, batch: int) -> Tensor:
    """A tensor with batch and heads on axes of their own. Parameters: `tensor`, [batch*head, pos, x] or [batch, head, pos, x]; `batch`."""
    return tensor if tensor.ndim == 4 else tensor.reshape(batch, -1, *tensor.shape[-2:])


def fused_pattern(call: Call) -> Tensor:
    """The pattern inside scaled_dot_product_attention; rows that may look at nothing are zero, as in the call.

    Parameters: `call`.
    """
    q, k = call.args[0], call.parameter(1, "key")
    mask, causal = call.parameter(3, "attn_mask"), call.parameter(5, "is_causal", False)
    scale = call.parameter(6, "scale") or q.shape[-1] ** -0.5
    if k.shape[1] != q.shape[1]:
        k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    scores = (q * scale) @ k.transpose(-1, -2)
    if causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        scores = scores.masked_fill(~allowed, -torch.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1).nan_to_num(0.0)
