"""What direct scores keep quiet: parts that later ones remove, and what later ones do once a part is gone."""

from typing import TYPE_CHECKING, Any

from mainstem.score import Choices, Goal, caveats, score_named

from ._fitted import fitted
from ._target import Target

if TYPE_CHECKING:
    from mainstem.models import Loaded
    from mainstem.stream import Pass


class Cautious:
    """What a trace says beside its direct scores."""

    if TYPE_CHECKING:
        run: Pass
        _full: Any
        _loaded: Loaded

        @property
        def tokens(self) -> tuple[tuple[str, ...], ...]: ...

        def _aimed(self, target: Target, positions: int | str | None) -> tuple[Any, Goal]: ...

    def caveats(
        self,
        target: Target = None,
        level: str = "write",
        by: str = "logprob_increase",
        top: int = 10,
        positions: int | str | None = None,
        norm: str = "own",
        norm_bias: bool = True,
    ) -> Any:
        """The best parts by a direct score, with what that score does not say: what is left of them, and what a run without them does.

        Of a part v, x_L the last point, A all between v and it, frozen at this input: `frozen` is what log p(target) loses as A v
        is taken out of x_L, `live` what it loses in a run where v is taken out where it enters, and `repair` = live - frozen:
        below zero where what follows makes up for a part that is gone, above where it builds on the part. `kept` = 1 + sum over
        later writes u of <A u, A v> / |A v|^2, the share of the part that these leave, near 0 where they erase it; `overlap` =
        <x_L, A v> / |A v|^2; `eraser` is the write that takes most of it away, `erased` its term of that sum. Sources: Elhage et
        al., "A mathematical framework for transformer circuits" (2021), on memory management; McGrath et al., arXiv
        2307.15771, on self-repair.

        Parameters: `target`, one token, alternatives or a contrast, as of `scores`; `level`; `by`, the score that parts are the
        best of; `top`, how many of each prompt; `positions`, one place, as of `scores`; `norm` and `norm_bias`, of the reading
        that `logprob_increase` and `frozen` go by. Raises `InputError` for a sequence, or several places.

        Returns a tidy polars frame: model, target, prompt, position, token, by, norm, rank, component, write, layer and places
        inside, dla (a logit), logprob_increase, frozen, live, repair (nats), kept, overlap, eraser, erased.
        """
        score = score_named(by)
        choices = Choices(level, norm=norm, norm_bias=norm_bias) if "norm" in score.takes else Choices(level)
        trace, goal = self._aimed(target, positions)
        rows = trace._caveats(goal, by, choices, top, norm, norm_bias)
        return trace._cautioned(rows, goal, {"by": by, "norm": norm})

    @fitted
    def _caveats(self, goal: Goal, by: str, choices: Choices, top: int, norm: str, norm_bias: bool) -> Any:
        return caveats(self.run, goal, by, choices, top, norm, norm_bias)

    def _cautioned(self, rows: Any, goal: Goal, said: dict[str, Any]) -> Any:
        import polars as pl

        from ._frame import coordinates

        found, ranks = [], dict.fromkeys(range(goal.shape[0]), 0)
        for row in rows:
            at = goal.positions[row.prompt] if goal.positions else None
            text = goal.text if isinstance(goal.text, str) else goal.text[row.prompt]
            token = self.tokens[row.prompt][at] if self.tokens and at is not None else None
            about = {"model": self._loaded.name, "target": text, "prompt": row.prompt, "position": at, "token": token, **said}
            place = {"rank": ranks[row.prompt], **coordinates(row.component)}
            numbers = {name: getattr(row, name) for name in ("dla", "logprob_increase", "frozen", "live", "repair")}
            left = {name: getattr(row, name) for name in ("kept", "overlap", "eraser", "erased")}
            found.append({**about, **place, **numbers, **left})
            ranks[row.prompt] += 1
        types = {"position": pl.Int64, "token": pl.String, "eraser": pl.String}
        return pl.DataFrame(found, schema_overrides=types, infer_schema_length=None)
