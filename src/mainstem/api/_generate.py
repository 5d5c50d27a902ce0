"""What a model goes on to say, with an edit in force at every step, cached or not."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from difflib import get_close_matches
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mainstem.core import InputError, MapError, tracked, whole
from mainstem.find import StreamMap, Tap, run
from mainstem.models import Inputs, prepare
from mainstem.stream import Edit, Tokens, is_double, patches, seated

from ._mapped import Mapped
from ._places import tokens_of
from ._readable import readable

_OWN = ("data", "tokens", "edits", "temperature", "seed", "cache", "stop", "padding")


@dataclass(frozen=True)
class Generation:
    """What a model went on to say.

    Parameters: `prompts`, as they were given, empty for ids; `ids`, of what was said, a row a prompt; `texts`, the same in words, empty where
    there is no tokenizer; `edits`, that were in force.
    """

    prompts: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...]
    edits: Edit

    def __str__(self) -> str:
        shown = self.texts or tuple(" ".join(map(str, row)) for row in self.ids)
        return "\n".join(f"{prompt}{text}" for prompt, text in zip(self.prompts or ("",) * len(shown), shown, strict=True))


@dataclass(frozen=True)
class Plan:
    """How a model goes on. Parameters: as of `Model.generate`."""

    tokens: int
    temperature: float | int
    seed: int
    cache: bool
    stop: int | None

    def checked(self) -> "Plan":
        """This plan. Raises `InputError` for numbers out of range."""
        if isinstance(self.tokens, bool) or not isinstance(self.tokens, int) or self.tokens < 1:
            raise InputError(f"tokens is how many to say, from 1, not {self.tokens!r}.")
        if not isinstance(self.temperature, int | float) or not 0 <= self.temperature < float("inf"):
            raise InputError(f"temperature is a number from 0, the likeliest token each time, not {self.temperature!r}.")
        whole("seed", self.seed)
        return self


@torch.no_grad()
def generated(model: Mapped, data: Any, edit: Edit, plan: Plan, padding: str, inputs: dict[str, Any]) -> Generation:
    """Goes on with prompts. Parameters: `model`; `data`; `edit`; `plan`; `padding`; `inputs`, further arguments of the module."""
    codec = model.loaded.codec
    _check(model, inputs)
    plan = replace(plan.checked(), stop=plan.stop if plan.stop is not None else _end(model))
    ready = prepare(model.loaded, data, padding, **inputs)
    if ready.ids is None:
        raise InputError(f"{model.name} was given no tokens to go on from: generate is for models of text.")
    longest = ready.ids.shape[1] + plan.tokens
    if codec is not None and codec.limit is not None and longest > codec.limit:
        raise InputError(
            f"the prompt and {plan.tokens} tokens are {longest}, this model reads at most {codec.limit}: ask for "
            f"{max(0, codec.limit - ready.ids.shape[1])} or fewer."
        )
    own = hasattr(model.module, "generate") and hasattr(model.module, "generation_config")
    rows = _own(model, ready, edit, plan) if own else _plain(model, ready, edit, plan, padding, inputs)
    texts = tuple(map(codec.joined, rows)) if codec is not None else ()
    return Generation(ready.prompts, tuple(map(tuple, rows)), texts, edit)


_SAID = {
    "max_new_tokens": "tokens",
    "do_sample": "temperature",
    "use_cache": "cache",
    "eos_token_id": "stop",
    "past_key_values": "cache",
}


def _check(model: Mapped, inputs: dict[str, Any]) -> None:
    """Raises `InputError` for arguments that neither the module reads nor its own `generate`, and for those that are said otherwise."""
    module = model.module
    own, config = hasattr(module, "generate"), getattr(module, "generation_config", None)
    places: list[Any] = [module.forward, *([module.generate] if own else [])]
    asked = [signature(one).parameters.values() for one in places]
    known = {p.name for some in asked for p in some if p.kind is not p.VAR_KEYWORD}
    if not own and any(p.kind is p.VAR_KEYWORD for p in asked[0]):
        return
    for name in inputs:
        if own and name in _SAID:
            raise InputError(f"{name} is said by {_SAID[name]}=... here.")
        if name not in known and not (own and hasattr(config, name)):
            near = get_close_matches(name, [*_OWN, *known], 1, 0.7)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise InputError(f"generate has no argument {name!r}, and {model.name} reads none of that name.{meant}")


def _end(model: Mapped) -> int | None:
    tokenizer: Any = getattr(model.loaded.codec, "tokenizer", None)
    found = getattr(tokenizer, "eos_token_id", None)
    if isinstance(found, int) or not hasattr(tokenizer, "get_added_tokens_decoder"):
        return found if isinstance(found, int) else None
    special = [token for token, added in tokenizer.get_added_tokens_decoder().items() if added.special]
    return special[0] if len(special) == 1 else None  # a plain tokenizer does not say which: the only one there is


def _own(model: Mapped, ready: Inputs, edit: Edit, plan: Plan) -> list[list[int]]:
    """By the module's own `generate`: every forward pass of it is edited, those that go on from a cache too."""
    module, given = model.module, ready.ids
    assert given is not None
    if ready.mask is not None and not bool(ready.mask[:, -1].all()):
        raise InputError("prompts of different lengths are gone on with from their ends: give padding='left'.")
    how: dict[str, Any] = {"do_sample": plan.temperature > 0, "use_cache": plan.cache, "max_new_tokens": plan.tokens}
    how |= {"temperature": float(plan.temperature)} if plan.temperature else {"temperature": None, "top_p": None, "top_k": None}
    if (idle := how.keys() & ready.kwargs.keys()) and not plan.temperature:
        raise InputError(f"{', '.join(sorted(idle))}: a choice among tokens that are drawn; give temperature too, above 0.")
    kwargs = {k: v for k, v in ready.kwargs.items() if k != "position_ids"}
    kwargs["attention_mask"] = torch.ones_like(given) if ready.mask is None else ready.mask
    drawn = (
        [given.device] if given.is_cuda else []
    )  # the caller's draws, on the processor and there, go on as if nothing had been drawn
    with torch.random.fork_rng(drawn, device_type="cuda"), readable(model.loaded, ready):
        torch.manual_seed(plan.seed)
        steps = _Steps(model, model._map_for(ready), ready, edit, plan)
        with steps.tap.watch if edit.changes else nullcontext():
            found = module.generate(**kwargs, **how, logits_processor=[steps])  # type: ignore[operator]
        if edit.changes and not steps.every:
            steps.tap.check()
    encoded = bool(getattr(getattr(module, "config", None), "is_encoder_decoder", False))
    said = found[
        :,
        kwargs["decoder_input_ids"].shape[1] if encoded and "decoder_input_ids" in kwargs else 1 if encoded else given.shape[1] :,
    ]
    return [_until(row.tolist(), plan.stop) for row in said]


