"""Tables of scores for the charts, made from closed forms, with text that tries to be markup; every chart made of one."""

import math
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

import polars as pl

view = import_module("mainstem.view")  # its name at the door is that of the function that opens the page


HOSTILE = ["</script>", "<img src=x onerror=alert(1)>", "&amp;", "\"'", "\n", "\t", " the", "\x00\x1b", "]]>", "http://a.b/c"]
TITLE = "logit of '</script><b>&\"'"
ABOUT = 'a prompt <!-- & "more" \' \n model · by dla'


def value(*at: int) -> float:
    """A number of either sign that belongs to a place."""
    return math.sin(sum((i + 2) * (k + 1) for i, k in enumerate(at))) * (1 + at[0])


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows as the tidy frames of scores have them."""
    names = ("layer", "head", "key_pos", "dim", "expert", "neuron", "position", "prompt")
    filled = [{"model": "m", "target": TITLE, "prompt": 0, "position": 4, "token": " is", **row} for row in rows]
    return pl.DataFrame(filled, schema_overrides={name: pl.Int64 for name in names}, infer_schema_length=None)


def one(write: str, kind: str, number: float, layer: int | None = None, tail: str = "", **at: Any) -> dict[str, Any]:
    """One row."""
    return {"component": write + tail, "write": write, "kind": kind, "layer": layer, "value": number, **at}


def written(layers: int = 6, heads: int = 3, neurons: int = 4) -> pl.DataFrame:
    """Heads and neurons of every layer, with an entry, biases, and a constant of no layer."""

    def rows() -> Iterator[dict[str, Any]]:
        yield one("entry.embed", "entry", 0.5)
        yield one("entry.bias", "constant", -0.25)
        yield one("readout.bias", "constant", -0.75)
        for layer in range(layers):
            yield one(f"L{layer}.attn", "constant", value(layer, 9), layer, ".bias")
            for h in range(heads):
                yield one(f"L{layer}.attn", "attn", value(layer, h), layer, f".H{h}", head=h, neuron=None)
            for n in range(neurons):
                yield one(f"L{layer}.mlp", "mlp", value(layer, n, 7), layer, f".N{n}", neuron=n, head=None)

    return frame(list(rows()))


def edges(layers: int = 3, heads: int = 2, tokens: list[str] = HOSTILE) -> pl.DataFrame:
    """Every head of every layer at every token, and MLPs beside them."""
    rows = [one(f"L{i}.mlp", "mlp", value(i), i, head=None, key_pos=None) for i in range(layers)]
    for i in range(layers):
        for h in range(heads):
            for t, token in enumerate(tokens):
                at = {"head": h, "key_pos": t, "token": token}
                rows.append(one(f"L{i}.attn", "attn", value(i, h, t), i, f".H{h}<-{t}", **at))
    return frame(rows)


def bent(layers: int = 5) -> pl.DataFrame:
    """p = A e^a / (A e^a + B) of layers with other A."""
    rows = []
    for layer in range(layers):
        for a in (step / 2 for step in range(-8, 17)):
            p = 1 / (1 + math.exp(6 - 2 * layer - a))
            rows.append({"layer": layer, "added": a, "probability": p, "logprob": math.log(p), "bs": 2 * layer + a})
    return pl.DataFrame(rows)


def summed(writes: int = 3, k: int = 20) -> pl.DataFrame:
    """Sums of single scores, and what they give together: t = s c + i + a wave."""
    rows = []
    for w in range(writes):
        slope, intercept = 0.9 - 0.1 * w, -0.05 * w
        for rank in range(k):
            c = (rank + 1) ** 0.5
            more = {"slope": slope, "intercept": intercept, "r2": 0.99, "together": slope * c + intercept + 0.1 * math.sin(rank)}
            rows.append({"write": f"L{w}.</script>", "rank": rank, "cumulative": c, **more})
    return pl.DataFrame(rows)


def counted(layers: int = 7) -> pl.DataFrame:
    """Values and queries of two kinds by layer, none in some, and a query of no layer."""
    rows: list[dict[str, Any]] = [{"role": "query", "layer": None, "kind": "entry", "count": 2, "score": -0.75}]
    for i in range(layers):
        for j, (role, kind) in enumerate((r, k) for r in ("query", "query-value", "value") for k in ("mlp", "attn")):
            if count := (i * 7 + j * 3) % 5:
                rows.append({"role": role, "layer": i, "kind": kind, "count": count, "score": value(i, j)})
    return pl.DataFrame(rows)


def measured(layers: int = 5) -> dict[str, list[dict[str, Any]]]:
    """A number at every point of two models whose names are markup."""
    sites = [("entry", None), *((f"L{i}.resid_{half}", i) for i in range(layers) for half in ("mid", "post"))]
    rows = [
        {"site": site, "layer": i, "value": value(k) ** 2 + 1, "error": 0.2, "reference": 2.9}
        for k, (site, i) in enumerate(sites)
    ]
    return {name: rows for name in ("</script>", "&amp;")}


def words(labels: Sequence[str]) -> list[list[str]]:
    """Words of components that are markup, white space, and half a character."""
    return [[*HOSTILE, "\ud800", label] for label in labels]


said: dict[str, Any] = {"title": TITLE, "about": ABOUT}
CHARTS: dict[str, Callable[[], view.Chart]] = {
    "layers": lambda: view.score_by_layer(written(), **said, measure="nats & <more>"),
    "heads": lambda: view.head_map(written(), **said),
    "sources": lambda: view.source_map(edges(), **said),
    "ranking": lambda: view.top_components(edges(), **said),
    "neurons": lambda: view.top_components(written(), 12, words, **said),
    "curve": lambda: view.lower_layer_curve(bent(), **said),
    "additivity": lambda: view.additivity(summed(), **said),
    "points": lambda: view.by_point(measured(), "rms & <more>", **said),
    "panels": lambda: view.panels([view.by_point(measured(), "</script>")] * 2, **said),
    "histogram": lambda: view.query_histogram(counted(), **said),
}
TOKENS = ("sources", "ranking", "neurons")


def drawn(chart: view.Chart) -> list[list[dict[str, Any]]]:
    """All tables of rows in a chart's specification."""
    return list(_tables(chart.to_dict()))


def _tables(spec: Any) -> Iterator[list[dict[str, Any]]]:
    if isinstance(spec, dict):
        if isinstance(found := spec.get("data"), dict):
            yield found["values"]
        for inner in spec.values():
            yield from _tables(inner)
    elif isinstance(spec, list):
        for inner in spec:
            yield from _tables(inner)


def rows_with(chart: view.Chart, *names: str) -> list[dict[str, Any]]:
    """The rows of the first table that has these columns."""
    return next(table for table in drawn(chart) if table and set(names) <= set(table[0]))
