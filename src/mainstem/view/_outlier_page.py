"""The outlier report as one page: charts drawn already, tables, no script, nothing to fetch."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from math import isfinite
from typing import Any

from ._altair import Chart, altair
from ._numbers import few
from ._points import by_point
from ._svg import element, plain, visible
from ._tables import every, heading
from ._theme import colours

MOST = 32  # features that are drawn and listed
_WIDE = 760
_NAMES = {"llm_int8": "LLM.int8", "massive": "massive activations"}
_BY = {"llm_int8": "LLM.int8's rule", "massive": "massive activations"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def outlier_page(record: dict[str, Any]) -> str:
    """An outlier report as a self-contained HTML page.

    Parameters: `record`, the report as plain data: dimensions, effects, exemplars, points and about. Whatever came from a model or data
    is written as text, never as markup. Raises `InputError` where altair or vl-convert is missing.
    """
    about = record["about"]
    title = f"Outlier features of {about['model']}"
    parts = [element("h1", escape(plain(title))), *_summary(record)]
    if record["effects"]:
        parts += [_drawn(effect_chart(record["effects"], about)), _effect_table(record["effects"])]
    parts.append(_drawn(_sizes(record)))
    if shown := _strongest(record["dimensions"]):
        parts += [_drawn(dimension_map(record["dimensions"], shown, about["choices"])), _features(record, shown)]
    style = element("style", _style())
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    view = '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
    inside = "".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}{view}<title>{escape(plain(title))}</title>{style}</head>\n<body><main>{inside}</main></body></html>\n'


def effect_chart(effects: Sequence[dict[str, Any]], about: dict[str, Any]) -> Chart:
    """What zeroing each set of features does, beside random sets of its size: the loss of the next token, or the divergence.

    Parameters: `effects`, records with set, draw (None for the set itself), dims, loss, increase, error and divergence; `about`, with
    effect_tokens and kept. Raises `InputError` where altair is missing.
    """
    alt, c = altair(), colours()
    number = "increase" if any(row["increase"] is not None and row["set"] != "none" for row in effects) else "divergence"
    rows = []
    for row in effects:
        if row["set"] != "none" and (value := row[number]) is not None and isfinite(value):
            name = f"{_set(row['set'])} ({row['dims']})"
            kind = "these features" if row["draw"] is None else "as many at random"
            error = row["error"] if number == "increase" else None
            ends = {"low": value - error, "high": value + error} if error else {"low": None, "high": None}
            rows.append({"name": name, "kind": kind, "value": value, "said": f"{name}, {kind}: {few(value)} nats", **ends})
    names = list(dict.fromkeys(row["name"] for row in rows))
    unit = "more loss of the next token (nats)" if number == "increase" else "divergence from the model's own output (nats)"
    paint = alt.Scale(domain=["these features", "as many at random"], range=[c["ebb"], c["constant"]])
    legend = alt.Legend(title=None, orient="top", columnPadding=24)
    base = alt.Chart(alt.Data(values=rows), width=_WIDE - 240, height=34 * max(len(names), 1))
    y = alt.Y("name:N", title=None, sort=names, axis=alt.Axis(grid=True, labelLimit=320))
    x = alt.X("value:Q", title=unit, axis=alt.Axis(tickCount=6))
    colour = alt.Color("kind:N", scale=paint, legend=legend)
    bars = base.transform_filter("isValid(datum.high)").mark_rule(strokeWidth=1.5, aria=False)
    dots = base.mark_circle(size=70, opacity=0.95).encode(x=x, y=y, color=colour, description="said:N", tooltip=["said:N"])
    words = base.transform_filter("datum.kind == 'these features'").mark_text(dy=-12, fontSize=10, aria=False)
    words = words.encode(x=x, y=y, text=alt.Text("value:Q", format="+.3~g"), color=alt.value(c["ink"]))
    zero = alt.Chart(alt.Data(values=[{}])).mark_rule(color=c["muted"], aria=False).encode(x=alt.datum(0))
    drawn = alt.layer(
        zero, bars.encode(x=alt.X("low:Q", title=unit, axis=alt.Axis(tickCount=6)), x2="high:Q", y=y, color=colour), dots, words
    )
    where = f"every point of the stream{' but ' if about['kept'] else ''}{', '.join(about['kept'])}"
    below = f"{about['effect_tokens']:,} places; features zeroed at {where}; bars are one standard error, paired"
    return Chart(drawn.properties(title=heading("What the model loses without them", below, _WIDE)))


def dimension_map(rows: Sequence[dict[str, Any]], shown: Sequence[tuple[int, int]], choices: dict[str, Any]) -> Chart:
    """Outlier features by points: at which share of the positions each is an outlier, with a dot where it is massive.

    Parameters: `rows`, records with stage, dimension, site, positions, massive_here and value; `shown`, stages and dimensions to draw, in
    order; `choices`, with magnitude. Raises `InputError` where altair is missing.
    """
    alt, c = altair(), colours()
    stages = len({row["stage"] for row in rows}) > 1
    sites = list(dict.fromkeys(row["site"] for row in sorted(rows, key=lambda r: r["stage"])))
    names = [_feature(*pair, stages) for pair in shown]
    cells = []
    for row in rows:
        if (row["stage"], row["dimension"]) in shown:
            name = _feature(row["stage"], row["dimension"], stages)
            told = f"feature {name} at {row['site']}: {100 * (row['positions'] or 0):.1f} % of positions, largest {few(row['value'])}"
            cells.append(
                {"name": name, "site": row["site"], "share": row["positions"], "massive": row["massive_here"], "said": told}
            )
    most = max([0.01, *(cell["share"] or 0.0 for cell in cells)])
    tall = 16
    base = alt.Chart(alt.Data(values=cells), width=_WIDE - 110, height=tall * len(names))
    at = [sites[i] for i in every(len(sites), 34)]
    x = alt.X(
        "site:N", title=None, sort=None, scale=alt.Scale(domain=sites), axis=alt.Axis(values=at, labelAngle=-50, labelFontSize=10)
    )
    y = alt.Y("name:N", title="feature", sort=None, scale=alt.Scale(domain=names))
    ramp = alt.Scale(domain=[0, most], range=[c["box"], c["water"]], interpolate="rgb")
    legend = alt.Legend(title="share of positions", format="%", orient="right")
    boxes = base.mark_rect(stroke=c["line"], strokeWidth=0.3).encode(
        x=x, y=y, color=alt.Color("share:Q", scale=ramp, legend=legend)
    )
    boxes = boxes.encode(description="said:N", tooltip=["said:N"])
    dots = base.transform_filter("datum.massive").mark_circle(size=22, color=c["ebb"], opacity=1, aria=False).encode(x=x, y=y)
    below = f"Where |x| is {choices['magnitude']:g} or more; a red dot where there is a massive activation"
    return Chart((boxes + dots).properties(title=heading("Outlier features at every point", below, _WIDE)))


def _sizes(record: dict[str, Any]) -> Chart:
    lines = {"largest |x|": "largest", "median |x|": "median", "RMS": "rms", "massive from here": "cut"}
    data = {
        name: [{"site": p["site"], "layer": p["layer"], "value": p[of], "width": p["width"]} for p in record["points"] if p[of]]
        for name, of in lines.items()
    }
    held = {name: some for name, some in data.items() if some}
    return by_point(
        held,
        "|x|",
        title="How large values are",
        about="Magnitudes at every point, and where massive ones begin",
        width=_WIDE - 60,
    )


def _summary(record: dict[str, Any]) -> Iterator[str]:
    about, choices = record["about"], record["about"]["choices"]
    for name, rule in (
        (
            "llm_int8",
            f"|x| ≥ {choices['magnitude']:g} at {100 * choices['share']:g} % of the positions, at {100 * choices['points']:g} % of the points",
        ),
        ("massive", f"|x| ≥ {choices['massive']:g} and ≥ {choices['ratio']:g} times the median of the point, anywhere"),
    ):
        found = list(dict.fromkeys((r["stage"], r["dimension"]) for r in record["dimensions"] if r[name]))
        count = f"{len(found)} feature{'' if len(found) == 1 else 's'}"
        most = 2 * len(found) > max(point["width"] for point in record["points"])
        more = " Most features are: the stream has outgrown this magnitude, and a larger one tells more." if most else ""
        yield element("p", f"<b>{count}</b> by {escape(_BY[name])}: {escape(rule)}.{more}")
    size = f"{about['tokens']:,} places, {len(record['points'])} points of the stream itself, before any norm that what reads it has of its own."
    yield element("p", escape(size), class_="muted")
    if about["without"]:
        yield element("p", escape(plain(f"Nothing was zeroed: {about['without']}")), class_="muted")


def _effect_table(effects: Sequence[dict[str, Any]]) -> str:
    own = next(row for row in effects if row["set"] == "none")
    rows = []
    for row in effects:
        if row["draw"] is None and row["set"] != "none":
            drawn = [r for r in effects if r["set"] == row["set"] and r["draw"] is not None]
            number = "divergence" if row["increase"] is None else "increase"
            random = [r[number] for r in drawn if r[number] is not None]
            middle = (
                f"{few(sum(random) / len(random))} ({few(min(random))} to {few(max(random))})" if random else "fewer are left"
            )
            rows.append(
                (_set(row["set"]), str(row["dims"]), _few(row["loss"]), _few(row["increase"]), _few(row["divergence"]), middle)
            )
    head = ("zeroed", "features", "loss", "more loss", "divergence", "the same of as many at random, mean (range)")
    plainly = (
        f"Without an edit the loss of the next token is {_few(own['loss'])} nats."
        if own["loss"] is not None
        else "No next token is predicted here."
    )
    return element("p", plainly) + _table(head, rows)


def _features(record: dict[str, Any], shown: Sequence[tuple[int, int]]) -> str:
    stages = len({row["stage"] for row in record["dimensions"]}) > 1
    rows = []
    for stage, dim in shown:
        some = [r for r in record["exemplars"] if (r["stage"], r["dimension"]) == (stage, dim)]
        first = next(r for r in record["dimensions"] if (r["stage"], r["dimension"]) == (stage, dim))
        rules = [label for label, name in (("LLM.int8", "llm_int8"), ("massive", "massive")) if first[name]]
        texts = "".join(element("div", _context(r)) for r in some)
        rows.append(
            element("tr", [
                element("td", escape(_feature(stage, dim, stages)), class_="figure"), element("td", ", ".join(rules)),
                element("td", escape(some[0]["site"]) if some else ""), element("td", texts, class_="text"),
            ])
        )  # fmt: skip
    count = len({(r["stage"], r["dimension"]) for r in record["dimensions"]})
    more = f" The {len(shown)} strongest of {count}." if count > len(shown) else ""
    head = element("tr", [element("th", name) for name in ("feature", "rule", "largest at", "its most extreme tokens there")])
    said = element("p", f"Each feature where it is largest against the root mean square of the point.{more}", class_="muted")
    return element("h2", "Which tokens do it") + said + element("table", [head, *rows])


def _context(row: dict[str, Any]) -> str:
    value = element("span", few(row["value"]), class_="value")
    if row["token"] is None:
        return f"{value} {escape(plain(str(row['example'])))}, place {row['position']}"
    before, token, after = (
        escape(text(row[part] or "")) for part, text in (("before", _flat), ("token", visible), ("after", _flat))
    )
    return f'{value} <span class="muted">{before}</span><mark>{token}</mark><span class="muted">{after}</span>'


def _flat(text: str) -> str:
    return plain(" ".join(text.split("\n")))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    first = element("tr", [element("th", escape(name)) for name in head])
    return element("table", [first, *(element("tr", [element("td", escape(cell)) for cell in row]) for row in rows)])


def _strongest(rows: Sequence[dict[str, Any]]) -> list[tuple[int, int]]:
    """Outlier features to show, in the order of the stream: those with the largest values against the root mean square."""
    size: dict[tuple[int, int], float] = {}
    for row in rows:
        key = (row["stage"], row["dimension"])
        size[key] = max(size.get(key, 0.0), row["times_rms"] or 0.0)
    return sorted(sorted(size, key=lambda key: -size[key])[:MOST])


def _feature(stage: int, dim: int, stages: bool) -> str:
    return f"{stage}:{dim}" if stages else str(dim)


def _set(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name]
    return f"{name.partition(' ')[2]} largest |x|"


def _few(value: float | None) -> str:
    return "none" if value is None else few(value)


def _drawn(chart: Chart) -> str:
    return element("figure", chart._svg())


def _style() -> str:
    c = colours()
    return (
        f"body{{margin:0;background:{c['paper']};color:{c['ink']};font:15px/1.5 'Helvetica Neue',Arial,sans-serif}}"
        "main{max-width:900px;margin:0 auto;padding:24px 16px 60px}h1{font-size:24px}h2{font-size:18px;margin:32px 0 4px}"
        "figure{margin:20px 0;overflow-x:auto}figure svg{max-width:100%;height:auto}p{margin:6px 0}"
        f"table{{border-collapse:collapse;width:100%;font-size:13px}}td,th{{border-bottom:1px solid {c['line']};padding:5px 8px;text-align:left;vertical-align:top}}"
        f".muted{{color:{c['muted']}}}.figure,.value{{font-variant-numeric:tabular-nums}}.value{{display:inline-block;min-width:4.5em;font-weight:600}}"
        f"mark{{background:{c['mlp']}44;color:inherit;border-radius:3px;padding:0 1px}}.text div{{overflow-wrap:anywhere}}"
    )
