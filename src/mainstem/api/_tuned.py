"""The tuned lens as users hold it: fitted to a model, stored, and used in `Trace.lens`."""

import json
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, Provenance
from mainstem.models import example, stamp
from mainstem.score import Translators
from mainstem.stream import Pass

from ._fit import Plan, Runs, fingerprint, fitted
from ._store import plain, store

FORM = "tuned lens 1"


class TunedLens:
    """An affine map for every point of a model's stream, after which the model's own readout says what the model will say.

    p_t = softmax(readout(x_t + A_t x_t + b_t)); the last point's A and b are zero. Made by `fit` or `load`, used in
    `trace.lens(tuned=lens)`.

    Parameters: `translators`, the A_t and b_t; `points`, labels of all points; `unembedding`, the sha256 of the unembedding
    that they were fitted for; `curve`, KL(final || point) on the tokens of every step, [step, point]; `held`, KL on the tokens
    kept aside, [2, point]: of the logit lens and of this one, None where none were; `choices`, of the fit; `provenance`, of the
    model, None where it is not known.
    """

    def __init__(
        self,
        translators: Translators,
        points: tuple[str, ...],
        unembedding: str,
        curve: Float[Tensor, "step point"],
        held: Float[Tensor, "lens point"] | None,
        choices: dict[str, Any],
        provenance: Provenance | None = None,
    ) -> None:
        self.translators, self.points, self.unembedding = translators, points, unembedding
        self.curve, self.held, self.choices, self.provenance = curve, held, choices, provenance
        self._checked: tuple[Any, ...] = ()

    @classmethod
    def fit(
        cls,
        model: Runs,
        data: Any,
        steps: int = 100,
        batch: int = 256,
        rate: float = 0.3,
        decay: float = 1e-3,
        held: float = 0.1,
        start: str = "regression",
        length: int = 128,
        seed: int = 0,
        stream: str | None = None,
        progress: bool = True,
    ) -> "TunedLens":
        """Fits a lens: the translators that minimise KL(final || point) over the tokens of `data`.

        min over A_t, b_t of the mean of KL(softmax(readout(x_last)) || softmax(readout(x_t + A_t x_t + b_t)))

        by gradient descent with Nesterov momentum, whose rate falls linearly to zero. Padding never counts. The model is left as
        it is; one in bfloat16 or float16 is fitted in float32. The same seed gives the same lens.

        Parameters: `model`, as `load` gives it; `data`, a list of texts, one long text, token ids, or an iterable of batches of
        these (for models of images, tensors of them): only as much is read as is needed; `steps`; `batch`, tokens of a step;
        `rate`, of learning, in units of the stream's size; `decay`, of the matrices towards zero, the logit lens; `held`, the
        share of the data that is kept aside to tell how good the lens is; `start`, "regression" begins with the affine map nearest
        to the last point by least squares, "zero" with the logit lens; `length`, the most tokens of a piece that texts are cut
        into; `seed`; `stream`, which of several streams by name; `progress`, show a bar for what takes over two seconds.

        Raises `InputError` for choices out of range, data without tokens, and a model that has no unembedding.

        Source: Belrose et al., "Eliciting latent predictions from transformers with the tuned lens" (arXiv 2303.08112). There
        the points are those between blocks, training begins at zero, steps are of 262,144 tokens at a rate of 1.0 and with one
        norm of the gradient for all points; here every addition has a point, training begins with a regression, and the gradient
        is clipped for each point by itself.
        """
        plan = Plan(steps, batch, rate, decay, held, start, length, seed, stream, progress)
        return cls(*fitted(model, data, plan))

    def check(self, run: Pass) -> None:
        """Raises `InputError` where a run is of another stream or another unembedding. Parameters: `run`."""
        now = (run.stream.name, id(run.module), stamp(run.module))
        if now == self._checked:
            return
        self.translators.check(run)
        there = fingerprint(run)
        if there != self.unembedding:
            raise InputError(
                f"this lens was fitted for the unembedding {self.unembedding[:16]}, this model has {there[:16]}: "
                "fit one for it, ms.TunedLens.fit(model, data)."
            )
        self._checked = now

    def save(self, path: str | Path) -> Path:
        """Stores the lens with its curve, choices and the model's provenance. Parameters: `path`, ending in `.safetensors`."""
        return store(path, {".safetensors": self._write})

    def _write(self, path: Path) -> None:
        from safetensors.torch import save_file

        tensors = {"matrices": self.translators.matrices, "shifts": self.translators.shifts, "curve": self.curve}
        tensors |= {} if self.held is None else {"held": self.held}
        about: dict[str, Any] = {"form": FORM, "points": self.points, "unembedding": self.unembedding}
        about |= {"choices": self.choices, "provenance": plain(self.provenance)}
        save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, path, {"lens": json.dumps(about)})

    @classmethod
    def load(cls, path: str | Path, model: Runs) -> "TunedLens":
        """A stored lens, for the model that it was fitted for.

        Parameters: `path`; `model`, checked here where the form of its input is known, else when the lens is used. Raises
        `InputError` for a file that is missing, broken or no tuned lens, and for a model with another unembedding (naming the
        sha256 of both), another width or another number of points.
        """
        tensors, about = _read(path)
        provenance = about["provenance"]
        found = cls(
            Translators(tensors["matrices"], tensors["shifts"]),
            tuple(about["points"]),
            about["unembedding"],
            tensors["curve"],
            tensors.get("held"),
            about["choices"],
            None if provenance is None else Provenance.from_dict(provenance),
        )
        run = _example(model, about["choices"].get("stream"))
        if run is not None:
            found.check(run)
        return found

    def frame(self) -> Any:
        """A tidy polars frame, a row a point: what KL was kept aside of the logit lens and of this one, and at the last step."""
        import polars

        none = [None] * len(self.points)
        columns: dict[str, Any] = {"point": list(self.points), "logit_lens": none, "tuned_lens": none, "last_step": none}
        if self.held is not None:
            columns |= dict(zip(("logit_lens", "tuned_lens"), self.held.tolist(), strict=True))
        if len(self.curve):
            columns["last_step"] = self.curve[-1].tolist()
        return polars.DataFrame(columns, schema_overrides={name: polars.Float64 for name in columns if name != "point"})

    def __repr__(self) -> str:
        name = self.provenance.name if self.provenance else "a model"
        head = f"tuned lens of {name}: {len(self.points)} points, width {self.translators.shifts.shape[1]}"
        if self.held is None:
            return head
        rows = zip(self.points, *self.held.tolist(), strict=True)
        lines = [f"  {point:<18} {before:8.3f} {after:8.3f}{'  worse' * (after > before)}" for point, before, after in rows]
        return "\n".join([f"{head}; KL in nats on what was kept aside", f"  {'':<18} {'logit':>8} {'tuned':>8}", *lines])


def _read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise InputError(f"there is no file {path}: fit a lens and save it, ms.TunedLens.fit(model, data).save({str(path)!r}).")
    try:
        with safe_open(path, framework="pt") as stored:
            notes = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is broken or half-written: save the lens again.") from error
    about = json.loads(notes.get("lens", "{}"))
    if about.get("form") != FORM:
        raise InputError(f"{path} holds no tuned lens: name a file that TunedLens.save or mainstem tune wrote.")
    return tensors, about


def _example(model: Runs, stream: str | None) -> Pass | None:
    """A run of the model on a made-up input; None where the form of its input is not known."""
    try:
        ready = example(model.loaded)
    except InputError:
        return None
    more = {name: value for name, value in ready.kwargs.items() if name == "decoder_input_ids"}
    run: Pass = model.trace(ready.args[0] if ready.ids is None else ready.ids, stream=stream, **more).run
    return run
