"""What a model is worth without its later blocks, its earlier ones, or one of them: curves of accuracy and loss."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor

from mainstem.core import InputError, tracked
from mainstem.models import provenance, reads_images
from mainstem.scan import Reader, batches, labels_of, source, survey
from mainstem.stream import NORMS, SIDES

from ._ablating import Ablating, Part, known, part_of
from ._ablation_result import AblationCurve, caution_of, rows_of
from ._batching import batching
from ._model import Model

_TOKENS, _IMAGES = 2048, 16
PLACES = ("all", "last")
RESAMPLES = 100_000  # of a bootstrap: more than a 95 % interval can tell apart


def ablation_curve(
    model: Model,
    data: Any,
    side: str = "tail",
    metric: str | Sequence[str] | None = None,
    norm: str = "own",
    labels: Any = None,
    column: str | None = None,
    stream: str | None = None,
    places: str = "all",
    batch_tokens: int | None = None,
    length: int | None = None,
    resamples: int = 1000,
    seed: int = 0,
    together: bool = True,
) -> AblationCurve:
    """Accuracy and loss of a model without some of its blocks: of all behind one, of all before one, or of one alone.

    A block's writes are zero where they are added; what else is done to the stream between additions stays: the projection of a
    down-sampling block, ReLU, norms behind a sum, pooling. With x_b the stream behind block b, "tail" is readout(T(x_b)), T the transports
    that follow. "skip" takes not the writes of a block but the stream that they are added to: x + f(x) becomes f(x). The
    interval is a bootstrap over examples.

    Parameters: `model`; `data`, as of `measure`, or a tensor: of ids, or of what else the model reads, a row to an example; `side`, "tail",
    "head", "single" or "skip"; `metric`, names of `mainstem.scan.METRICS`: "loss" (nats), "accuracy", "top1", "top5", by default those
    that fit; `norm`, of the readout: "own", or "final", frozen at what the whole model's last point is; `labels`, the class of each example as
    a list, or the column that it stands in; of image files by default the number that their names begin with ("12_n01440764_tench.jpg"),
    else their folder, a number, a class of the model by name, or one of the folders in the order of names; of texts without labels the
    next token is predicted; `column`, of rows, that is read; `stream`, which of several by name; `places`, "all" next tokens, or the
    "last" of each window; `batch_tokens`, the most tokens of a batch (2,048), of images the most images (16); `length`, the most of
    a window that texts are cut into, of which only the first counts where there are labels; `resamples`, 100,000 at most, and `seed`, of the bootstrap; `together`, False
    to run the model anew for every value: the numbers are the same but for rounding.

    Returns the curve; of fewer than 30 examples `about` has a "caution" on how wide the interval is. Raises `InputError` for names that there are not, labels that do not fit the data or the model, data with nothing
    in them, a model without a readout or that says neither classes nor next tokens, and outputs that are not finite.
    """
    _check(model, side, norm, places, resamples)
    images = reads_images(model.loaded)
    truth, coming, about, of = _data(model, data, column, labels, batch_tokens, length, images)
    metrics = known(metric, truth is not None, images)
    work = Ablating(model, side, norm, metrics, truth, stream, places == "last", together)
    for part in tracked(coming, f"without blocks, {side}", of):
        work.add(part)
    means = work.tally.means(resamples, seed)
    assert work.engine is not None and work.counts is not None
    choices = {
        "side": side,
        "norm": norm,
        "places": places,
        "resamples": resamples,
        "seed": seed,
        "stream": work.engine.stream.name,
    }
    said = {"model": model.name, "examples": len(work.tally.sums), "places": sum(work.tally.counts.values())}
    said |= {
        "classes": len(work.counts),
        "together": not work.why and together,
        "why": work.why,
        "choices": choices,
        "data": about,
    }
    rows = rows_of(model.name, work, means)
    if caution := caution_of(rows, len(work.tally.sums), sum(work.tally.counts.values()), resamples):
        said["caution"] = caution
    return AblationCurve(rows, said, provenance(model.loaded))


def _check(model: Any, side: str, norm: str, places: str, resamples: Any) -> None:
    if not isinstance(model, Model):
        raise InputError(f"a model is what mainstem.load gives, not {model!r}: ms.load({model!r}).")
    for said, what, there in ((side, "side", SIDES), (norm, "norm rule", NORMS), (places, "places", PLACES)):
        if said not in there:
            raise InputError(f"no {what} {said!r}; there are {', '.join(there)}.")
    if not isinstance(resamples, int) or isinstance(resamples, bool) or not 0 <= resamples <= RESAMPLES:
        raise InputError(f"resamples is a whole number up to {RESAMPLES:,}, 0 for no interval, not {resamples!r}.")


def _data(
    model: Model, data: Any, column: str | None, labels: Any, batch_tokens: int | None, length: int | None, images: bool
) -> tuple[dict[int, int] | None, Iterable[Part], dict[str, Any], int]:
    """Labels by example, parts to be run, what identifies the data, and how many parts there are, 0 where that is not known."""
    size = batch_tokens or (_IMAGES if images else _TOKENS)
    if isinstance(data, Tensor):
        return _rows(data, labels, size)
    look = survey(source(data, column), unreadable=None)
    truth = labels_of(look, labels, _classes(model)) if labels is not None or images else None

    if truth is None and not images and length == 1:
        raise InputError("length=1 is too small: the next token is predicted in windows of two tokens or more.")

    def coming() -> Iterator[Part]:
        reader, how, faults = Reader(look), batching(model.loaded, size, length, False), []
        for piece in look.pieces:
            for batch in batches(reader.examples(piece), how, lambda example, why: faults.append(f"{example.place}: {why}")):
                yield part_of(batch, truth is not None)
        if faults:
            raise InputError(f"{len(faults)} examples cannot be read; the first, {faults[0]}.")

    return truth, coming(), look.about, 0


def _rows(data: Tensor, labels: Any, size: int) -> tuple[dict[int, int] | None, Iterable[Part], dict[str, Any], int]:
    """A tensor, a row to an example."""
    if data.ndim < 2 or not len(data):
        raise InputError(
            f"a tensor of data has a row for each example, [example, ...], and at least one; this is {tuple(data.shape)}."
        )
    if not bool(data.isfinite().all()):
        raise InputError("the data hold numbers that are not finite.")
    truth = labels_of(len(data), labels) if labels is not None else None
    integers = not data.is_floating_point()
    step = max(1, size // data.shape[1]) if integers else size
    starts = range(0, len(data), step)
    parts = (Part(some.tolist() if integers else some, range(i, i + len(some))) for i in starts for some in [data[i : i + step]])
    return truth, parts, {"kind": "tensor", "rows": len(data)}, len(starts)


def _classes(model: Model) -> dict[str, int]:
    """The model's classes by name, in small letters, and by each of several names that one has."""
    said = getattr(getattr(model.module, "config", None), "id2label", None) or {}
    return {name.strip().lower(): int(i) for i, names in said.items() for name in (str(names), *str(names).split(","))}
