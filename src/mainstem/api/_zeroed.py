"""What a model loses where features of its stream are taken out: on the same tokens, run after run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan, sqrt

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mainstem.core import InputError, MapError
from mainstem.find import StreamMap, run
from mainstem.models import Inputs, prepare
from mainstem.scan import Batch
from mainstem.stream import Edit, patches, seated

from ._batching import prompts_of
from ._looked import chosen
from ._model import Model
from ._places import tokens_of
from ._readable import readable


@dataclass
class Loss:
    """What one edit did, summed over places.

    Parameters: `count`, places whose next token is known; `loss`, sum of -log p of these tokens; `more` and `squares`, sums of how much
    larger it is than without the edit, and of that squared; `places` and `divergence`, all places, and the sum of their KL
    divergence from what the model said without it.
    """

    count: int = 0
    loss: float = 0.0
    more: float = 0.0
    squares: float = 0.0
    places: int = 0
    divergence: float = 0.0

    def numbers(self) -> dict[str, float]:
        """Means: loss, increase with its standard error as if places were independent, and divergence, all in nats."""
        n = self.count
        mean = self.more / n if n else nan
        spread = max(self.squares / n - mean * mean, 0.0) * n / (n - 1) if n > 1 else nan
        error = sqrt(spread / n) if n > 1 else nan
        kl = self.divergence / self.places if self.places else nan
        return {"loss": self.loss / n if n else nan, "increase": mean, "error": error, "divergence": kl}


@dataclass
class Zeroed:
    """Runs batches without an edit and with each of several, and adds up what they cost.

    Parameters: `model`; `edits`; `stream`, by name. `causal` says whether a token is predicted from those before it alone: of a model
    that looks ahead there is no loss of the next token.
    """

    model: Model
    edits: Sequence[Edit]
    stream: str | None = None
    causal: bool | None = None
    found: list[Loss] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.found = [Loss() for _ in range(len(self.edits) + 1)]

    @torch.no_grad()
    def add(self, batch: Batch) -> None:
        """Takes in a batch. Raises `InputError` where an edit cannot be made of this model. Parameters: `batch`."""
        ready = prepare(self.model.loaded, prompts_of(batch))
        try:
            found = self.model._map_for(ready)
            plain = self._output(found, ready, Edit())
        except MapError:
            found = self.model.map_with(*ready.args, **ready.kwargs)
            plain = self._output(found, ready, Edit())
        text = batch.ids is not None and plain.ndim == 3 and plain.shape[:2] == batch.ids.shape
        if text and self.causal is None:
            self.causal = self._looks_back(found, batch)
        ids = batch.ids if text and self.causal else None
        mask = batch.mask if text else torch.ones(plain.shape[:-1], dtype=torch.bool)
        for at, edit in enumerate([Edit(), *self.edits]):
            self._add(self.found[at], plain, self._output(found, ready, edit) if at else plain, ids, mask.to(plain.device))

    def _output(self, found: StreamMap, ready: Inputs, edit: Edit) -> Float[Tensor, "*place vocab"]:
        output = chosen(found, self.stream).output
        if output is None:
            raise InputError("nothing of the module's output can be followed back to this stream, so it has no loss.")
        with readable(self.model.loaded, ready):
            own = seated(self.model.module, found, ready.args, ready.kwargs, edit, tokens_of(found, ready))
            seen = run(
                self.model.module,
                ready.args,
                ready.kwargs,
                {output.key},
                patches(found, edit, own),
                found.volatile,
            )
        return seen.at(output).float() if seen.at(output).dtype != torch.float64 else seen.at(output)

    def _looks_back(self, found: StreamMap, batch: Batch) -> bool:
        """Whether what is said at the first place stays when the last token is another."""
        assert batch.ids is not None
        row = max(range(len(batch.ids)), key=lambda i: int(batch.mask[i].sum()))
        ids = batch.ids[row][batch.mask[row]].tolist()
        other = [*ids[:-1], ids[0] if ids[0] != ids[-1] else ids[-1] - 1 if ids[-1] else 1]
        one, two = (self._output(found, prepare(self.model.loaded, [x]), Edit())[0, 0] for x in (ids, other))
        return len(ids) > 1 and bool((one - two).abs().max() <= 1e-3 * one.abs().max())

    def _add(
        self, into: Loss, plain: Tensor, edited: Tensor, ids: Int[Tensor, "batch pos"] | None, mask: Bool[Tensor, "..."]
    ) -> None:
        for row in range(len(plain)):
            there = mask[row]
            before, after = (logits[row].log_softmax(-1).double() for logits in (plain, edited))
            kl = (
                (before.exp() * (before - after)).sum(-1)[there]
                if there.ndim
                else (before.exp() * (before - after)).sum(-1)[None]
            )
            into.places += kl.numel()
            into.divergence += float(kl.sum())
            if ids is not None:
                known = there[1:] & there[:-1]
                aim = ids[row].to(plain.device)[1:, None]
                one, two = (-logp[:-1].gather(-1, aim)[:, 0][known] for logp in (before, after))
                into.count += one.numel()
                into.loss += float(two.sum())
                into.more += float((two - one).sum())
                into.squares += float((two - one).square().sum())
