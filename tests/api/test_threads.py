"""One model in several threads: what a page works out and what a notebook asks meanwhile are what each says alone."""

import threading
from functools import cache
from typing import Any

import torch

import mainstem as ms

PROMPTS = ["The capital of France is", "The language of Chile is", "The Eiffel Tower is in"]


@cache
def model() -> Any:
    return ms.load("default")


def asked(prompt: str) -> list[Any]:
    """Scores, words and what switched a neuron on, which push vectors through frozen maps; and a plain run."""
    trace = model().trace(prompt)
    words = trace.words(["L2.attn.H1", "L3.mlp.N7", "L1.mlp"]).to_dict()["words"]
    scores = trace.scores(level="head").parts.tensor
    on = trace.activation("L2.mlp.N3").parts.tensor
    with torch.no_grad():
        plain = model().module(torch.tensor([model().loaded.codec.encode(prompt)]))
    return [scores, on, trace.carry("L3.resid_post", "head").parts.tensor, getattr(plain, "logits", plain), words]


def same(found: list[Any], wanted: list[Any]) -> bool:
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(found, wanted, strict=True))


def test_threads_have_the_numbers_of_one():
    alone = {prompt: asked(prompt) for prompt in PROMPTS}
    wrong: list[str] = []

    def work(prompt: str) -> None:
        try:
            wrong.extend(f"{prompt}: other numbers" for _ in range(4) if not same(asked(prompt), alone[prompt]))
        except Exception as error:
            wrong.append(f"{prompt}: {type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=(prompt,)) for prompt in PROMPTS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert wrong == []
    changed = [value * 2 if isinstance(value, torch.Tensor) else value for value in alone[PROMPTS[0]]]
    assert not same(changed, alone[PROMPTS[0]])
