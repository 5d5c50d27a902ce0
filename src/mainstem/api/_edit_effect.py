"""What an edit does: to the predictions of prompts and the text they go on with, and to the loss over data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, Provenance
from mainstem.scan import Batch, Reader, batches, source, survey
from mainstem.score import Goal, scored
from mainstem.stream import Edit

from ._batching import batching
from ._model import Model
from ._store import parquet, store
from ._target import Target, TokenSequence
from ._trace import Trace
from ._zeroed import Zeroed


@dataclass(frozen=True, eq=False)
class EditEffect:
    """Predictions of prompts without an edit and with it.

    Parameters: `edit`; `runs`, both traces; `goal`, the target at its places; `top`, how many predictions are shown; `texts`, what each prompt is
    gone on with, without and with it, empty where nobody asked.
    """

    edit: Edit
    runs: tuple[Trace, Trace]
    goal: Goal
    top: int = 5
    texts: tuple[tuple[str, ...], ...] = ((), ())

    @property
    def provenance(self) -> Provenance:
        """Where the model came from, and the sha256 of its weights."""
        return self.runs[0].provenance

    @property
    def _logprobs(self) -> tuple[Tensor, Tensor]:
        before, after = (self.goal.logits(run.logits).double().log_softmax(-1) for run in self.runs)
        return before, after

    @property
    def divergence(self) -> Float[Tensor, "prompt"]:
        """KL(before | after) of what is predicted, in nats, of every prompt."""
        before, after = self._logprobs
        probs = before.exp()  # what is not predicted at all adds nothing; what is no number stays none
        return (probs * (before - after)).where(probs != 0, 0.0).sum(-1).clamp_min(0)

    @property
    def logprobs(self) -> tuple[Float[Tensor, "prompt"], Float[Tensor, "prompt"]]:
        """The target's log-probability, or log-odds, without the edit and with it."""
        before, after = (scored(self.goal, run.logits, "logprob") for run in self.runs)
        return before, after

    def to_dict(self, prompt: int = 0) -> dict[str, Any]:
        """One prompt as plain JSON types. Parameters: `prompt`."""
        if not 0 <= prompt < len(self.goal.places):
            raise InputError(f"there is no prompt {prompt}: there are {len(self.goal.places)}, counted from 0.")
        run, text = self.runs[0], self.goal.text
        sides = zip(("before", "after"), self._logprobs, self.logprobs, self.texts, strict=True)
        found: dict[str, Any] = {"model": run.provenance.name, "edit": str(self.edit)}
        found |= {
            "prompt": run.prompts[prompt] if run.prompts else None,
            "position": (self.goal.positions or {prompt: None})[prompt],
        }
        found |= {"target": text if isinstance(text, str) else text[prompt], "divergence": float(self.divergence[prompt])}
        for name, rows, value, texts in sides:
            best = rows[prompt].topk(min(self.top, rows.shape[-1]))
            said = [{"token": run.word(int(i)), "prob": float(p.exp())} for p, i in zip(*best, strict=True)]
            found[name] = {"logprob": float(value[prompt]), "predictions": said} | ({"text": texts[prompt]} if texts else {})
        return found

    def frame(self) -> Any:
        """A tidy polars frame, a row a prompt: model, edit, prompt, position, target, before and after (its log-probabilities), change, divergence."""
        import polars as pl

        rows = []
        for one in map(self.to_dict, range(len(self.goal.places))):
            about = {name: one[name] for name in ("model", "edit", "prompt", "position", "target")}
            before, after = (one[name]["logprob"] for name in ("before", "after"))
            rows.append({**about, "before": before, "after": after, "change": after - before, "divergence": one["divergence"]})
        return pl.DataFrame(rows, schema_overrides={"prompt": pl.String, "position": pl.Int64}, infer_schema_length=None)

    def save(self, path: str | Path) -> Path:
        """Stores the tidy frame. Parameters: `path`, ending in `.parquet` or `.csv`."""
        forms = {
            ".parquet": lambda half: parquet(self.frame(), {"edit": str(self.edit)}, self.provenance, half),
            ".csv": lambda half: self.frame().write_csv(half),
        }
        return store(path, forms)

    def __repr__(self) -> str:
        lines = [f"{self.edit}"]
        for row in self.frame().iter_rows(named=True):
            lines.append(f"  {row['target']}: {row['before']:.4f} -> {row['after']:.4f}, KL {row['divergence']:.4f} nats")
        return "\n".join(lines)


