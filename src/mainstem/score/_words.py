"""First and last words: the tokens that a vector in the stream raises most and least."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.core import parse_label
from mainstem.stream import Pass, find_write, graded, needed, push, subvector


@dataclass(frozen=True, eq=False)
class Words:
    """Token ids with the change of their logits, the most raised first, the most lowered first."""

    first: Tensor
    first_logits: Tensor
    last: Tensor
    last_logits: Tensor


@graded
def words(run: Pass, label: str, position: tuple[int, ...], k: int = 10) -> Words:
    """The tokens whose logits a component raises and lowers most at one position.

    The component's vector is carried to the logits through everything after it, frozen at this input: A v. Source: Geva et
    al., arXiv 2203.14680, there without the final norm's scale and without what lies in between.

    Parameters: `run`; `label`, of a write, head, neuron or other component; `position`, prompt and place in it; `k`, how many
    words at each end.
    """
    vector = component(run, label)
    start = next(t for t, p in enumerate(run.stream.points) for w in p.writes if w is find_write(run.stream, label))
    alone = torch.zeros_like(vector)
    alone[position] = vector[position]
    pushed = push(run, alone[None], start, None)[0]
    logits = pushed[position if run.cut is None else (position[0], 0)]
    if k > logits.shape[-1]:
        k = logits.shape[-1]
    first, last = logits.topk(k), logits.topk(k, largest=False)
    return Words(first.indices, first.values, last.indices, last.values)


@graded
def component(run: Pass, label: str) -> Tensor:
    """What a component adds to the stream, of the stream's shape: a write, a head, an edge, a neuron.

    Parameters: `run`; `label`, such as "L3.attn", "L3.attn.bias", "L3.attn.H7", "L3.attn.H7<-5", "L3.mlp.N120".
    """
    parsed = parse_label(label)
    write = find_write(run.stream, label)
    if parsed.write == write.label and not parsed.at:
        value = run.write(write)
        t = next(t for t, p in enumerate(run.stream.points) if write in p.writes)
        return value.expand_as(run.point(t))
    return subvector(run, write, parsed, run.again(needed(write)))
