"""What a trace says of the way along the stream: what stays of a write, who takes it away, gradients, changes that grow, weights that meet."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, real, whole
from mainstem.models import Inputs, Loaded, prepare
from mainstem.score import Goal, backward, component, composition, erasers, persistence, presence, taken, virtual_weights
from mainstem.stream import SCALES, Pass, find_point, grown, spot, type_change

from ._erasers import ErasersResult
from ._fitted import fitted
from ._target import Target
from ._weights import Weights

Place = tuple[int, ...]


class Flowing:
    """The part of a trace that looks along the stream."""

    if TYPE_CHECKING:
        run: Pass
        _full: Any
        _loaded: Loaded
        _inputs: Inputs
        _weights: Weights

        @property
        def tokens(self) -> tuple[tuple[str, ...], ...]: ...

        def _again(self, inputs: Inputs) -> Pass: ...

        def _place(self, prompt: int, position: int | None) -> tuple[Pass, Place]: ...

        def _aimed(self, target: Target, positions: int | str | None) -> tuple[Any, Goal]: ...

    @fitted
    def persistence(self, component: str, prompt: int = 0, position: int | None = None) -> Any:
        """How much of a component the stream still holds at every later point.

        With v what the component adds, x the point and A all in between, frozen at this input: overlap = <x, A v> / |A v|^2, kept = 1 +
        sum over later writes u of <A u, A v> / |A v|^2, which is 1 where the component enters, and 0 where later writes took it away.
        Source: Dao et al., arXiv 2310.07325, whose projection ratio the overlap is.

        Parameters: `component`, a label such as "L3.mlp.N120", "L3.attn.H7", "L3.mlp" or a point; `prompt`; `position`, as of
        `words`. Raises `InputError` for what does not exist.

        Returns a tidy polars frame: model, prompt, position, token, component, point, layer, overlap, kept, length (|A v|), stream (|x|).
        """
        run, place = self._place(prompt, position)
        names = ("point", "overlap", "kept", "length", "stream")
        rows = [{"component": component, **_fields(one, names)} for one in persistence(run, component, place)]
        return self._flow(rows, place)

    @fitted
    def erased(self, component: str, zeroed: str = "everywhere", prompt: int = 0, position: int | None = None) -> Any:
        """Who takes a component away again, and whether because it is there: the causal check.

        share = <u, A v> / |A v|^2 of every later write u; without, the same in a run in which v is taken out of the stream where it
        enters, norms dividing by what they did and all else live; caused = share - without. kept = 1 + the sum of shares so far,
        restored = 1 + the sum of those without: an eraser brings kept down to 0, and restored stays at 1. Source: Dao et al., arXiv
        2310.07325, who patch what the erasing heads read.

        Parameters: `component`, as of `persistence`; `zeroed`, where it is taken out, "everywhere" or "here", at the one place alone;
        `prompt`; `position`, as of `words`. Raises `InputError` for what does not exist.

        Returns a tidy polars frame, a row for each later write in their order: model, prompt, position, token, component, zeroed,
        write, kind, point, layer, share, without, caused, kept, restored.
        """
        run, place = self._place(prompt, position)
        names = ("write", "kind", "point", "share", "without", "caused", "kept", "restored")
        found = taken(run, component, place, zeroed)
        return self._flow([{"component": component, "zeroed": zeroed, **_fields(one, names)} for one in found], place)

    @fitted
    def erasers(self) -> ErasersResult:
        """Every neuron and head by how far its weights take away what they read: memory management.

        A neuron's score is cos(W_in, W_out), of gated ones with the gate's row and with the other; a head's is sum Re(l) / sum |l| over
        the eigenvalues l of W_V W_O, times its mean attention to the token it stands at, over the tokens traced (the first of a prompt left
        out). Near -1: erases. Norms' gains are in the rows, less the mean where a layer norm subtracts it. Source: Elhage et al., "A
        mathematical framework for transformer circuits" (2021), on memory management and on eigenvalues.

        Returns them, those that erase most first; `.frame()`, `.chart()`. What erases because of one write says `erased`. Raises
        `InputError` where no weights can be read.
        """
        return ErasersResult(tuple(erasers(self.run, self._short(), self._real())), self._loaded.name, self._weights)

    @fitted
    def _presence(self, heads: Sequence[str]) -> tuple[dict[str, float], int]:
        """Heads' mean attention to the present token, and over how many tokens. Parameters: `heads`, their labels."""
        return presence(self.run, heads, self._real())

    def _real(self) -> Tensor | None:
        """Which places are tokens, None where all are."""
        mask = self._inputs.mask
        return mask.bool() if mask is not None and tuple(mask.shape) == tuple(self.run.spread) else None

    @fitted
    def virtual_weights(self, later: str, earlier: str, key: str | None = None) -> Float[Tensor, "later earlier"]:
        """W_in of a later write times W_out of an earlier one: what its coordinates read of each of the earlier one's.

        The norm's gain is in W_in, less its mean where a layer norm centres; its scale is left out.

        Parameters: `later` and `earlier`, writes such as "L3.attn", heads or neurons; `key`, "query", "key" or "value" of an attention, "gate" or
        "up" of a gated MLP. Queries and keys that are turned by their position are those of the first one. Raises `InputError` where
        there are no such weights, or `earlier` is not before.
        """
        return virtual_weights(self._short(), later, earlier, key)

    @fitted
    def composition(self) -> Any:
        """How much every head reads of what each earlier head writes, by its queries, keys and values apart.

        |A B| / (|A| |B|), B = W_O W_V of the earlier head, A = W_O W_V of the later one by values, W_K^T W_Q by queries, W_Q^T W_K by keys.
        The baseline, d_model^-1/2, is the root mean square with a random rotation between the two; `deviations` says how many
        standard deviations of such rotations the score's square is off. Source: Elhage et al., "A mathematical framework for
        transformer circuits" (2021), with other random matrices for the baseline.

        Returns a tidy polars frame: model, later, earlier, later_layer, earlier_layer, via, score, baseline, ratio, deviations. Raises
        `InputError` where no two heads follow each other.
        """
        import polars as pl

        from ._frame import coordinates

        frames = []
        for one in composition(self._short()):
            later, earlier = (range(n) for n in one.score.shape)
            about = {"model": self._loaded.name, "via": one.via, "baseline": one.baseline}
            about |= {f"{end}_layer": coordinates(getattr(one, end))["layer"] for end in ("later", "earlier")}
            frame = pl.DataFrame({
                "later": [f"{one.later}.H{i}" for i in later for _ in earlier],
                "earlier": [f"{one.earlier}.H{j}" for _ in later for j in earlier],
                "score": one.score.flatten().cpu().numpy(),
                "deviations": one.deviations.flatten().cpu().numpy(),
            })  # fmt: skip
            layers = pl.col("later_layer", "earlier_layer").cast(pl.Int64)
            frames.append(frame.with_columns(pl.lit(value).alias(name) for name, value in about.items()).with_columns(layers))
        names = ("model", "later", "earlier", "later_layer", "earlier_layer", "via", "score", "baseline", "ratio", "deviations")
        return pl.concat(frames).with_columns((pl.col("score") / pl.col("baseline")).alias("ratio")).select(names)

    def _short(self) -> Pass:
        """A run to read weights off: of one token where the input is tokens, which is many times quicker."""
        ids = self._inputs.ids
        if ids is None or "decoder_input_ids" in self._inputs.kwargs or self.run.patches:
            return self.run
        return self._again(prepare(self._loaded, ids[:1, -1:]))

    def gradients(self, target: Target = None, positions: int | str | None = None) -> Any:
        """How a loss depends on every point of the stream: |dL/dx| with the gradient through the skips and without it.

        L = -log p(target), summed over the places of a prompt. Without skips the operand of every addition that is the stream
        passes nothing back, while the run is the same; blocks alone then carry the gradient.

        Parameters: `target` and `positions`, as of `scores`. Raises `InputError` where torch makes no gradient.

        Returns a tidy polars frame, a row for each point and token: model, target, prompt, position, token, point, layer, skip, blocks.
        """
        trace, goal = self._aimed(target, positions)
        return trace._backward(goal)

    @fitted
    def _backward(self, goal: Goal) -> Any:
        mask, rows = self._inputs.mask, []
        for one in backward(self.run, goal):
            for at in torch.cartesian_prod(*map(torch.arange, one.skip.shape)).reshape(-1, one.skip.ndim).tolist():
                if mask is None or len(at) != mask.ndim or mask.shape != one.skip.shape or bool(mask[tuple(at)]):
                    said = goal.text if isinstance(goal.text, str) else goal.text[at[0]]
                    about = {"target": said, **self._where(tuple(at)), "point": one.point}
                    rows.append({**about, "skip": float(one.skip[tuple(at)]), "blocks": float(one.blocks[tuple(at)])})
        return self._framed_flow(rows)

    @fitted
    def perturbed(
        self,
        point: str,
        direction: str | Float[Tensor, "d_model"] | None = None,
        size: float = 1e-3,
        seed: int = 0,
        norms: str | Sequence[str] = SCALES,
        prompt: int = 0,
        position: int | None = None,
    ) -> Any:
        """How a small change at one point grows: its size there and at every later point, with norms live, frozen and absent.

        x_t + d is run on, and |x'_s - x_s| taken of both runs, whose norms divide by their own input ("live"), by what they did in the
        run without the change ("frozen"), or by nothing ("absent", in both runs).

        Parameters: `point`, such as "L3.resid_post"; `direction`, a component's label or a vector, None for a random one of `seed`;
        `size`, of d, as a share of |x_t| at its place; `seed`; `norms`, some of "live", "frozen", "absent"; `prompt`; `position`, as of
        `words`. Raises `InputError` for what does not exist, and for group norms that are to be absent.

        Returns a tidy polars frame: model, prompt, position, token, direction, point, layer, norms, size (over all of the
        prompt), growth (size over that at the first), here (size at this place alone).
        """
        run, place = self._place(prompt, position)
        start = find_point(run.stream, point)
        if start is None:
            raise InputError(f"no point {point!r}: name one such as {run.stream.points[-1].name!r}.")
        kinds = (norms,) if isinstance(norms, str) else norms
        if not isinstance(kinds, Sequence) or not kinds:
            raise InputError(f"norms says how norms divide, some of {', '.join(SCALES)}, not {norms!r}.")
        if not real("size", size) > 0:
            raise InputError(f"size is above zero, not {size}.")
        where = spot(run, place)
        x = where.of(run.point(start))[0]
        d = _direction(run, direction, where.of, x, seed)
        rows: list[dict[str, Any]] = []
        first: dict[str, float] = {}
        for one in grown(run, start, where, d * (size * x.norm() / d.norm()), tuple(kinds)):
            first.setdefault(one.scales, one.size)
            how = {
                "direction": direction if isinstance(direction, str) else "a vector" if direction is not None else f"seed {seed}"
            }
            numbers = {"size": one.size, "growth": one.size / first[one.scales], "here": one.here}
            rows.append({**how, "point": one.point, "norms": one.scales, **numbers})
        return self._flow(rows, place)

    @fitted
    def type_change(self, prompt: int | None = None, position: int | None = None) -> Any:
        """How much every block, and every write, makes of the stream something else: what it adds beside what the stream had there.

        branch = |f|, shortcut = |T x|, where T carries x from the point before to the sum (in a ResNet's down-sampling block by its projection, else often
        by nothing), total = |T x + f|; ratio = branch / shortcut; cosine = cos(f, T x); in_out = cos(x, x + f), of what is read before and behind. All
        places together are one vector, so total^2 = branch^2 + shortcut^2 + 2 cosine branch shortcut, of norms as root mean squares over places.

        Parameters: `prompt`, one of them alone; `position`, one place of it alone. Raises `InputError` for a place that there is not.

        Returns a tidy polars frame, a row for each write and each block: model, prompt, position, level, write, point, layer, branch, shortcut,
        total, ratio, cosine, in_out (null where the width or the image changes).
        """
        names = ("level", "point", "branch", "shortcut", "total", "ratio", "cosine", "in_out")
        about = {"prompt": prompt, "position": position}
        found = type_change(self.run, self._counting(prompt, position))
        return self._framed_flow([{**about, "write": one.label, **_fields(one, names)} for one in found])

    @fitted
    def type_chart(self, prompt: int | None = None, position: int | None = None, title: str | None = None) -> Any:
        """The ratio |f| / |T x| of `type_change` along the stream: what every block, and every write, adds beside what was there.

        Parameters: `prompt` and `position`, as of `type_change`; `title`. Raises `InputError` as it does, and where altair is missing, the
        extra `view`.
        """
        from mainstem.view import by_point

        lines: dict[str, list[dict[str, Any]]] = {}
        for row in self.type_change(prompt, position).iter_rows(named=True):
            site = row["point"] if row["level"] == "block" else row["write"]
            lines.setdefault(f"{row['level']}s", []).append({"site": site, "layer": row["layer"], "value": row["ratio"]})
        about = f"{self._loaded.name}: root mean square norm of what is added over that of what the stream had there"
        return by_point(lines, "ratio", "added / stream", title or "What is added beside the stream", about)

    def _counting(self, prompt: int | None, position: int | None) -> Tensor | None:
        """Which prompts count, or which of their positions; None for all."""
        mask, spread = self._inputs.mask, self.run.spread
        if prompt is None and position is None:
            return None if mask is None or mask.shape != spread else mask.bool()
        if position is not None and len(spread) != 2:
            raise InputError("this stream has no positions of tokens: name a prompt alone.")
        place = self._place(prompt or 0, position)[1]
        counting = torch.zeros(spread, dtype=torch.bool)
        counting[place if position is not None else place[:1]] = True
        return counting if mask is None or mask.shape != spread else counting & mask.bool().cpu()

    def _flow(self, rows: Iterable[dict[str, Any]], place: Place) -> Any:
        return self._framed_flow([{**self._where(place), **row} for row in rows])

    def _where(self, place: Place) -> dict[str, Any]:
        position = place[1] if len(place) > 1 else None
        pieces = self.tokens[place[0]] if place[0] < len(self.tokens) else ()
        token = pieces[position] if position is not None and position < len(pieces) else None
        return {"prompt": place[0], "position": position, "token": token}

    def _framed_flow(self, rows: list[dict[str, Any]]) -> Any:
        """Rows with the model before them, and the layer of a write or point behind its label."""
        import polars as pl

        from ._frame import layer_of

        if not rows:
            raise InputError("nothing is added behind this: it is the last write.")
        every = [{"model": self._loaded.name, **_layered(row, layer_of(f"{row.get('write', row['point'])}."))} for row in rows]
        types = {"prompt": pl.Int64, "position": pl.Int64, "token": pl.String, "layer": pl.Int64, "in_out": pl.Float64}
        types = {name: kind for name, kind in types.items() if name in every[0]}
        return pl.DataFrame(every, schema_overrides=types, infer_schema_length=None)


def _fields(one: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(one, name) for name in names}


def _layered(row: dict[str, Any], layer: int | None) -> dict[str, Any]:
    """A row with its layer right behind the point."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        found[name] = value
        if name == "point":
            found["layer"] = layer
    return found


def _direction(run: Pass, direction: str | Tensor | None, of: Any, x: Tensor, seed: int) -> Tensor:
    """A vector of the point's own width that is not zero."""
    if direction is None:
        return torch.randn(x.shape, generator=torch.Generator().manual_seed(whole("seed", seed)), dtype=x.dtype).to(x.device)
    if not isinstance(direction, str | Tensor):
        raise InputError(f"a direction is a component's label, a tensor, or None for a random one, not {direction!r}.")
    d = of(component(run, direction))[0] if isinstance(direction, str) else direction.detach().to(x)
    if d.shape != x.shape:
        raise InputError(f"a direction of {tuple(d.shape)} numbers: this point has {len(x)}.")
    if not bool(d.isfinite().all()) or not bool(d.any()):
        raise InputError("the direction is zero, or not finite: nothing can be changed along it.")
    return d
