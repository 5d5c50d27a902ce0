"""One traced input: tensors by name, lens, scores, words, pictures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, MainstemError, MapError, Provenance
from mainstem.find import Stream, find
from mainstem.models import Inputs, Loaded
from mainstem.score import Choices, Goal, Score, component, lens, score_named
from mainstem.score import top as best
from mainstem.stream import Pass, carry, factors, find_point, find_write, heads, needed, needed_inside, take

from ._aim import Sight, aim
from ._cautions import Cautious
from ._curves import Curved
from ._fitted import fitted
from ._flow import Flowing
from ._forced import Forced, forced, tokens_of
from ._heads import Headed
from ._lens import LensResult
from ._names import index_of, name_of
from ._places import spots
from ._queried import Queried
from ._readable import readable
from ._result import Result
from ._target import AnyOf, Contrast, Target, TokenSequence
from ._top import TopResult
from ._tuned import TunedLens
from ._weights import Weights

_OUT = {"attn_out": "attn", "mlp_out": "mlp", "cross_out": "cross"}


class Trace(Queried, Headed, Curved, Cautious, Flowing):
    """What one run of a model left behind: points and writes of its stream; everything else is worked out when asked for.

    Parameters: `loaded`, the model; `run`, its pass; `inputs`, what it was run with; `positions`, which places are scored
    unless a call says.
    """

    def __init__(self, loaded: Loaded, run: Pass, inputs: Inputs, positions: int | str | None = None) -> None:
        self._loaded, self.run, self._inputs, self._positions = loaded, run, inputs, positions
        self._full: Trace | None = None
        self._longer: Trace | None = None
        self._inner: tuple[Pass, Trace] | None = None
        self._weights = Weights(loaded)

    @property
    def provenance(self) -> Provenance:
        """Where the model came from, and the sha256 of the weights of this run; None for these where they were changed since.

        A change is noticed where torch counts it: optimizers, `load_state_dict`, `copy_`, other tensors; not through `.data`.
        """
        return self._weights.provenance()

    @property
    def stream(self) -> Stream:
        """The stream looked at: its points, writes and blocks."""
        return self.run.stream

    @property
    def logits(self) -> Float[Tensor, "batch ..."]:
        """The output that the readout leads to: [batch, pos, vocab] of a language model, [batch, class] of a classifier.

        Where the trace was made for one position, that position alone: [batch, 1, vocab].
        """
        return self.run.output()

    def _spots(self, positions: int | str | None, prompt: int | None = None) -> tuple["Trace", Tensor | None]:
        """The places that are meant, of one prompt or of all, and a trace that has the output there: another one, if this was made for other places."""
        cut, output = self.run.cut, self.logits
        shape = tuple(output.shape) if cut is None else (output.shape[0], cut.length, output.shape[-1])
        places = spots(self._loaded, self._inputs, shape, positions, prompt)
        if cut is None or (places is not None and torch.equal(places, cut.places)):
            return self, places
        if self._full is None:
            self._full = Trace(self._loaded, self._again(self._inputs), self._inputs, self._positions)
        return self._full, places

    def _again(self, inputs: Inputs) -> Pass:
        """The run of this trace made of other inputs, at all their positions."""
        run = self.run
        how = run.patches, run.stream.name or None, run.grad
        with readable(self._loaded, inputs):
            try:
                return take(run.module, run.map, inputs.args, inputs.kwargs, *how)
            except MapError:
                return take(run.module, find(run.module, *inputs.args, **inputs.kwargs), inputs.args, inputs.kwargs, *how)

    def _within(self, write: str) -> "Trace":
        """The same run with one write to be taken apart: in `scores` of a level the others stay whole, which is as much quicker as there are writes.

        Parameters: `write`, its label, such as "L3.attn". Raises `InputError` where there is no such write.
        """
        only = find_write(self.run.stream, write).label
        if self._inner is None or self._inner[0] is not self.run or self._inner[1].run.only != only:
            self._inner = self.run, Trace(self._loaded, replace(self.run, only=only), self._inputs, self._positions)
        return self._inner[1]

    @fitted
    def _hold(self, writes: Sequence[str]) -> None:
        """Captures by one run what writes are taken apart by, for all that is asked of them afterwards. Parameters: `writes`, none to let go of it."""
        stream = self.run.stream
        self.run.hold({key for label in writes for key in needed_inside(find_write(stream, label))})

    def _aimed(self, target: Target, positions: int | str | None) -> tuple["Trace", Goal]:
        """A target at its places, and the trace that has them: of a sequence, one of prompt and sequence together."""
        trace, places = self._spots(self._positions if positions is None else positions)
        sight = Sight(self._loaded, self._inputs, trace.logits, places)
        if not isinstance(target, TokenSequence):
            return trace, aim(sight, target)
        tokens = tokens_of(sight, target)
        if all(len(row) == 1 for row in tokens):
            return trace, aim(sight, [row[0] for row in tokens])
        made = forced(sight, tokens, self.run.kwargs)
        longer = self._lengthened(made)
        return longer, made.goal(Sight(self._loaded, made.inputs, longer.logits, None))

    def _lengthened(self, made: Forced) -> "Trace":
        """The trace of a longer input, the one made last where it is the same."""
        if self._longer is None or not made.same(self._longer._inputs):
            run = self._again(made.inputs)
            made.check(run.output(), self._again(made.other(run.output().shape[-1])).output(), run.raw_point(-1).dtype)
            self._longer = Trace(self._loaded, run, made.inputs)
        return self._longer

    @property
    def tokens(self) -> tuple[tuple[str, ...], ...]:
        """The pieces of every prompt, padding included; empty for inputs that are not tokens."""
        ids, codec = self._inputs.ids, self._loaded.codec
        if ids is None:
            return ()
        return tuple(tuple(codec.piece(int(i)) if codec else str(int(i)) for i in row) for row in ids)

    @property
    def prompts(self) -> tuple[str, ...]:
        """The texts or files that were traced; empty where ids or tensors were given."""
        return self._inputs.prompts

    def word(self, index: int) -> str:
        """A place on the output's last axis in words: a token, a class, else its number. Parameters: `index`."""
        return name_of(self._loaded, index, self.logits)

    def index(self, target: str | int) -> int:
        """The place of a token or class on the output's last axis. Parameters: `target`, its text, or the place itself."""
        return index_of(self._loaded, target, self.logits)

    def __repr__(self) -> str:
        text = ", ".join(map(repr, self._inputs.prompts[:2])) or f"input {tuple(self.run.raw_point(0).shape)}"
        return f"Trace({self._loaded.name}; {text}; {len(self.stream.points)} points, {len(self.stream.writes)} writes)"

    @fitted
    def __getitem__(self, name: str | tuple[str, int]) -> Float[Tensor, "batch ..."]:
        """A tensor by its name, of the stream's shape.

        Parameters: `name`, a label (`"L3.attn"`, `"L3.attn.H7"`, `"L3.resid_post"`, `"entry.embed"`), or a name and a layer
        (`("resid_post", 3)`, also resid_pre, resid_mid, attn_out, mlp_out, z, pattern). A point is given as the next block
        reads it (after a post-norm or a ReLU); `point` gives both faces.
        """
        if isinstance(name, tuple):
            return self._by_layer(*name)
        if not isinstance(name, str):
            raise InputError(
                'name a tensor by its label, such as trace["L3.attn"], or by name and layer: trace["resid_post", 3].'
            )
        return self.point(name) if find_point(self.stream, name) is not None else component(self.run, name)

    def _by_layer(self, name: str, layer: int) -> Tensor:
        layer = self._layer(layer)
        if name == "pattern":
            return self.pattern(layer)
        if name == "z":
            return self.z(layer)
        return self[f"{self._dot}L{layer}.{_OUT.get(name, name)}"]

    @property
    def _dot(self) -> str:
        return f"{self.stream.name}." if self.stream.name else ""

    def _layer(self, layer: int) -> int:
        n = len(self.stream.blocks)
        if not 0 <= layer < n:
            raise InputError(f"there is no layer {layer}: this stream has {n} blocks, 0 to {n - 1}.")
        return layer

    def point(self, name: str, face: str = "read") -> Float[Tensor, "batch ..."]:
        """A point of the stream.

        Parameters: `name`, such as "L3.resid_post"; `face`, "read" for what the next block reads, "sum" for the sum itself.
        """
        at = find_point(self.stream, name)
        if at is None:
            raise InputError(f"no point {name!r}; there are {', '.join(p.name for p in self.stream.points[:6])} ...")
        if face not in ("read", "sum"):
            raise InputError(f"face is 'read' or 'sum', not {face!r}.")
        return self.run.face(at) if face == "read" else self.run.point(at)

    def pattern(self, layer: int, kind: str = "attn") -> Float[Tensor, "batch head pos key_pos"]:
        """The attention pattern of a layer, recomputed where a fused kernel hides it and checked against its result.

        Parameters: `layer`; `kind`, "attn" or "cross".
        """
        return self._attention(layer, kind)[0]

    def z(self, layer: int, kind: str = "attn") -> Float[Tensor, "batch head pos d_head"]:
        """The heads' results before the output projection. Parameters: `layer`; `kind`, "attn" or "cross"."""
        return self._attention(layer, kind)[1]

    @fitted
    def _attention(self, layer: int, kind: str) -> tuple[Tensor, Tensor]:
        write = find_write(self.stream, f"{self._dot}L{self._layer(layer)}.{kind}")
        source = write.writer.sources[0] if write.writer else None
        if source is None or source.attention is None:
            raise InputError(f"{write.label} is no attention; its kind is {write.kind}.")
        seen, batch = self.run.again(needed(write)), self.run.prompts
        z = heads(self.run.lift(seen.at(source.site)), batch)
        return factors(source.attention, seen, z, batch, self.run.edited(source.site))[0], z

    def carry(self, to: str = "logits", level: str = "write") -> Result:
        """Every part of the stream carried to a later point or to the logits, as vectors that sum to what is there.

        Parameters: `to`, "logits" or a point's label; `level`, how far writes are taken apart. Raises `NotClosedError` where
        they do not sum, `InputError` where a level's vectors would take gigabytes.
        """
        end = None if to == "logits" else find_point(self.stream, to)
        if end is None and to != "logits":
            raise InputError(f"no point {to!r}: carry to 'logits' or to a point such as {self.stream.points[-1].name}.")
        return Result(carry(self.run, end, level), self._loaded.name, f"the stream at {to}", self.tokens, weights=self._weights)

    def lens(
        self,
        target: Target = None,
        norm: str = "own",
        positions: int | str | None = None,
        tuned: TunedLens | None = None,
    ) -> LensResult:
        """The logit lens: the model's readout applied to every point; or a tuned lens.

        p_t = softmax(readout(x_t)), and softmax(readout(x_t + A_t x_t + b_t)) of a tuned lens. Source: nostalgebraist (2020).

        Parameters: `target`, whose logit, log-probability and rank are given (what the model predicts in the end, by default);
        `norm`, "own" norms a point by its own scale, "final" freezes the readout's scale at the last point; `positions`, a
        place counted from either end, "all", or None for every place of `logits`; `tuned`, a `TunedLens` of this model, which
        has norm "own". Raises `InputError` for one of another model.
        """
        here = self._positions if self.run.cut else "all"
        trace, places = self._spots(here if positions is None else positions)
        output = trace.logits
        if isinstance(target, (AnyOf, Contrast, TokenSequence)):
            raise InputError("the lens follows one token; score a contrast, alternatives or a sequence with scores().")
        ids = aim(Sight(self._loaded, self._inputs, output, places), target).ids[:, 0]
        ids = ids.reshape(output.shape[:-1]) if places is None else ids[:, None]
        if tuned is not None and not isinstance(tuned, TunedLens):
            raise InputError(f"tuned is a lens, not {tuned!r}: ms.TunedLens.load(path, model), or TunedLens.fit(model, data).")
        if tuned is not None:
            tuned.check(trace.run)
        said = lens(trace.run, ids, norm, places, tuned.translators if tuned else None)
        chosen = tuned.choices if tuned else {}
        return LensResult(said, self._loaded, self.tokens, output, self._inputs.mask, places, self._weights, chosen)

    @overload
    def scores(
        self,
        target: Target = None,
        level: str = "write",
        by: str = "dla",
        positions: int | str | None = None,
        base: str | None = None,
        norm: str | None = None,
        norm_bias: bool | None = None,
        within: float | None = None,
        zeroed: str | None = None,
        top: None = None,
    ) -> Result: ...

    @overload
    def scores(
        self,
        target: Target = None,
        level: str = "write",
        by: str = "dla",
        positions: int | str | None = None,
        base: str | None = None,
        norm: str | None = None,
        norm_bias: bool | None = None,
        within: float | None = None,
        zeroed: str | None = None,
        *,
        top: int,
    ) -> TopResult: ...

    def scores(
        self,
        target: Target = None,
        level: str = "write",
        by: str = "dla",
        positions: int | str | None = None,
        base: str | None = None,
        norm: str | None = None,
        norm_bias: bool | None = None,
        within: float | None = None,
        zeroed: str | None = None,
        top: int | None = None,
    ) -> Result | TopResult:
        """What every part of the stream has to do with a prediction.

        By "dla", direct logit attribution, score(v) = <A^T u, v>, u the target's direction on the output and A all that follows v,
        frozen at this input; the parts sum to the logit within the bound (of alternatives log sum_w exp l_w, of a sequence the
        sum over its tokens; a logit, not a log-probability). By "logprob_increase" score(v) = log p(w | x + v) -
        log p(w | x), x what the stream was before v was added; writes and transports sum to what the log-probability gains
        from the entry to the last point, and what a write's parts miss it by is the row `interaction`. By "path" such gains are
        shared out among the parts, with no interaction. The others are "prob_increase", "rank", "ablation", "projection",
        "norm" and "coefficient_norm".

        Parameters: `target`, a token as text or id, one for each prompt or position, `any_of` several, a `contrast` of these, a
        `sequence`, or None for what the model predicts; a text is what continues the prompt, cut into tokens together with it
        where the prompt was given as a text and is scored at its end; `level`, "write", "head", "edge" (head and key position),
        "dim" or "neuron"; `by`, which score; `positions`, a place, "all" for a score at every place, None for those the trace was
        made with (by default the mask token, or else the last real one); `base`, what a part is added to: "before", the stream
        before it, "block", the stream before its block (by "path"), or "last", the last point, which it is taken out of; `norm`,
        the final norm's scale: "own", that of what is read, "final", that of the last point, "none"; `norm_bias`, whether the
        final norm's bias is added; `within`, nats that a score may be off by (0: worked out in full); `zeroed`, where "ablation"
        takes a part out, "everywhere" or "here", at the scored place alone; `top`, only the components of the level with the
        highest scores, as many as this, none missed.

        Returns the rows, or the best ones; of a sequence, those of a run of the prompt and all but the last of its tokens, whose
        tokens and positions they have. Raises `NotClosedError` where parts do not sum, `InputError` for a choice that a
        score does not know.
        """
        choices, score = Choices(level, base, norm, norm_bias, within, zeroed), score_named(by)
        trace, goal = self._aimed(target, positions)
        return trace._scored(goal, score, choices, top)

    @fitted
    def _scored(self, goal: Goal, score: Score, choices: Choices, k: int | None) -> Any:
        unit, of = "logit" if score.unit == "logit" else score.name.replace("_", " "), goal.text if score.aimed else ""
        said = tuple(f"{unit} of {text}" for text in of) if isinstance(of, tuple) else f"{unit} of {of}" if of else unit
        about = self._loaded.name, said, self.tokens, goal.positions, self._inputs.mask, self._weights
        if k is not None:
            return TopResult(best(self.run, goal, score.name, choices, k), *about)
        return Result(score.rows(self.run, goal, score.checked(choices)), *about)

    def summary(
        self, target: Target = None, prompt: int = 0, position: int | None = None, top: int = 8, grid: bool = True
    ) -> dict[str, Any]:
        """One prompt's prediction taken apart, as plain data: prediction, writes, lens, heads with sources, neurons with words.

        Parameters: `target`, as of `scores`; `prompt`, which of a batch; `position`; `top`, how many heads and neurons;
        `grid`, whether the lens at every position is in it, which takes minutes where prompt and vocabulary are large.
        """
        from ._summary import summary

        trace, _ = self._spots("all")  # a summary shows the lens at every position
        return summary(trace, self._plain(target, prompt, position), prompt, position, top, grid)

    def _plain(self, target: Target, prompt: int, position: int | None) -> Target:
        """A target of one prompt with texts as ids, so that everything said of it is of the tokens that are scored."""
        sides = (target.token, target.against) if isinstance(target, Contrast) else (target,)
        if not all(isinstance(side, (str, int)) for side in sides):
            return target
        goal = self._aimed(target, position)[1]
        if len(goal.places) != self.run.prompts or not 0 <= prompt < len(goal.places):
            return target
        token = int(goal.ids[prompt, 0])
        return token if goal.against is None else Contrast(token, int(goal.against[prompt, 0]))

    def html(self, path: str | Path, target: Target = None, prompt: int = 0, position: int | None = None) -> Path:
        """Writes the trace as one page that needs no network. Parameters: `path`; `target`, `prompt`, `position` as of `summary`."""
        from mainstem.view import save_page

        return save_page(self._page(self.summary(target, prompt, position, grid=False), target, prompt), path)

    def _page(self, record: dict[str, Any], target: Target, prompt: int) -> dict[str, Any]:
        """A summary with what its page can be asked. Parameters: `record`, the summary; `target` and `prompt`, that it was made with."""
        from ._kept import kept

        at = record["position"]
        look = kept(self, self._plain(target, prompt, at) if target is not None else None, prompt, at)
        less = {name: value for name, value in record.items() if name != "lens_grid"}
        return {**less, "look": look, "provenance": self.provenance.to_dict()}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """In a notebook the page of the first prompt, in a frame; its text where there is none to draw."""
        from mainstem.view import framed

        try:
            return {"text/plain": repr(self), "text/html": framed(self._page(self.summary(grid=False), None, 0))}
        except MainstemError:
            return {"text/plain": repr(self)}
