"""Shapes in signatures are checked while the tests run, in every file that has some."""

import re
import sys

import pytest
from jaxtyping import TypeCheckError, install_import_hook

from house._public import planted_module
from house._source import PACKAGE


def checked(module: str) -> bool:
    """Whether a module's shapes are checked when it is imported."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "should_instrument")]
    return any(finder.should_instrument(module) for finder in finders)


def test_files_with_shapes_are_checked_and_no_others():
    shaped = set()
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        says = re.search(r"\b(Float|Int|Bool)\[", path.read_text(encoding="utf-8")) is not None
        assert checked(name) == says, name
        shaped |= {name} if says else set()
    assert "mainstem.score._bounds" in shaped and "mainstem.find._watch" not in shaped


SHAPES = """
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

Pair = tuple[Float[Tensor, "pos"], int]

def first(pairs: list[Pair]) -> Tensor:
    return pairs[0][0]

def doubled(x: Tensor) -> Tensor:
    return 2 * x

@dataclass
class Held:
    rows: "Float[Tensor, 'pos 3']"

def both(x: Float[Tensor, "batch pos"], y: Float[Tensor, "pos"]) -> Float[Tensor, "batch pos"]:
    return x + y
"""


def test_a_planted_shape_is_caught(tmp_path):
    import torch

    with install_import_hook("planted_shapes", "beartype.beartype"):
        planted = planted_module(tmp_path, "planted_shapes", SHAPES)
    assert planted.both(torch.zeros(2, 3), torch.zeros(3)).shape == (2, 3)
    with pytest.raises(TypeCheckError):
        planted.both(torch.zeros(2, 3), torch.zeros(1))
    with pytest.raises(TypeCheckError):
        planted.Held(torch.zeros(2, 2))
    with pytest.raises(TypeCheckError):
        planted.first([(torch.zeros(1, 1), 1)])
    assert not hasattr(planted.doubled, "__wrapped__") and hasattr(planted.both, "__wrapped__")