def edit_effect(
    model: Model,
    data: Any,
    edits: Edit,
    target: Target = None,
    positions: int | None = None,
    top: int = 5,
    generate: int = 0,
    padding: str = "right",
) -> EditEffect:
    """What an edit does to what is predicted after prompts: the predictions before and after, and how far apart they are.

    change = log p'(target) - log p(target), divergence = KL(p | p') = sum p log(p / p').

    Parameters: `model`; `data`, prompts or images, as of `Model.trace`; `edits`, such as `mainstem.zero("L3.mlp")`; `target`, a token, one for each
    prompt, `any_of` or a `contrast`, None for what is predicted without the edit; `positions`, at which token, the last by default; `top`, how many
    predictions are shown; `generate`, how many tokens the prompts are gone on with, without and with the edit; `padding`, as of `Model.trace`.

    Returns both sides. Raises `InputError` as `Model.trace` does, for an edit that says nothing, and for a target of several tokens.
    """
    if not isinstance(edits, Edit) or not edits.changes:
        raise InputError("there is no edit to look at: give one, such as mainstem.zero('L3.mlp').")
    if isinstance(target, TokenSequence):
        raise InputError("an edit's effect is looked at at one place: name one token, any_of() several or a contrast().")
    runs = model.trace(data, padding=padding), model.trace(data, edits, padding=padding)
    goal = runs[0]._aimed(target, positions)[1]
    texts: tuple[tuple[str, ...], ...] = ((), ())
    if generate:
        both = [model.generate(data, generate, edit) for edit in (None, edits)]
        texts = tuple(tuple(one.texts or (" ".join(map(str, row)) for row in one.ids)) for one in both)
    return EditEffect(edits, runs, goal, top, texts)


def edit_loss(
    model: Model,
    data: Any,
    edits: Edit | Sequence[Edit],
    column: str | None = None,
    batch_tokens: int = 4096,
    length: int | None = None,
) -> Any:
    """The loss of a model over data without edits, and with each of several, on the same tokens.

    loss = mean of -log p(next token), increase = mean of how much larger it is with the edit, divergence = mean of KL(p | p'), in nats.

    Parameters: `model`; `data`, `column`, `batch_tokens` and `length`, as of `mainstem.measure`; `edits`, one or several, each run by itself.

    Returns a tidy polars frame, a row for the model as it is and one for each edit: model, edit, tokens (whose next one is known), loss, increase,
    error (one standard error of the increase, as if tokens were independent), divergence; loss is null where no next token is
    predicted. Raises `InputError` as `mainstem.measure` does, and for an edit that this model cannot make.
    """
    import polars as pl

    every = [edits] if isinstance(edits, Edit) else list(edits)
    if not every or not all(isinstance(one, Edit) for one in every):
        raise InputError("give an edit or several, such as mainstem.zero('L3.mlp').")
    rows = losses(model, data, every, column, batch_tokens, length)
    about = [{"model": model.name, "edit": str(one)} for one in (Edit(), *every)]
    reals = dict.fromkeys(("loss", "increase", "error", "divergence"), pl.Float64)
    return pl.DataFrame([a | row for a, row in zip(about, rows, strict=True)], schema_overrides=reals, infer_schema_length=None)


def losses(
    model: Model, data: Any, edits: Sequence[Edit], column: str | None, batch_tokens: int, length: int | None
) -> list[dict[str, Any]]:
    """Numbers of the model as it is and with each edit. Parameters: as of `edit_loss`."""
    zeroed = Zeroed(model, [model._with(edit) for edit in edits])
    for batch in read(model, data, column, batch_tokens, length):
        zeroed.add(batch)
    if not zeroed.found[0].places:
        raise InputError("there is nothing to take a loss over: give at least one text or image.")
    rows = [{"tokens": one.count} | one.numbers() for one in zeroed.found]
    return [{name: None if isinstance(value, float) and isnan(value) else value for name, value in row.items()} for row in rows]


def read(model: Model, data: Any, column: str | None, batch_tokens: int, length: int | None) -> Iterator[Batch]:
    """Data in batches. Parameters: as of `edit_loss`. Raises `InputError` for what cannot be read."""
    look = survey(source(data, column), unreadable=None)
    reader, how = Reader(look), batching(model.loaded, batch_tokens, length, False)
    for piece in look.pieces:
        yield from batches(reader.examples(piece), how, _refused)


def _refused(example: Any, why: str) -> None:
    raise InputError(f"{example.place} cannot be read: {why}.")
