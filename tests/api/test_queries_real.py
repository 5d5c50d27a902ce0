"""Real weights: what switched neurons and values on sums to what the module itself has there, in true float64 and as it is stored."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from torch import Tensor

import mainstem as ms
import real
from mainstem.score import switched_on
from mainstem.stream import LEVELS, Coordinate

PROMPT = "The capital of France is"


@cache
def traced(folder: Path, dtype: str) -> ms.Trace:
    made = real.model(folder) if dtype == "float32" else ms.load(folder, dtype=dtype)
    return made.trace(PROMPT if "minilm" not in str(folder) else "The capital of France is Paris.")


def hooked(trace: ms.Trace, path: str) -> Tensor:
    """What a module of the model returns in a pass of ours, which rewrites casts in float64. Parameters: `trace`; `path`."""
    kept: list[Tensor] = []
    module = trace.run.module.get_submodule(path)
    hook = module.register_forward_hook(lambda m, a, out: kept.append(out.detach().clone()))
    trace.run.again({trace.stream.points[-1].site.key, trace.stream.writes[0].writer.sources[0].site.key})
    hook.remove()
    return kept[0][0]


NEURONS = [(layer, neuron, key) for layer, neuron in ((0, 7), (12, 1000), (29, 1535)) for key in ("gate", "up")]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "limit", "levels"), [("float64", 1e-12, LEVELS), ("float32", 1e-5, LEVELS[-1:])])
def test_smollm2(real_model: Callable[[str], Path], dtype: str, limit: float, levels: tuple[str, ...]):
    trace = traced(real_model("smollm2"), dtype)
    wanted = [float(hooked(trace, f"model.layers.{layer}.mlp.{key}_proj")[-1, n]) for layer, n, key in NEURONS]
    values = hooked(trace, "model.layers.20.self_attn.v_proj")[3, 2 * 64 + 5]
    wanted += [float(values)] * 3
    asked = [Coordinate(f"L{layer}.mlp.N{n}", key, (0, 4)) for layer, n, key in NEURONS]
    asked += [Coordinate(f"L20.attn.H{head}<-3.D5", None, (0, 4)) for head in (6, 7, 8)]  # three heads share a value
    for level in levels:
        for parts, there in zip(switched_on(trace.run, asked, level), wanted, strict=True):
            size = float(parts.tensor.abs().sum())
            assert float(parts.whole) == pytest.approx(there, abs=limit)
            assert abs(float(parts.sum()) - there) <= limit * size
    if dtype == "float32":
        found = trace.queries(" Paris", top=5)
        assert float(found.credit.sum()) == pytest.approx(sum(found.values.values()), rel=1e-4)
        assert found.error <= found.bound and len(found.values) == 10 and not found.unread


@pytest.mark.slow
def test_minilm_has_no_sigma_of_its_own(real_model: Callable[[str], Path]):
    """Post-norm: the read is the normed sum; every neuron's parts sum to what the module has."""
    trace = traced(real_model("minilm"), "float64")
    for layer in (0, 5):
        wanted = float(hooked(trace, f"encoder.layer.{layer}.intermediate.dense")[2, 100])
        found = trace.activation(f"L{layer}.mlp.N100", "neuron", position=2)
        assert float(found.whole) == pytest.approx(wanted, abs=1e-12)
        assert abs(float(found.sum()) - wanted) <= 1e-12 * float(found.tensor.abs().sum())


def test_tinystories(shared: Path):
    trace = ms.load(shared / "models" / "tinystories-656k").trace("Once upon a time, there was")
    found = trace.queries(top=4)
    assert float(found.credit.sum()) == pytest.approx(sum(found.values.values()), rel=1e-4)
    assert found.error <= found.bound
    assert float(trace.activation("L1.mlp.N9", "neuron", "gate").whole) == pytest.approx(
        float(hooked(trace, "model.layers.1.mlp.gate_proj")[-1, 9]), abs=1e-6
    )
