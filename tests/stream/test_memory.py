"""Nothing is built that is not asked for: no tensor of neurons x width comes into being, and a trace keeps none of neurons."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import GPT2Config, GPT2LMHeadModel, MixtralConfig, MixtralForCausalLM

from mainstem.algebra import tensors
from mainstem.find import find
from mainstem.score import component, direct
from mainstem.stream import Pass, carry, take

WIDTH, NEURONS, LENGTH, VOCAB = 32, 3000, 9, 40


class Largest(TorchDispatchMode):
    """The size of the largest tensor that is made while it is on; views of what there was do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        known = {address(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        made = [t.numel() for t in tree_leaves(out) if isinstance(t, Tensor) and address(t) not in known]
        self.numel = max([self.numel, *made])
        return out


def address(tensor: Tensor) -> int:
    """Where its numbers are; inside of torch.func they may be nowhere, and then it counts as made."""
    try:
        return tensor.untyped_storage().data_ptr()
    except RuntimeError:
        return -id(tensor)


def wide(batch: int = 1) -> Pass:
    """A model of far more neurons than dimensions, run once."""
    sizes = {"n_embd": WIDTH, "n_layer": 2, "n_head": 4, "n_positions": 32, "vocab_size": VOCAB, "n_inner": NEURONS}
    module = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).eval()
    ids = torch.arange(batch * LENGTH).reshape(batch, LENGTH) % VOCAB
    return take(module, find(module, ids), (ids,), {})


def experts() -> Pass:
    """The same with experts."""
    sizes = {
        "hidden_size": WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": VOCAB,
    }
    module = MixtralForCausalLM(MixtralConfig(**sizes, intermediate_size=NEURONS, num_local_experts=4)).eval()
    ids = torch.arange(LENGTH)[None]
    return take(module, find(module, ids), (ids,), {})


def storages(run: Pass) -> dict[int, Tensor]:
    """Every tensor that the run keeps, by storage, the module's own left out."""
    own = {t.untyped_storage().data_ptr() for t in [*run.module.parameters(), *run.module.buffers()]}
    kept = [t for call in run.seen.calls.values() for tree in (call.args, call.kwargs, call.out) for _, t in tensors(tree)]
    return {t.untyped_storage().data_ptr(): t for t in kept if t.untyped_storage().data_ptr() not in own}


def test_the_meter_sees_an_expansion():
    """The very thing that must not happen, so that the other tests mean something."""
    h, weight = torch.randn(LENGTH, NEURONS), torch.randn(NEURONS, WIDTH)
    with Largest() as largest:
        expanded = h[:, :, None] * weight
    assert largest.numel == expanded.numel() == LENGTH * NEURONS * WIDTH
    with Largest() as none:
        weight.T.reshape(WIDTH, 2, -1)[:, 0]
    assert none.numel == 0


@pytest.mark.parametrize("keep_pos", [False, True])
@pytest.mark.parametrize("batch", [1, 3])
def test_scores_of_all_neurons_build_no_vector_of_any(batch, keep_pos):
    run = wide(batch)
    direction = torch.randn_like(run.output())
    with Largest() as largest:
        parts = direct(run, direction, "neuron", keep_pos)
    assert len(parts) > 2 * NEURONS
    assert largest.numel <= 2 * batch * LENGTH * NEURONS
    assert largest.numel < batch * LENGTH * NEURONS * WIDTH / 10


def test_scores_of_experts_build_no_vector_of_any():
    run = experts()
    direction = torch.randn_like(run.output())
    with Largest() as largest:
        parts = direct(run, direction, "neuron")
    assert len(parts) > 4 * NEURONS
    # Two experts a token, gate and up together: what the model itself makes is the largest thing made.
    assert largest.numel <= 2 * 2 * LENGTH * NEURONS


def test_scores_of_edges_build_no_vector_of_any():
    run = wide()
    direction = torch.randn_like(run.output())
    with Largest() as largest:
        direct(run, direction, "edge")
    assert largest.numel <= LENGTH * NEURONS  # the run's own; head x pos x key_pos x width would be more
    assert largest.numel < 4 * LENGTH * LENGTH * NEURONS


def test_one_component_is_one_vector():
    run = wide()
    with Largest() as largest:
        component(run, "L1.mlp.N2999")
    assert largest.numel <= WIDTH * NEURONS  # the weight once


def test_a_trace_keeps_points_and_writes_and_nothing_of_neurons():
    run = wide()
    kept = storages(run)
    assert not any(NEURONS in t.shape for t in kept.values())
    vectors = len(run.stream.points) + len(run.stream.writes) + len(run.stream.entry)
    assert sum(t.untyped_storage().nbytes() for t in kept.values()) <= 4 * (2 * vectors * LENGTH * WIDTH + 2 * LENGTH * VOCAB)


def test_what_a_level_captured_is_let_go():
    run = wide()
    before = storages(run).keys()
    direct(run, torch.randn_like(run.output()), "neuron")
    carry(run)
    assert storages(run).keys() == before
