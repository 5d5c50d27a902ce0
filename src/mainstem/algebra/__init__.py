"""Frozen affine maps: calls as data, their frozen forms, programs of them, applied and transposed. Knows no model."""

from ._calls import Call, base_name, dig, is_inplace, put, raised, tensors
from ._program import Affine, Program, Step, Wire
from ._rules import Rule, rule

__all__ = [
    "Affine",
    "Call",
    "Program",
    "Rule",
    "Step",
    "Wire",
    "base_name",
    "dig",
    "is_inplace",
    "put",
    "raised",
    "rule",
    "tensors",
]
