"""Which earlier writes switched a neuron or an attention value on."""

from collections.abc import Sequence

from mainstem.core import InputError, Parts
from mainstem.stream import LEVELS, Coordinate, Pass, activations, graded

from ._apart import taken_apart


@graded
def switched_on(run: Pass, asked: Sequence[Coordinate], level: str = "write") -> list[Parts]:
    """The pre-activations of neurons and attention values, each as the sum of what every part of the stream before it contributes.

    <K_k, x> / sigma + B_k = sum over parts u of <Kc_k, u> / sigma + B_k, each part carried to x through what lies between, frozen at
    this input. K_k is the row of weights with the norm's gain folded in, Kc_k the same centred where the norm centres (a layer
    norm), sigma its scale at this input (none where nothing is normed in between, as in post-norm models), B_k the row's bias with
    the norm's shift through the row; it is the part `key.bias` (`gate.bias`, `up.bias`, `value.bias`).

    Parameters: `run`; `asked`, what is looked at; `level`, how far writes are taken apart.

    Returns the parts of each, [batch], zero but for the prompt asked for. Raises `NotClosedError` where they do not sum to the
    pre-activation that the run itself had, `InputError` as of `activations`.
    """
    if level not in LEVELS:
        raise InputError(f"no level {level!r}; there are {', '.join(LEVELS)}.")
    found = taken_apart(run, activations(run, asked), level, (run.prompts,))
    return [
        apart.parts(run, {"by": "activation", "of": one.label, "key": one.key, "level": level})
        for one, apart in zip(asked, found, strict=True)
    ]
