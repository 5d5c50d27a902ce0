"""What scores do not say of themselves, as frames: how they bend, how they add up, how nearly norms are linear."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError
from mainstem.score import Goal, additivity, bend, component, norm_linearity
from mainstem.stream import LEVELS, Pass, find_write, opened, pre_point, spot

from ._fitted import fitted
from ._target import Target, TokenSequence

if TYPE_CHECKING:
    from mainstem.find import Stream
    from mainstem.models import Inputs, Loaded

_ADDED = tuple(i / 2 for i in range(-20, 21))


class Curved:
    """What a trace says of its scores."""

    if TYPE_CHECKING:
        run: Pass
        _full: Any
        _loaded: Loaded
        _inputs: Inputs

        @property
        def tokens(self) -> tuple[tuple[str, ...], ...]: ...

        @property
        def stream(self) -> Stream: ...

        def _place(self, prompt: int, position: int | None) -> tuple[Pass, tuple[int, ...]]: ...

        def _aimed(self, target: Target, positions: int | str | None) -> tuple[Any, Goal]: ...

    def lower_layer_curve(
        self,
        target: Target = None,
        along: str | Float[Tensor, "d_model"] | None = None,
        added: Sequence[float] = _ADDED,
        norm: str = "own",
        prompt: int = 0,
        position: int | None = None,
    ) -> Any:
        """The probability of a token as its before-softmax value grows, from what every layer reads of the stream.

        Where the value of the token alone grows by l, p = A e^l / (A e^l + B), and the slope of log p is 1 - p: low in the
        stack, where p is small, l is worth l nats but next to no probability; once p is near 1 it is worth neither. Along a
        vector all words' values grow with it, in proportion to the vector's own. Source: Yu & Ananiadou, arXiv 2312.12141,
        who draw the first with made-up numbers; here A and B are the model's, at every layer.

        Parameters: `target`, one token, as of `scores`; `along`, a component's label or a vector of the stream that is added
        more and more, None for the token's own value; `added`, values of l, in logits; `norm`, whose scale is held, "own",
        the point's, or "final"; `prompt`; `position`, as of `words`. Raises `InputError` where a vector needs a readout that is one norm and one
        matrix, or says nothing of the token.

        Returns a tidy polars frame: model, target, prompt, position, token, layer (what it reads; one more for the last point), point, along,
        added, times (how often the vector was added), probability, logprob, slope.
        """
        run, place, goal = self._goal(target, prompt, position)
        stream, blocks = run.stream, len(run.stream.blocks)
        layers = [*range(blocks), blocks]
        points = [(pre_point(stream, n) or 0) if n < blocks else len(stream.points) - 1 for n in layers]
        vector = spot(run, place).of(component(run, along))[0] if isinstance(along, str) else along
        found = bend(run, goal, points, torch.tensor(list(added), dtype=torch.float64), norm, vector)
        name = along if isinstance(along, str) else "the token alone" if along is None else "a vector"
        names, rows = ("added", "times", "probability", "logprob", "slope"), []
        for layer, t, times, logprob, slope in zip(layers, points, found.times, found.logprob, found.slope, strict=True):
            about = {"layer": layer, "point": stream.points[t].name, "along": name}
            steps = torch.stack([found.added, times, logprob.exp(), logprob, slope], 1)
            rows += [{**about, **dict(zip(names, step, strict=True))} for step in steps.tolist()]
        frame = self._framed(rows, goal, place)
        return frame.with_columns(frame["times"].fill_nan(None))

    def additivity(
        self,
        target: Target = None,
        writes: str | Sequence[str] | None = None,
        level: str = "neuron",
        steps: int = 100,
        norm: str = "own",
        norm_bias: bool = True,
        prompt: int = 0,
        position: int | None = None,
    ) -> Any:
        """How scores of a write's parts add up: the sum of the k highest beside the score of the k together, k by k.

        c_k = sum of the k highest single log-probability increases, t_k that of the sum of their vectors; with them the line
        t = slope c + intercept of least squares, and its R2. Where scores added up, t_k would be c_k; the last t_k is the
        write's own score. Source: Yu & Ananiadou, arXiv 2312.12141, who find t nearly linear in c for single layers of their
        models and share a layer's score among its parts by it; whether it is so here, the line and R2 say.

        Parameters: `target`, as of `scores`; `writes`, labels such as "L3.mlp", all that the level takes apart by default;
        `level`, "head", "edge", "dim" or "neuron"; `steps`, at how many k; `norm` and `norm_bias`, as of `scores`; `prompt`;
        `position`, as of `words`. Raises `InputError` where nothing is taken apart.

        Returns a tidy polars frame: model, target, prompt, position, token, write, layer, level, k, component (the k-th), score
        (its own), cumulative, together, slope, intercept, r2.
        """
        run, place, goal = self._goal(target, prompt, position)
        return self._framed(list(self._sums(run, goal, writes, level, norm, norm_bias, steps)), goal, place)

    def _sums(
        self, run: Pass, goal: Goal, writes: str | Sequence[str] | None, level: str, norm: str, norm_bias: bool, steps: int
    ) -> Iterator[dict[str, Any]]:
        from ._frame import coordinates

        if steps < 2:
            raise InputError(f"a line needs 2 steps or more, not {steps}.")
        for one in additivity(run, goal, _opened(run, writes, level), level, norm, norm_bias, steps):
            fit = {"slope": one.slope, "intercept": one.intercept, "r2": None if one.r2 != one.r2 else one.r2}
            layer = coordinates(one.write)["layer"]
            for k, c, t in zip(one.at.tolist(), one.cumulative.tolist(), one.together.tolist(), strict=True):
                part = {"k": k, "component": one.names[k - 1], "score": float(one.single[k - 1])}
                yield {"write": one.write, "layer": layer, "level": level, **part, "cumulative": c, "together": t, **fit}

    @fitted
    def norm_linearity(self, first: bool = False) -> Any:
        """How nearly a neuron's pre-activation is linear in the stream before its norm: correlations over the tokens traced.

        The pre-activation is x . K_c / sigma(x) + B; a norm is nearly linear where x . K tells it well, though sigma differs
        from token to token. K is the row of weights with the norm's gain, "raw", or "centred", less its mean, which a layer
        norm subtracts (of an RMS norm both are the same). Source: Yu & Ananiadou, arXiv 2312.12141, who measure a vector's
        worth as a query by its inner product with the raw row on this ground; the correlations are reported, not promised.

        Parameters: `first`, whether the first token of every prompt counts: in many models its vector is so much longer than the
        others that it alone makes the correlation.

        Returns a tidy polars frame, a row for each write of neurons, key and row: model, write, layer, key ("key", or "gate" and
        "up"), row, tokens, neurons (those whose pre-activation varies), mean, median and lowest correlation over these neurons.
        Writes whose keys are not known, or differ by expert, are left out. Raises `InputError` where none is left.
        """
        import polars as pl

        from ._frame import coordinates

        rows = []
        for one in norm_linearity(self.run, self._tokens_of(first)):
            r = one.correlation[one.correlation.isfinite()]
            told = {"mean": r.mean(), "median": r.median(), "lowest": r.min()} if len(r) else {}
            about = {"model": self._loaded.name, "write": one.write, "layer": coordinates(one.write)["layer"]}
            count = {"key": one.key, "row": one.row, "tokens": one.tokens, "neurons": len(r)}
            rows.append({**about, **count, **{name: float(value) for name, value in told.items()}})
        return pl.DataFrame(rows)

    def _tokens_of(self, first: bool) -> Tensor | None:
        """Which places are tokens, the first of every prompt or not among them; None for all."""
        spread, mask = self.run.spread, self._inputs.mask
        if first or len(spread) != 2:
            return None if mask is None else mask.bool()
        real = torch.ones(spread, dtype=torch.bool) if mask is None else mask.bool().clone()
        real[torch.arange(len(real)), real.int().argmax(1)] = False
        return real

    @fitted
    def _goal(self, target: Target, prompt: int, position: int | None) -> tuple[Pass, tuple[int, ...], Goal]:
        """A target at one place of one prompt."""
        if isinstance(target, TokenSequence):
            raise InputError("this is looked at at one position: name one token, not a sequence.")
        run, place = self._place(prompt, position)
        goal = self._aimed(target, position)[1]
        here = (goal.places == torch.tensor(place, device=goal.places.device)).all(1).nonzero()[0]
        return run, place, goal.at(here)

    def _framed(self, rows: list[dict[str, Any]], goal: Goal, place: tuple[int, ...]) -> Any:
        import polars as pl

        said = goal.text if isinstance(goal.text, str) else goal.text[place[0]]
        position = place[1] if len(place) > 1 else None
        token = self.tokens[place[0]][position] if self.tokens and position is not None else None
        about = {"model": self._loaded.name, "target": said, "prompt": place[0], "position": position, "token": token}
        types = {"position": pl.Int64, "token": pl.String, "layer": pl.Int64, "times": pl.Float64, "r2": pl.Float64}
        return pl.DataFrame([{**about, **row} for row in rows], schema_overrides=types, infer_schema_length=None)


def _opened(run: Pass, writes: str | Sequence[str] | None, level: str) -> tuple[str, ...]:
    """Labels of the writes that a level takes apart. Parameters: `run`; `writes`, those asked for, None for all; `level`."""
    if level not in LEVELS or level == "write":
        raise InputError(f"no level {level!r} of parts; there are {', '.join(LEVELS[1:])}.")
    if writes is None:
        found = [w.label for w in run.stream.writes if opened(run, w, level) is not None]
        if not found:
            raise InputError(f"nothing in this model is taken apart at level {level!r}.")
        return tuple(found)
    asked = [find_write(run.stream, label) for label in ((writes,) if isinstance(writes, str) else writes)]
    for write in asked:
        if opened(run, write, level) is None:
            raise InputError(f"{write.label} has no parts at level {level!r}.")
    return tuple(write.label for write in asked)