class _Steps:
    """Called between forward passes of `generate`: sees to it that each one was edited, and says where the next one begins."""

    def __init__(self, model: Mapped, found: StreamMap, ready: Inputs, edit: Edit, plan: Plan) -> None:
        self.tokens, self.cache, self.edit = tokens_of(found, ready), plan.cache, edit
        self.tap = Tap(model.module, (), patches(found, edit, self.tokens), found.volatile, is_double(model.module))
        self.every = not getattr(getattr(model.module, "config", None), "is_encoder_decoder", False)

    def __call__(self, ids: Int[Tensor, "batch pos"], scores: Float[Tensor, "batch vocab"]) -> Float[Tensor, "batch vocab"]:
        if self.every:
            self.tap.check()
            self.tap.edited.clear()
        for tokens in self.tokens.values():
            tokens.start = ids.shape[1] if self.cache else 0
        _check_said(self.edit, scores)
        return scores


def _plain(model: Mapped, ready: Inputs, edit: Edit, plan: Plan, padding: str, inputs: dict[str, Any]) -> list[list[int]]:
    """One whole forward pass for every token, of modules that have no `generate`."""
    assert ready.ids is not None
    rows = [row[real].tolist() for row, real in zip(ready.ids, _real(ready), strict=True)]
    lengths = [len(row) for row in rows]
    chance = torch.Generator().manual_seed(plan.seed)
    for _ in tracked(range(plan.tokens), "saying", plan.tokens):
        open_ = [i for i, row in enumerate(rows) if plan.stop is None or plan.stop not in row[lengths[i] :]]
        if not open_:
            break
        if edit.changes:  # a patch holds a row for each prompt, so all of them stay
            open_ = list(range(len(rows)))
        chosen = list(_next(model, [rows[i] for i in open_], [lengths[i] for i in open_], edit, plan, padding, inputs, chance))
        for i, token in zip(open_, chosen, strict=True):
            rows[i].append(token)
    return [_until(row[n:], plan.stop) for row, n in zip(rows, lengths, strict=True)]


def _next(
    model: Mapped, rows: Any, lengths: Any, edit: Edit, plan: Plan, padding: str, inputs: Any, chance: torch.Generator
) -> Iterator[int]:
    """The next token of every row: positions of edits are counted in the prompts, not in what was said since."""
    ready = prepare(model.loaded, rows, padding, **inputs)

    def output(found: StreamMap) -> Tensor:
        site = found.main.output
        if site is None:
            raise InputError("nothing of the module's output can be followed back to this stream, so it has nothing to say.")
        own = {name: _prompt(tokens, lengths) for name, tokens in tokens_of(found, ready).items()}
        with readable(model.loaded, ready):
            own = seated(model.module, found, ready.args, ready.kwargs, edit, own)
            return run(model.module, ready.args, ready.kwargs, {site.key}, patches(found, edit, own), found.volatile).at(site)

    try:
        logits = output(model._map_for(ready))
    except MapError:
        logits = output(model.map_with(*ready.args, **ready.kwargs))
    if logits.ndim != 3 or logits.shape[1] != _real(ready).shape[1]:
        raise InputError(f"{model.name} says nothing token by token: its output is of shape {tuple(logits.shape)}.")
    for row, real in zip(logits, _real(ready), strict=True):
        last = row[real.nonzero()[-1, 0]].double().cpu()
        _check_said(edit, last)
        if plan.temperature:
            yield int(torch.multinomial((last / plan.temperature).softmax(-1), 1, generator=chance))
        else:
            yield int(last.argmax())


def _check_said(edit: Edit, logits: Tensor) -> None:
    if bool(logits.isnan().any()):
        by, fix = (f"with {edit} ", " Make the edit smaller.") if edit.changes else ("", "")
        raise InputError(f"{by}the model predicts nothing: its logits are no numbers.{fix}")


def _prompt(tokens: Tokens, lengths: list[int]) -> Tokens:
    if tokens.mask is None:
        return tokens
    counted = tokens.mask.int().cumsum(1)
    return Tokens(tokens.mask & (counted <= torch.tensor(lengths, device=counted.device)[:, None]))


def _real(ready: Inputs) -> Tensor:
    assert ready.ids is not None
    return torch.ones_like(ready.ids, dtype=torch.bool) if ready.mask is None else ready.mask.bool()


def _until(row: list[int], stop: int | None) -> list[int]:
    return row[: row.index(stop)] if stop is not None and stop in row else row
