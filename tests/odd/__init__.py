"""Residual networks that no library made, each unlike the others, with what is true of every one."""

from . import _adds, _gates, _images, _many, _refused, _sequences, _shapes  # noqa: F401
from ._registry import ODD, REFUSED, Refusal, Truth, noting

__all__ = ["ODD", "REFUSED", "Refusal", "Truth", "noting"]
