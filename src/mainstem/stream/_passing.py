"""A forward pass that is only looked at: values are shown as they are made, nothing is kept, and it ends where the last one is made."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from mainstem.core import InputError, Site
from mainstem.find import Patch, Stream, Write, run

from ._attention import heads

BASES = ("points", "writes", "values", "pre", "post")
Shaped = Callable[[Tensor, int], Tensor]


class _Enough(BaseException):
    """What is thrown through a module that has nothing more to show: no handler of errors is to stop it."""


@dataclass(frozen=True)
class Shown:
    """A value to look at: where it stands, and how it becomes [batch, pos, width]. Parameters: `label`; `site`; `shaped`, of the tensor and how many prompts."""

    label: str
    site: Site
    shaped: Shaped


def shown(stream: Stream, bases: Collection[str] = ("points",)) -> tuple[Shown, ...]:
    """What can be looked at in a stream.

    Parameters: `stream`; `bases`, "points", what the blocks read (behind a post-norm, before a pre-norm); "writes", what is added;
    "values", what each head of an attention gives, [head * d_head]; "pre" and "post", the numbers of an MLP before its activation
    (a gated one has two) and after it, of experts not. Raises `InputError` for another name, and where there is nothing of it.
    """
    found: list[Shown] = []
    for base in bases:
        if base not in BASES:
            raise InputError(f"nothing is looked at under the name {base!r}; there are {', '.join(BASES)}.")
        some = list(_MADE[base](stream))
        if not some:
            raise InputError(
                f"this stream has no {base} to look at; there are {', '.join(b for b in BASES if list(_MADE[b](stream)))}."
            )
        found += some
    return tuple(found)


def passing(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    what: Iterable[Shown],
    show: Callable[[str, Tensor], None],
    prompts: int,
    changed: Iterable[Patch] = (),
) -> None:
    """Runs a module until all has been shown; what follows, such as the unembedding, is not run.

    Parameters: `module`; `args` and `kwargs`, its inputs; `what`; `show`, called with a label and [batch, pos, width] as soon as the
    value is there; `prompts`, how many; `changed`, edits made before values are shown. Raises `MapError` where a value is not made on this way through the module.
    """
    what = tuple(what)
    left = {one.label for one in what}

    def look(one: Shown, value: Tensor) -> Tensor:
        show(one.label, one.shaped(value, prompts))
        left.discard(one.label)
        if not left:
            raise _Enough
        return value

    try:
        run(module, args, kwargs, patches=[*changed, *(Patch(one.site, partial(look, one)) for one in what)])
    except _Enough:
        return


def _points(stream: Stream) -> Iterable[Shown]:
    for point in stream.points:
        steps = point.face.steps
        site = Site(steps[-1].key, "out", point.face.output) if steps else point.site
        yield Shown(point.name, site, partial(_tokens, point.axis, len(point.shape), 1.0))


def _writes(stream: Stream) -> Iterable[Shown]:
    for point in stream.points:
        rank = len(point.shape)
        yield from (Shown(w.label, w.site, partial(_tokens, point.axis, rank, w.factor)) for w in point.writes)


def _sources(stream: Stream, attention: bool) -> Iterable[tuple[Write, Any]]:
    for write in stream.writes:
        sources = write.writer.sources if write.writer else ()
        if len(sources) == 1 and (sources[0].attention is not None) == attention and sources[0].groups is None:
            yield write, sources[0]


def _values(stream: Stream) -> Iterable[Shown]:
    return (Shown(f"{write.label}.z", source.site, _heads) for write, source in _sources(stream, True))


def _post(stream: Stream) -> Iterable[Shown]:
    for write, source in _sources(stream, False):
        if source.keys:
            yield Shown(f"{write.label}.post", source.site, partial(_tokens, source.axis, 0, 1.0))


def _pre(stream: Stream) -> Iterable[Shown]:
    for write, source in _sources(stream, False):
        for key in source.keys:
            name = "pre" if len(source.keys) == 1 else f"pre.{key.name}"
            yield Shown(f"{write.label}.{name}", key.site, partial(_tokens, -1, 0, 1.0))


_MADE: dict[str, Callable[[Stream], Iterable[Shown]]] = {
    "points": _points,
    "writes": _writes,
    "values": _values,
    "pre": _pre,
    "post": _post,
}


def _tokens(axis: int, rank: int, factor: float, value: Tensor, prompts: int) -> Tensor:
    """[batch, pos, width]: what is between prompts and features is positions, also the height and width of an image.

    `rank`, axes of what a write is added to: position embeddings have fewer, or one prompt for all.
    """
    value = value[(None,) * (rank - value.ndim)] if value.ndim < rank else value
    value = value.expand(prompts, *value.shape[1:]) if value.ndim == rank and value.shape[0] == 1 else value
    value = value if axis == -1 or axis == value.ndim - 1 else value.movedim(axis, -1)
    if value.shape[0] != prompts and value.ndim > 2 and value.shape[1] == prompts:
        value = value.transpose(0, 1)
    value = value.reshape(prompts, -1, value.shape[-1])
    return value if factor == 1 else factor * value


def _heads(value: Tensor, prompts: int) -> Tensor:
    return heads(value, prompts).transpose(1, 2).flatten(2)
