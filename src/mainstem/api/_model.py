"""A model as users hold it: its map, and traces of its runs."""

import threading
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mainstem.core import InputError, MapError, Provenance, give_back
from mainstem.find import StreamMap, find
from mainstem.models import Inputs, Loaded, example, prepare, provenance, reads_images
from mainstem.models import load as load_module
from mainstem.stream import Edit, Pass, check_finite, patches, seated, take

from ._changed import Changed
from ._directed import Directed
from ._lab import make_known
from ._places import spots, tokens_of
from ._readable import readable
from ._trace import Trace
from ._verify import Verification, verify
from ._weighed import Weighed

_ENOUGH, _LONG = 64, 8  # tokens of an input that is mapped as it is, and of each prompt of one that is made for the map
_TEXT = {"input_ids", "attention_mask", "position_ids"}
_HEAVY = 2**24  # weights from which on a proof leaves something to give back: collecting takes a third of a second


class Model(Directed, Weighed, Changed):
    """A module with its residual stream found and proved. Made by `load`.

    Parameters: `loaded`, the module with its tokenizer or image processor.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self._map: StreamMap | None = None
        self._maps: dict[tuple[Any, ...], StreamMap] = {}
        self._lock = threading.RLock()
        Changed.__init__(self)

    @property
    def provenance(self) -> Provenance:
        """Where the model came from, and the sha256 of its weights as they are now.

        Hashed anew each time, since weights can be changed in place: about a second for a gigabyte. What is saved of a trace
        carries it too. Raises `LoadError` where weights have no values at hand.
        """
        return provenance(self.loaded)

    @property
    def map(self) -> StreamMap:
        """The residual streams, found and proved at the first use on an example input of the model's form.

        Raises `NoStreamError`, `NotClosedError`, or `InputError` where the form of the input is not known.
        """
        with self._lock:
            if self._map is None:
                self._map = self._map_for(example(self.loaded))
            return self._map

    def map_with(self, *args: Any, **kwargs: Any) -> StreamMap:
        """Maps the model on an input of your own, and keeps that map.

        Parameters: `args` and `kwargs`, what the module is called with.
        """
        with self._lock:
            self._map = self._maps[_form(args, kwargs)] = find(self.module, *args, **kwargs)
            return self._map

    def trace(
        self,
        data: Any,
        edits: Edit | None = None,
        positions: int | str | None = None,
        padding: str = "right",
        stream: str | None = None,
        grad: bool = False,
        levels: str | Collection[str] = (),
        **inputs: Any,
    ) -> Trace:
        """Runs the model and takes its stream apart. What is held are points and writes, and what they are carried by.

        Parameters: `data`, one prompt or several, token ids, images (files, PIL or tensors) or a float tensor; `edits`, such
        as `mainstem.zero("L3.mlp")`; `positions`, which places its scores are of unless they say: a place counted from either
        end, of which alone the output is then computed, where the model allows it; "all", or None for the mask token or else
        the last real one, for which it is computed everywhere; `padding`, "right" or "left", for prompts of different lengths, masked everywhere;
        `stream`, which of several streams by name; `grad`, record gradients; `levels`, such as ("head", "neuron"), what writes
        were made of at these levels is held too, so that scores of them need no second run; `inputs`, further arguments of
        the module.

        Returns the trace. Raises `InputError` for input that the model cannot read, `NoStreamError`, `NotClosedError`.
        """
        ready = prepare(self.loaded, data, padding, **inputs)
        edit = self._with(edits)
        how: dict[str, Any] = {"stream": stream, "grad": grad, "only": self._only(ready, positions, stream)}
        how["levels"] = (levels,) if isinstance(levels, str) else tuple(levels)
        try:
            run = self._take(self._map_for(ready), ready, edit, how)
        except MapError:
            run = self._take(self.map_with(*ready.args, **ready.kwargs), ready, edit, how)
        if "decoder_input_ids" in ready.kwargs and run.stream is run.map.main:
            ready.ids, ready.mask = ready.kwargs["decoder_input_ids"], None
        return Trace(self.loaded, run, ready, positions)

    def _only(self, ready: Inputs, positions: int | str | None, stream: str | None) -> Tensor | None:
        """The place of every prompt that the output is asked for at, None for all of them."""
        decoder = ready.kwargs.get("decoder_input_ids")
        if not isinstance(positions, int) or ready.ids is None or (decoder is not None and stream is not None):
            return None
        read = ready if decoder is None else replace(ready, ids=decoder, mask=None)
        assert read.ids is not None
        return spots(self.loaded, read, (*read.ids.shape, 0), positions)

    def _map_for(self, ready: Inputs) -> StreamMap:
        """Other arguments, such as a mask, lead through other calls: every set of them has a map of its own."""
        form = _form(ready.args, ready.kwargs)
        with self._lock:
            if form not in self._maps:
                made = self._example()  # rather than the input itself, since a prompt can be too short to map with
                like = made if made is not None and _form(made.args, made.kwargs) == form else self._small(ready)
                self._maps[form] = self._found(like)
                self._map = self._maps[form] if made is None and self._map is None else self._map
            return self._maps[form]

    def _small(self, ready: Inputs) -> Inputs:
        """A few tokens of an input, padded as it is: a map holds for any of its form, and is proved in float64, many times over."""
        if ready.ids is None or ready.ids.numel() <= _ENOUGH or not set(ready.kwargs) <= _TEXT:
            return ready
        first = ready.ids[0] if ready.mask is None else ready.ids[0][ready.mask[0].bool()]
        rows = [first[:_LONG].tolist(), first[: _LONG - 3].tolist()][: 1 if ready.mask is None else 2]
        left = ready.mask is not None and not bool(ready.mask[:, 0].all())
        small = prepare(self.loaded, rows, "left" if left else "right")
        return small if _form(small.args, small.kwargs) == _form(ready.args, ready.kwargs) else ready

    def _example(self) -> Inputs | None:
        try:
            return example(self.loaded)
        except InputError:
            return None

    def _found(self, ready: Inputs) -> StreamMap:
        with readable(self.loaded, ready):
            found = find(self.module, *ready.args, **ready.kwargs)
        if sum(weight.numel() for weight in self.module.parameters()) > _HEAVY:
            give_back()  # the proof ran a copy in float64
        return found

    def _take(self, found: StreamMap, ready: Inputs, edit: Edit, how: dict[str, Any]) -> Pass:
        own = tokens_of(found, ready)
        with readable(self.loaded, ready):
            own = seated(self.module, found, ready.args, ready.kwargs, edit, own)
            run = take(self.module, found, ready.args, ready.kwargs, patches(found, edit, own), **how)
        if edit.changes:
            check_finite(run, edit, own[run.stream.name])
        return run

    def ids(self, text: str) -> list[int]:
        """The tokens that a text is cut into, with nothing added before or behind it. `Trace.word` gives their pieces.

        Parameters: `text`. Raises `InputError` where the model reads no text, or not this one.
        """
        if reads_images(self.loaded):
            raise InputError(f"{self.name} reads images, not text: it has no tokens.")
        if self.loaded.codec is None:
            raise InputError(f"{self.name} has no tokenizer: pass tokenizer=... to load.")
        return self.loaded.codec.pieces_of(text)

    def verify(self, *args: Any, **kwargs: Any) -> Verification:
        """Proves the map and closes every decomposition on one input, row by row.

        Parameters: `args` and `kwargs`, what the module is called with; an example of the model's form where there are none.
        Raises `NoStreamError` for a module without a stream, `InputError` where the form of its input is not known.
        """
        if args or kwargs:
            return verify(self.loaded, lambda: self.map_with(*args, **kwargs), args, kwargs)
        ready = example(self.loaded)
        return verify(self.loaded, lambda: self.map, ready.args, ready.kwargs)

    def __repr__(self) -> str:
        known = f", {len(self._map.main.points) - 1} additions, width {self._map.main.width}" if self._map else ""
        return f"Model({self.name}: {type(self.module).__name__}{known})"


def check_model(value: Any) -> None:
    """Raises `InputError` for what is no model. Parameters: `value`."""
    if not isinstance(value, Model):
        raise InputError(f"a model is what mainstem.load gives, not {value!r}: ms.load({value!r}).")


def _form(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    return len(args), *sorted(kwargs)


def load(
    source: str | Path | nn.Module = "default",
    tokenizer: Any = None,
    processor: Any = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    device_map: Any = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    pickles: bool = False,
) -> Model:
    """Loads a model to look at its residual stream.

    Parameters: `source`, "default" or another name of `mainstem.embedded()` (it comes before a folder of that name; `./name` is
    the folder), a folder in Hugging Face format, a hub id, or any `nn.Module`; `tokenizer` and `processor`, used instead of the
    stored ones; `device`; `dtype`, such as "bfloat16"; `device_map`, spread over devices by accelerate; `revision`, of a hub id;
    `trust_remote_code`, run code that comes with the model; `pickles`, accept pickled checkpoints, which can run code when read.

    Returns the model in eval mode. Raises `LoadError` with the fix for what cannot be loaded.
    """
    make_known(source)
    return Model(load_module(source, tokenizer, processor, device, dtype, device_map, revision, trust_remote_code, pickles))
