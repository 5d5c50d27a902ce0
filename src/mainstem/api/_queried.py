"""What a trace says of what switched its neurons and attention values on."""

from typing import Any, Protocol, runtime_checkable

from mainstem.core import InputError, parse_label
from mainstem.models import Inputs, Loaded
from mainstem.score import Choices, Goal, Score, queries, score_named, switched_on
from mainstem.stream import Coordinate, KeyVectors, Pass, key_vectors

from ._fitted import fitted
from ._places import spots
from ._queries import QueriesResult
from ._result import Result
from ._target import Target
from ._weights import Weights


@runtime_checkable
class _Traced(Protocol):
    run: Pass
    _full: Any
    _loaded: Loaded
    _inputs: Inputs
    _weights: Weights

    @property
    def tokens(self) -> tuple[tuple[str, ...], ...]: ...

    def _aimed(self, target: Target, positions: int | str | None) -> tuple[Any, Goal]: ...


class Queried:
    """The part of a trace that looks at pre-activations."""

    def queries(
        self: _Traced,
        target: Target = None,
        top: int = 10,
        level: str = "neuron",
        by: str = "dla",
        prompt: int = 0,
        position: int | None = None,
        base: str | None = None,
        norm: str | None = None,
        norm_bias: bool | None = None,
    ) -> QueriesResult:
        """Which earlier writes switched on the neurons and attention values that count most for a prediction.

        Values are the `top` neurons and the `top` attention values (dims of heads at a key position) of the highest scores s_v.
        The pre-activation a = <K, x> / sigma + B of each, of gate and up where there are two (n_v = 2), is the sum of shares of
        all parts u of the stream before it, and

            credit(u) = sum_v s_v / n_v sum_key share_key(u) / a_key.

        Shares and the bias sum to the pre-activation; credits sum to the values' scores.

        Parameters: `target`, as of `scores`; `top`, how many values of either kind; `level`, how far the earlier writes are taken
        apart; `by`, the score of the values, with its choices `base`, `norm` and `norm_bias` as of `scores`; `prompt`; `position`,
        where the prediction is made, the mask token or else the last real one by default.

        Raises `NotClosedError` where shares or credits do not sum, `InputError` where nothing is known to switch any of the values
        on. Source: Yu and Ananiadou, arXiv 2312.12141, where credits are the bare sums of products of queries with keys. Their
        released code does not centre the keys of a layer norm, and takes the rows of the last matrix for keys in gated models.
        """
        if top < 1:
            raise InputError(f"top is 1 or more, not {top}.")
        if not 0 <= prompt < self.run.prompts:
            raise InputError(f"there is no prompt {prompt}: there are {self.run.prompts}, counted from 0.")
        score = score_named(by)
        choices = score.checked(Choices(level, base, norm, norm_bias))
        trace, goal = self._aimed(target, position)
        return trace._switched(goal, score, choices, top, prompt)

    @fitted
    def _switched(self: _Traced, goal: Goal, score: Score, choices: Choices, k: int, prompt: int) -> QueriesResult:
        found = queries(self.run, goal, score.name, choices, k, prompt)
        unit = "logit" if score.unit == "logit" else score.name.replace("_", " ")
        text = goal.text if isinstance(goal.text, str) else goal.text[prompt]
        tokens = self.tokens[prompt] if self.tokens else ()
        return QueriesResult(found, self._loaded.name, f"{unit} of {text}", score.name, tokens, self._weights)

    @fitted
    def activation(
        self: _Traced, label: str, level: str = "write", key: str | None = None, prompt: int = 0, position: int | None = None
    ) -> Result:
        """What switched one neuron or attention value on: its pre-activation as the sum of what every earlier part contributes.

        <K, x> / sigma + B = sum over parts u of <Kc, u> / sigma + B: K the row of weights with the norm's gain folded in, Kc the same
        centred where the norm centres, sigma its scale at this input, B the row's bias with the norm's shift through the row.

        Parameters: `label`, such as "L3.mlp.N120"; "L3.attn.H7<-5.D12", the value of that dim at key position 5; or
        "L3.attn.H7.D12", the sum of these over key positions, weighed by the pattern. `level`, how far the earlier writes are taken
        apart; `key`, "gate" or "up" where there are two; `prompt`; `position`, the mask token or else the last real one by default.

        Raises `NotClosedError` where the parts do not sum to the pre-activation that the run had, `InputError` for a label that
        does not exist, that nothing is known to switch on, or that has several keys.
        """
        run = self.run
        if not 0 <= prompt < run.prompts:
            raise InputError(f"there is no prompt {prompt}: there are {run.prompts}, counted from 0.")
        where = _position(run, self._loaded, self._inputs, prompt, position)
        (parts,) = switched_on(run, [Coordinate(label, key, (prompt, *where))], level)
        said, key_pos = f"{parts.choices['key']} of {label}", dict(parse_label(label).at).get("key_pos")
        read = where if key_pos is None else (key_pos,)
        return Result(parts, self._loaded.name, said, self.tokens, read * run.prompts or None, None, self._weights).prompt(prompt)

    @fitted
    def keys(self: _Traced, label: str, key: str | None = None) -> KeyVectors:
        """The vectors that the neurons of an MLP, or the values of an attention, are switched on by.

        With x what is read, <centred[k], x> / sigma + bias[k] is the pre-activation of neuron k: K_k = gain * W_k, less its mean where
        the norm subtracts one, bias[k] = W_k's own with the norm's shift through W_k, sigma the norm's scale (1 without a norm).

        Parameters: `label`, such as "L3.mlp", or "L3.attn" for its values, value head by value head; `key`, "gate" or "up" where
        there are two.

        Returns the vectors, raw and centred, with the pre-activations at every place. Raises `InputError` where nothing is known to
        switch these on, where there are several keys, and where experts are chosen.
        """
        return key_vectors(self.run, label, key)


def _position(run: Pass, loaded: Loaded, inputs: Inputs, prompt: int, position: int | None) -> tuple[int, ...]:
    """The position of a prompt that is looked at; none where the stream has no positions."""
    if len(run.spread) == 1:
        if position is not None:
            raise InputError("this model's stream has no positions to choose from: leave the position out.")
        return ()
    output = run.output().shape if run.stream.output is not None else ()
    length = run.spread[1]
    if len(output) == 3 and (run.cut is not None or output[1] == length):
        places = spots(loaded, inputs, (run.prompts, length, output[-1]), position)
        assert places is not None
        return (int(places[prompt]),)
    if position is None or not -length <= position < length:
        raise InputError(f"name a position: activation(..., position=0), of {length}; this model's output has none.")
    return (position % length,)
