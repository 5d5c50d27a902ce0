"""Data through a model and measures: in memory, or into a folder that is gone on with, on one machine or on many."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mainstem.core import InputError, file_path, fits, to_plain
from mainstem.measure import Measure, Pair, measure_named
from mainstem.models import provenance
from mainstem.scan import Gather, Job, Ray, Reader, Related, batches, local, source, survey
from mainstem.scan import merge as merged
from mainstem.scan import scan as scanned
from mainstem.score import Choices, score_named
from mainstem.stream import Edit

from ._batching import batching
from ._looked import Looks, chosen, related, wanted
from ._measurements import Measurements
from ._model import Model, check_model

USUAL = ("kurtosis", "outliers", "rms", "variance")
TOKENS, PIECE = 4096, 2**20
Asked = Sequence[str | Measure | Pair]


def job(
    model: Model,
    measures: Asked = USUAL,
    at: str | Sequence[str] = "points",
    points: Sequence[str] | None = None,
    choices: Mapping[str, Mapping[str, Any]] | None = None,
    stream: str | None = None,
    batch_tokens: int = TOKENS,
    length: int | None = None,
    pack: bool = False,
    scores: Sequence[str | Mapping[str, Any]] = (),
    edits: Edit | None = None,
) -> Job:
    """What is done with data, as of `measure`."""
    check_model(model)
    made = _made([measures] if isinstance(measures, str | Measure | Pair) else _some("names", measures), choices or {})
    listed = [scores] if isinstance(scores, str | Mapping) else _some("scores", scores)
    asked: tuple[dict[str, Any], ...] = tuple(_score(one) for one in listed)
    points = [points] if isinstance(points, str) else points if points is None else _texts("points", points)
    if length is not None and (not fits(length, int) or length < 1):
        raise InputError(f"length is how many tokens a window has at most, from 1, not {length!r}.")
    if not made and not asked:
        raise InputError(f"there is nothing to measure: name some, such as {', '.join(USUAL)}.")
    singles = [m for m in made if isinstance(m, Measure)]
    pairs = [m for m in made if isinstance(m, Pair)]
    bases = (at,) if isinstance(at, str) else tuple(_texts("at", at))
    if not isinstance(pack, bool):
        raise InputError(f"pack is True or False, not {pack!r}: how long rows are is said by length.")
    if not bases or (points is not None and not points):
        raise InputError("there is nothing to look at: name some of at and points, or leave them out.")
    beside = any("writes" in pair.sites for pair in pairs)
    bases = bases if not _needs_writes(pairs) or "writes" in bases else (*bases, "writes")
    edit = model._with(edits)
    looks = Looks(model.loaded, bases, None if points is None else tuple(points), stream, beside, asked, edit)
    sites: list[Related] = []
    found = chosen(model.map, stream)
    labels = [one.label for one in wanted(found, bases, looks.points)]
    sites = [related(pair, found, labels) for pair in pairs]
    about: dict[str, Any] = {
        "at": list(bases),
        "points": None if points is None else list(points),
        "stream": found.name,
        "length": length,
    }
    about |= {"scores": [{name: to_plain(value) for name, value in one.items()} for one in asked]} if asked else {}
    about |= {"edits": str(edit), "edits_sha256": edit.digest()} if edit.changes else {}
    size = _size(singles, sites, labels, found.width)
    return Job(looks, batching(model.loaded, batch_tokens, length, pack), singles, sites, _model(model), about, size)


def measure(
    model: Model,
    data: Any,
    names: Asked = USUAL,
    at: str | Sequence[str] = "points",
    points: Sequence[str] | None = None,
    choices: Mapping[str, Mapping[str, Any]] | None = None,
    column: str | None = None,
    stream: str | None = None,
    batch_tokens: int = TOKENS,
    length: int | None = None,
    pack: bool = False,
    unreadable: str = "stop",
    edits: Edit | None = None,
) -> Measurements:
    """Measures a stream over data, in memory: no logits are worked out, padding never counts, and shards can be merged.

    Parameters: `model`; `data`, a list of texts or images, a file or folder (text, JSON lines, Parquet, images) or a `datasets`
    object; `names`, measures of `mainstem.measure.measures()` and `pairs()`, or such objects; `at`, what is measured, "points",
    "writes", "values" (of heads), "pre" and "post" (an MLP's neurons before and after the activation), or several; `points`,
    labels or patterns such as "L*.resid_post", None for all; `choices`, of measures by name, such as {"outliers": {"sided":
    "one"}}; `column`, of rows; `stream`, which of several by name; `batch_tokens`, the most of a batch, pads included (of images,
    images; a longer window is a batch by itself); `length`, the most of a window that a text is cut into, the model's own limit or 1,024 by default; `pack`, lay texts
    one behind the other into rows of that length (`choices` of the result say how long it is); `unreadable`, "stop" at examples that cannot be read, or "skip" them: `faults`
    of the measurements names them; `edits`, in force in every run.

    Returns the measurements. Raises `InputError` for data that cannot be read, and for names and choices that there are not.
    """
    work = job(model, names, at, points, choices, stream, batch_tokens, length, pack, edits=edits)
    look, run = survey(source(data, column), PIECE, unreadable), work.load()
    gather, reader = Gather(work.measures, work.pairs), Reader(look)
    faults: list[tuple[str, str]] = look.faults()
    for piece in look.pieces:
        for batch in batches(reader.examples(piece), work.batching, lambda example, why: faults.append((example.place, why))):
            gather.add(batch, iter(run(batch)))  # one after the other, as a scan has them: their widths differ
    if faults and unreadable == "stop":
        raise InputError(f"{len(faults)} examples cannot be read; the first, {faults[0][0]}: {faults[0][1]}.")
    identity = {"model": work.model, "data": look.about, "choices": work.plain()}
    return Measurements(
        [*work.measures, *(pair for pair, _ in work.pairs)], gather.states(), identity, provenance(model.loaded), faults=faults
    )


def scan(
    model: Model,
    data: Any,
    measures: Asked = USUAL,
    out: str | Path = "run",
    engine: str | Any = "local",
    batch_tokens: int = TOKENS,
    resume: bool = True,
    shard: tuple[int, int] | None = None,
    unreadable: str = "stop",
    column: str | None = None,
    piece: int = PIECE,
    scores: Sequence[str | Mapping[str, Any]] = (),
    **choices: Any,
) -> Measurements | None:
    """Measures a stream over a corpus, into a folder that keeps what is done: a run that was killed goes on where it stopped.

    Parameters: `model`, `data` and `column` as of `measure`; `measures`, its `names`; `out`, the run's folder; `engine`, "local", "ray"
    or a `mainstem.scan.Ray(...)`; `batch_tokens`, the most tokens of a batch; `resume`, False to refuse a folder with a run; `shard`, (i, n) for the i-th of n
    parts, from 0, to be put together by `merge`; `unreadable`, "stop" at rows that cannot be read, or "skip" them; `piece`, bytes of text that
    are worked through and stored as one; `scores`, names or arguments of `Trace.scores`, such as {"by": "logprob_increase", "level":
    "neuron", "top": 20}, worked out at the last token of every window (of the token that the model predicts, if no target is said) and stored
    as rows, which `Measurements.rows()` reads; `choices`, `at`, `points`, `choices`, `stream`, `length`, `pack` and `edits` as of `measure`.

    Returns the measurements of the whole, None for a shard. Raises `InputError` where the folder holds another run, saying what
    changed, where rows cannot be read, and where the disk is full.
    """
    known = ("at", "points", "choices", "stream", "length", "pack", "edits")
    if strange := [name for name in choices if name not in known]:
        raise InputError(f"scan has no argument {strange[0]!r}; beside its own it takes {', '.join(known)}.")
    out = file_path(out)
    work = job(model, measures, batch_tokens=batch_tokens, scores=scores, **choices)
    engines = {"local": local, "ray": Ray()}
    if isinstance(engine, str) and engine not in engines:
        raise InputError(f"no engine {engine!r}; there are {', '.join(engines)}, and mainstem.scan.Ray(...) with choices.")
    how = engines[engine] if isinstance(engine, str) else engine
    if not callable(how):
        raise InputError(f"an engine is {' or '.join(map(repr, engines))}, or a mainstem.scan.Ray(...), not {engine!r}.")
    if shard is not None and not (isinstance(shard, tuple) and len(shard) == 2 and all(isinstance(i, int) for i in shard)):
        raise InputError(f"shard is (i, n), the i-th of n parts counted from 0, not {shard!r}.")
    scanned(work, survey(source(data, column), piece, unreadable), out, how, resume, shard or (0, 1), unreadable)
    return merge(out) if shard is None else None


def merge(folders: str | Path | Sequence[str | Path]) -> Measurements:
    """The measurements of a run whose pieces lie in one folder or, of shards, in several.

    Parameters: `folders`. Raises `InputError` for folders of different runs, and for pieces that are missing or broken.
    """
    found = merged(folders)
    return Measurements(list(found.measures.values()), found.states, found.identity, None, found.counts, found.faults, found.rows)


def _made(asked: Sequence[Any], choices: Mapping[str, Mapping[str, Any]]) -> list[Measure | Pair]:
    if strange := [one for one in asked if not isinstance(one, str | Measure | Pair)]:
        raise InputError(f"a measure is named by text, such as 'kurtosis', or made by measure_named, not {strange[0]!r}.")
    if not isinstance(choices, Mapping) or not all(isinstance(some, Mapping) for some in choices.values()):
        raise InputError(f'choices are of measures by name, such as {{"outliers": {{"sided": "one"}}}}, not {choices!r}.')
    named = [one for one in asked if isinstance(one, str)]
    if strange := [name for name in choices if name not in named]:
        raise InputError(
            f"there are choices of {strange[0]!r}, which is not asked for by name; those are {', '.join(named) or 'none'}."
        )
    return [measure_named(one, **choices.get(one, {})) if isinstance(one, str) else one for one in asked]


def _some(name: str, value: Any) -> Sequence[Any]:
    """A sequence. Parameters: `name`, of the argument; `value`."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InputError(f"{name} is a list, not {value!r}.")
    return value


def _texts(name: str, value: Any) -> list[str]:
    """A list of texts. Parameters: `name`, of the argument; `value`."""
    if strange := [one for one in _some(name, value) if not isinstance(one, str)]:
        raise InputError(f"{name} holds text, not {strange[0]!r}.")
    return list(value)


def _score(asked: str | Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `Trace.scores`, looked at before anything is run."""
    if not isinstance(asked, str | Mapping):
        raise InputError(f'a score is asked for by name or as arguments, such as {{"by": "dla", "top": 20}}, not {asked!r}.')
    one = {"by": asked} if isinstance(asked, str) else dict(asked)
    known = ("target", "level", "by", "base", "norm", "norm_bias", "within", "zeroed", "top")
    if strange := [name for name in one if name not in known]:
        raise InputError(f"a score is asked for by {', '.join(known)}, not by {strange[0]!r}.")
    choices: dict[str, Any] = {name: value for name, value in one.items() if name not in ("by", "target", "top")}
    score_named(one.get("by", "dla")).checked(Choices(**choices))
    top = one.get("top")
    if top is not None and (not isinstance(top, int) or isinstance(top, bool) or top < 1):
        raise InputError(f"top is how many to take, a whole number from 1, not {top!r}.")
    return one


def _size(singles: Sequence[Measure], pairs: Sequence[Related], labels: Sequence[str], width: int) -> int:
    """About how many bytes the states of a piece take: those of no token, at sites as wide as the stream."""
    states = [one.init(width) for one in singles] * len(labels)
    states += [pair.init(width, width) for pair, sites in pairs for _ in sites]
    return sum(value.numel() * value.element_size() for state in states for value in state.values())


def _needs_writes(pairs: Sequence[Pair]) -> bool:
    return any(pair.sites[0] in ("into", "writes") for pair in pairs)


def _model(model: Model) -> dict[str, Any]:
    found = provenance(model.loaded)
    return {"name": found.name, "weights": found.weights, "dtype": found.dtype, "module": found.module}
