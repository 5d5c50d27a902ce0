"""What a run held of components: tensors of the forward pass as they stood, to be put into another one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from mainstem.find import Stream

from ._pass import Pass
from ._seated import seats_of
from ._target import Target
from ._targets import targets
from ._tokens import Tokens


def taken(run: Pass, labels: Sequence[str], tokens: Mapping[str, Tokens]) -> dict[str, Float[Tensor, "row pos feature"]]:
    """What stood at every label's place, [row, pos, feature], without its factor in the sum.

    Parameters: `run`; `labels`, as an edit has them; `tokens`, of every stream by its name. Raises `InputError` for labels that there
    are not.
    """
    some = [found for label in labels for found in targets(run.map, label)]
    seen = run.again({target.site.key for _, target in some})
    return {t.label: t.part(seen.at(t.site), _told(run, s, t, tokens.get(s.name, Tokens()))) for s, t in some}


def _told(run: Pass, stream: Stream, target: Target, tokens: Tokens) -> Tokens:
    """Tokens that know an expert's rows, where its neuron is taken."""
    return replace(tokens, seats={target.site: seats_of(run, stream, target)}) if target.routed else tokens
