"""Frozen affine maps: calls as data, their frozen forms, programs of them, applied and transposed. Knows no model."""

from ._calls import Call, assigned, base_name, dig, is_inplace, put, raised, raised_to, tensors
from ._products import Split, at_places, cut, few_columns, last_product, rows_at, split
from ._program import Affine, Program, Step, Wire
from ._rules import Rule, rule
from ._unscaled import unscaled

__all__ = [
    "Affine",
    "Call",
    "Program",
    "Rule",
    "Split",
    "Step",
    "Wire",
    "assigned",
    "at_places",
    "base_name",
    "cut",
    "dig",
    "few_columns",
    "is_inplace",
    "last_product",
    "put",
    "raised",
    "raised_to",
    "rows_at",
    "rule",
    "split",
    "tensors",
    "unscaled",
]
