"""What charts show: the sums of the rows they are made of, in their places, under scales that do not lie."""

import itertools
import math
from importlib import import_module
from typing import Any

import polars as pl
import pytest

from mainstem.core import InputError
from mainstem.view._svg import KINDS, MINUS
from mainstem.view._tables import every, heading, marked
from mainstem.view._theme import colours, config, diverging, figures, kinds
from view import _tables as make

view = import_module("mainstem.view")  # its name at the door is that of the function that opens the page

pytest.importorskip("altair")
SIZES = [(1, 1, 1), (2, 5, 3), (6, 3, 4), (30, 9, 2), (100, 2, 1)]


def total(frame: pl.DataFrame, *by: str) -> dict[tuple[Any, ...], float]:
    """Sums of value by columns."""
    return {tuple(row[:-1]): row[-1] for row in frame.group_by(by).agg(pl.col("value").sum()).iter_rows()}


@pytest.mark.parametrize("size", SIZES)
def test_bars_are_sums_of_rows_and_sum_to_them_all(size):
    frame = make.written(*size)
    bars = make.rows_with(view.score_by_layer(frame), "left", "right")
    found = {(bar["layer"], {"attention": "attn", "MLP": "mlp"}.get(bar["kind"], bar["kind"])): bar["value"] for bar in bars}
    assert len(found) == len(bars)
    sums = total(frame.filter(pl.col("layer").is_not_null()), "layer", "kind")
    expected = {(str(layer), kind): value for (layer, kind), value in sums.items()}
    expected |= {("entry", "entry"): 0.5, ("entry", "constant"): -0.25, ("end", "constant"): -0.75}
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert sum(found.values()) == pytest.approx(frame["value"].sum(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_bars_stand_at_their_layers_beside_each_other(size):
    bars = make.rows_with(view.score_by_layer(make.written(*size)), "left", "right")
    ends = sorted((bar["left"], bar["right"]) for bar in bars)
    assert all(a[1] <= b[0] + 1e-9 for a, b in itertools.pairwise(ends))
    for bar in bars:
        at = {"entry": -1, "end": size[0]}.get(bar["layer"]) if not bar["layer"].isdigit() else int(bar["layer"])
        assert at is not None
        assert at - 0.5 < bar["left"] < bar["right"] < at + 0.5


def test_legends_name_kinds_in_one_order_with_the_colours_of_the_pictures():
    strange = {"gate", "transport", "interaction", "mlp", "entry", "attn"}
    assert list(kinds(strange)) == ["entry", "attn", "mlp", "interaction", "transport", "gate"]
    assert kinds(set(KINDS)) == {kind: colours()[kind] for kind in KINDS}
    frame = make.frame([make.one(f"L0.{kind}", kind, 1.0, 0) for kind in sorted(strange)])
    colour = view.score_by_layer(frame).to_dict()["layer"][0]["encoding"]["color"]
    assert colour["scale"]["domain"] == ["entry", "attention", "MLP", "interaction", "transport", "gate"]
    assert len(set(colour["scale"]["range"])) == 6


@pytest.mark.parametrize("size", SIZES)
def test_cells_are_sums_of_their_heads_rows(size):
    frame = make.written(*size)
    cells = make.rows_with(view.head_map(frame), "head", "layer")
    heads = frame.filter(pl.col("head").is_not_null())
    assert {(c["layer"], c["head"]): c["value"] for c in cells} == pytest.approx(total(heads, "layer", "head"), rel=1e-12)


def test_a_head_is_the_sum_over_what_it_reads():
    frame = make.edges(4, 3)
    cells = make.rows_with(view.head_map(frame), "head", "layer")
    sums = total(frame.filter(pl.col("head").is_not_null()), "layer", "head")
    assert {(c["layer"], c["head"]): c["value"] for c in cells} == pytest.approx(sums, rel=1e-12)


def test_a_layer_without_heads_has_a_place_and_no_cells():
    rows = [make.one(f"L{i}.attn", "attn", 1.0, i, ".H0", head=0) for i in (0, 2)] + [make.one("L3.mlp", "mlp", 2.0, 3)]
    spec = view.head_map(make.frame(rows)).to_dict()
    assert spec["layer"][0]["encoding"]["x"]["scale"]["domain"] == [0, 1, 2, 3]
    assert [c["layer"] for c in make.rows_with(view.head_map(make.frame(rows)), "head")] == [0, 2]


def test_cross_attention_has_a_map_of_its_own():
    rows = [make.one(f"dec.L0.{kind}", kind, v, 0, ".H0", head=0) for kind, v in (("attn", 1.0), ("cross", -2.0))]
    chart = view.head_map(make.frame(rows))
    assert "facet" in chart.to_dict()
    cells = make.rows_with(chart, "head", "kind")
    assert {c["kind"]: c["value"] for c in cells} == {"attention": 1.0, "cross-attention": -2.0}


def scales(chart: view.Chart) -> list[dict[str, Any]]:
    """The colour scales of numbers in a chart."""

    def walk(spec: Any) -> Any:
        if isinstance(spec, dict):
            if spec.get("type") == "quantitative" and "scale" in spec and "interpolate" in spec["scale"]:
                yield spec["scale"]
            for inner in spec.values():
                yield from walk(inner)
        elif isinstance(spec, list):
            for inner in spec:
                yield from walk(inner)

    return list(walk(chart.to_dict()))


@pytest.mark.parametrize("shift", [-100.0, -0.3, 0.0, 0.3, 100.0])
def test_colours_are_as_strong_below_zero_as_above(shift):
    frame = make.edges().with_columns(pl.col("value") + shift)
    most = frame.filter(pl.col("head").is_not_null()).group_by("layer", "head").agg(pl.col("value").sum())["value"].abs().max()
    found = scales(view.head_map(frame)) + scales(view.source_map(frame))
    assert len(found) == 2
    assert found[0]["domain"][-1] == pytest.approx(most)
    for scale in found:
        domain = scale["domain"]
        assert domain == [-v for v in domain[::-1]]
        assert domain[len(domain) // 2] == 0
        assert len(domain) == len(scale["range"])


def light(colour: str) -> float:
    """How light a colour is, 0 to 100 (CIE L*)."""
    red, green, blue = linear(colour)
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return 116 * y ** (1 / 3) - 16 if y > 0.008856 else 903.3 * y


def linear(colour: str) -> list[float]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]


# Machado, Oliveira and Fernandes (2009), severity 1: what is seen with one kind of cone missing.
BLIND = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def test_the_map_grows_darker_on_both_sides_alike():
    shades = [light(colour) for colour in diverging([1.0])[1]]
    assert shades[0] < shades[1] < shades[2] > shades[3] > shades[4]
    assert shades[0] == pytest.approx(shades[4], abs=5) and shades[1] == pytest.approx(shades[3], abs=5)


@pytest.mark.parametrize("sight", BLIND)
def test_signs_and_kinds_are_told_apart_with_one_kind_of_cone_missing(sight):
    def seen(colour: str) -> list[float]:
        return [sum(m * v for m, v in zip(row, linear(colour), strict=True)) for row in BLIND[sight]]

    below, above = diverging([1.0])[1][1], diverging([1.0])[1][3]
    for one, other in ((below, above), (colours()["attn"], colours()["mlp"])):
        assert math.dist(seen(one), seen(other)) > 0.15


@pytest.mark.parametrize("k", [1, 7, 1000])
def test_a_ranking_is_the_k_largest_in_size_strongest_first(k):
    frame = make.written()
    rows = make.rows_with(view.top_components(frame, k), "component", "value")
    sorted_rows = sorted(zip(frame["component"], frame["value"], strict=True), key=lambda row: -abs(row[1]))
    assert [(row["component"], row["value"]) for row in rows] == sorted_rows[:k]


def test_a_ranking_keeps_a_rank_that_is_given():
    data = [{"component": f"L{i}.mlp", "value": v, "rank": i} for i, v in enumerate((0.5, 0.1, -3.0))][::-1]
    chart = view.top_components(data, 2)
    assert [row["component"] for row in make.rows_with(chart, "component")] == ["L0.mlp", "L1.mlp"]


def test_equal_scores_stay_in_their_order_and_zero_has_no_sign():
    data = [{"component": f"L{i}.mlp", "value": v} for i, v in enumerate((0.0, -0.0, 2.0, -2.0, 1e-9))]
    rows = make.rows_with(view.top_components(data), "component", "shown")
    assert [row["component"] for row in rows] == ["L2.mlp", "L3.mlp", "L4.mlp", "L0.mlp", "L1.mlp"]
    assert [row["shown"] for row in rows] == ["+2.000", "\u22122.000", "0", "0", "0"]


def test_words_are_asked_of_what_is_shown_and_has_some():
    asked = []

    def words(labels: list[str]) -> list[list[str]]:
        asked.extend(labels)
        return [[" word", f"of {label}"] for label in labels]

    frame = make.written(2)
    shown = make.rows_with(view.top_components(frame, 9, words), "words")
    ranked = make.rows_with(view.top_components(frame, 9), "component", "kind")
    assert asked == [row["component"] for row in ranked if row["kind"] != "constant"] != []
    assert len(asked) < len(ranked)
    said = {row["label"]: row["words"] for row in shown}
    assert all(f"of·{label}"[:13] in said[label] and "·word" in said[label] for label in asked)
    assert {said[row["label"]] for row in ranked if row["kind"] == "constant"} == {""}
    with pytest.raises(InputError, match=f"here 1 lists for {len(asked)} labels"):
        view.top_components(frame, 9, lambda labels: [["word"]])


def test_a_source_map_holds_the_strongest_heads_by_token():
    frame = make.edges(5, 3)
    heads = frame.filter(pl.col("head").is_not_null())
    size = heads.group_by("write", "head").agg(pl.col("value").abs().sum()).sort("value", descending=True).head(4)
    names = [f"{write}.H{head}" for write, head in size.select("write", "head").iter_rows()]
    chart = view.source_map(frame, 4)
    cells = make.rows_with(chart, "source", "label")
    assert chart.to_dict()["layer"][0]["encoding"]["y"]["scale"]["domain"] == names
    found = {(c["label"], int(c["source"].split()[0])): c["value"] for c in cells}
    expected = {(f"{w}.H{h}", t): v for (w, h, t), v in total(heads, "write", "head", "key_pos").items() if f"{w}.H{h}" in names}
    assert found == pytest.approx(expected, rel=1e-12)


def test_sources_stand_in_order_also_where_none_reads_one():
    rows = [make.one("L0.attn", "attn", 1.0, 0, f".H0<-{t}", head=0, key_pos=t, token="a") for t in (11, 2, 0)]
    axis = view.source_map(make.frame(rows)).to_dict()["layer"][0]["encoding"]["x"]
    assert axis["scale"]["domain"] == ["0 a", "1", "2 a", *map(str, range(3, 11)), "11 a"]


ROLES = {"value": "values", "query": "queries", "query-value": "values that are queries too"}


@pytest.mark.parametrize("of", ["count", "score"])
@pytest.mark.parametrize("layers", [1, 2, 7, 40])
def test_a_histogram_shows_all(layers, of):
    frame = make.counted(layers)
    twice = pl.concat([frame, frame.head(3)])
    bars = [row for row in make.rows_with(view.query_histogram(twice, of), "value", "role") if "value" in row]
    assert sum(bar["value"] for bar in bars) == pytest.approx(twice[of].sum(), rel=1e-12)
    found = {(bar["role"], bar["layer"], bar["kind"]): bar["value"] for bar in bars}
    assert len(found) == len(bars)
    names = {"attn": "attention", "mlp": "MLP"}
    sums = twice.group_by("role", "layer", "kind").agg(pl.col(of).sum()).filter(pl.col(of) != 0).iter_rows()
    expected = {(ROLES[r], "entry" if i is None else str(i), names.get(k, k)): v for r, i, k, v in sums}
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_histogram_has_a_panel_for_each_role_and_a_place_for_each_layer():
    frame = make.counted(9).filter((pl.col("role") != "query-value") & (pl.col("layer") != 4) | (pl.col("layer") == 8))
    frame = frame.with_columns(pl.when(pl.col("role") == "query-value").then(0).otherwise(pl.col("count")).alias("count"))
    spec = view.query_histogram(frame).to_dict()
    assert spec["facet"]["sort"] == [*ROLES.values()]
    assert spec["spec"]["encoding"]["x"]["scale"]["domain"] == [*map(str, range(9))]
    assert {row["role"] for row in make.rows_with(view.query_histogram(frame), "role")} == {*ROLES.values()}
    assert view.query_histogram(make.counted(2)).to_dict()["spec"]["encoding"]["x"]["scale"]["domain"] == ["entry", "0", "1"]
    with pytest.raises(InputError, match="of 'count' or 'score', not 'kind'"):
        view.query_histogram(frame, "kind")


@pytest.mark.parametrize("layers", [1, 5, 30])
def test_a_curve_is_the_table(layers):
    frame = make.bent(layers)
    rows = make.rows_with(view.lower_layer_curve(frame.sample(fraction=1, shuffle=True, seed=0)), "added")
    names = ["layer", "added", "probability", "logprob"]
    assert pl.DataFrame(rows).select(names).equals(frame.select(names).sort("layer", "added"))
    for row in rows:
        odds = math.exp(row["added"] + 2 * row["layer"] - 6)
        assert row["probability"] == pytest.approx(odds / (1 + odds), rel=1e-12)


@pytest.mark.parametrize("writes", [1, 2, 12])
def test_additivity_shows_points_their_line_and_the_line_of_sums(writes):
    frame = make.summed(writes)
    rows = pl.DataFrame(make.rows_with(view.additivity(frame), "series", "c"))
    points = rows.filter(pl.col("k") > 0)
    assert points.select("c", "t").rows() == frame.select("cumulative", "together").rows()
    for (panel, series), ends in rows.filter(pl.col("k") < 0).group_by("panel", "series"):
        slope, start = (
            float(str(panel).replace("\u2212", "-").split(name)[1].split(",")[0]) for name in ("slope ", "intercept ")
        )
        line = (slope, start) if series == "their best line" else (1.0, 0.0)
        assert ends["t"].to_list() == pytest.approx([line[0] * c + line[1] for c in ends["c"]], abs=1e-9)
        assert (ends["c"].min(), ends["c"].max()) == (0.0, pytest.approx(frame["cumulative"].max()))
    assert rows["panel"].n_unique() == writes


def test_a_line_without_r2_says_none():
    rows = make.summed(1).with_columns(pl.lit(None, pl.Float64).alias("r2")).to_dicts()
    assert {row["panel"].split("slope")[1].count("R²") for row in make.rows_with(view.additivity(rows), "panel")} == {0}


TABLES: dict[str, tuple[Any, Any]] = {
    "layers": (view.score_by_layer, make.written), "heads": (view.head_map, make.written), "sources": (view.source_map, make.edges),
    "ranking": (view.top_components, make.written), "curve": (view.lower_layer_curve, make.bent),
    "additivity": (view.additivity, make.summed), "histogram": (view.query_histogram, make.counted),
}  # fmt: skip
NUMBER = {"curve": "logprob", "additivity": "together", "histogram": "count"}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, None])
def test_a_number_that_is_none_is_refused(name, odd):
    draw, table = TABLES[name]
    column = NUMBER.get(name, "value")
    rows = table().with_columns(pl.col(column).cast(pl.Float64)).to_dicts()
    draw(rows)
    with pytest.raises(InputError, match=f"1 of {len(rows)} numbers in '{column}' are not finite"):
        draw([*rows[:-1], rows[-1] | {column: odd}])


@pytest.mark.parametrize("name", TABLES)
def test_no_rows_and_a_missing_column_are_refused(name):
    draw, table = TABLES[name]
    column = NUMBER.get(name, "value")
    with pytest.raises(InputError, match="no rows"):
        draw(table().head(0))
    with pytest.raises(InputError, match="no rows"):
        draw([])
    with pytest.raises(InputError, match=f"missing: {column}"):
        draw(table().drop(column))
    with pytest.raises(InputError, match="polars frame, or of records"):
        draw([1, 2])


@pytest.mark.parametrize("name", ["layers", "heads", "sources", "ranking"])
@pytest.mark.parametrize("place", ["prompt", "position"])
def test_several_prompts_or_positions_are_refused(name, place):
    draw, table = TABLES[name]
    two = pl.concat([table(), table().with_columns(pl.col(place) + 1)])
    with pytest.raises(InputError, match=f"one {place}; here are 2"):
        draw(two)


def test_what_cannot_be_drawn_says_why():
    with pytest.raises(InputError, match="1 component or more, not 0"):
        view.top_components(make.written(), 0)
    with pytest.raises(InputError, match="1 head or more, not 0"):
        view.source_map(make.edges(), 0)
    with pytest.raises(InputError, match='level="head"'):
        view.head_map(make.written().filter(pl.col("head").is_null()))
    with pytest.raises(InputError, match='level="edge"'):
        view.source_map(make.written().with_columns(pl.lit(None, pl.Int64).alias("key_pos")))
    with pytest.raises(InputError, match="room for 12 panels; here are 13"):
        view.additivity(make.summed(13))
    with pytest.raises(InputError, match="a column 'write' or 'layer'"):
        view.additivity(make.summed().drop("write"))


def test_tokens_are_marked_and_cut():
    assert marked(" a\n\t\r") == "·a¶→¬"
    assert marked("\x00\x1b\ud800\ufffd") == "\\x00\\x1b□□"
    assert marked("x" * 50, 10) == "x" * 9 + "…"
    assert marked("漢字🙂é") == "漢字🙂é"
    assert marked(" שלום") == "·שלום\u200e" and marked("\u202eab") == "\\u202eab"


def test_names_on_an_axis_are_as_many_as_fit():
    for n in (1, 2, 23, 24, 25, 100, 5000):
        for most in (1, 5, 24):
            found = every(n, most)
            assert found[0] == 0 and len(found) <= most
            assert len({b - a for a, b in itertools.pairwise(found)}) <= 1
    assert every(24, 24) == list(range(24))


def test_a_heading_is_lines_that_fit():
    found = heading("w " * 200, f"{'x' * 300}\n{'y ' * 10}", 480)
    assert [len(line) <= 56 for line in found["text"]] == [True] * 4
    assert found["text"][-1].endswith("…")
    assert all(len(line) <= 84 for line in found["subtitle"]) and found["subtitle"][-1].startswith("y")
    assert heading("a\tb\x07", "", 480) == {"text": ["a\\tb\\x07"]}


def test_a_quoted_token_is_not_broken():
    found = heading("any of " + ", ".join(f"' a b {i}'" for i in range(12)), "", 480)["text"]
    assert len(found) > 1 and all(line.count("'") % 2 == 0 for line in found)
    assert heading("what isn't one doesn't", "", 480) == {"text": ["what isn't one doesn't"]}


def test_curves_say_what_they_are_of():
    about = {"model": "m", "target": "' Paris'", "position": 4, "token": " is", "prompt": 0}
    bent = make.bent().with_columns(**{name: pl.lit(value) for name, value in about.items()}, along=pl.lit("L5.mlp"))
    title = view.lower_layer_curve(bent).to_dict()["title"]
    assert title["text"] == ["The lower-layer problem: '\u00a0Paris'"]
    assert " ".join(title["subtitle"]).replace("\u00a0", " ") == "m · after token 4, ' is' · along L5.mlp"
    alone = view.lower_layer_curve(bent.with_columns(along=pl.lit("the token alone"))).to_dict()["title"]
    assert "along" not in alone["subtitle"][0]
    summed = make.summed().with_columns(target=pl.lit("' Paris'"), level=pl.lit("head"))
    title = view.additivity(summed).to_dict()["title"]
    assert title == {"text": ["Do single scores add up? '\u00a0Paris'"], "subtitle": ["level\u00a0head"]}
    assert view.additivity(summed, about="mine").to_dict()["title"]["subtitle"] == ["mine"]


@pytest.mark.parametrize("power", [-4, 0, 5])
def test_cells_of_any_size_have_numbers_that_fit(power):
    frame = make.written(4).with_columns(pl.col("value") * 10.0**power)
    spec = view.head_map(frame).to_dict()
    shown = [row["shown"] for row in make.rows_with(view.head_map(frame), "shown", "head")]
    title = spec["layer"][0]["encoding"]["color"]["legend"]["title"]
    assert max(map(len, shown)) <= 6
    told = int(title[1].rpartition("1e")[2].replace(MINUS, "-")) if isinstance(title, list) else 0
    for row in make.rows_with(view.head_map(frame), "shown", "head"):
        assert float(row["shown"].replace(MINUS, "-")) * 10.0**told == pytest.approx(row["value"], abs=0.006 * 10.0**told)
    assert isinstance(title, list) == bool(power)


def test_small_cells_below_zero_have_a_minus():
    rows = make.rows_with(view.head_map(make.written(30, 9)), "shown", "head")
    most = max(abs(row["value"]) for row in rows)
    assert {row["shown"] for row in rows} == {"", MINUS}
    assert all((row["shown"] == MINUS) == (row["value"] < -0.1 * most) for row in rows)


def test_figures_are_few_and_alike():
    assert figures([0.5, -0.25, 0.001]) == ["+0.50", "\u22120.25", "0"]
    assert figures([123.4, -1.0]) == ["+123.4", "\u22121.0"]
    assert figures([0.0, -0.0]) == ["0", "0"]
    assert figures([1e-5, -2e-6]) == ["+1.0e\u221205", "\u22122.0e\u221206"]
    assert figures([12345.0, 1.0], 3) == ["+1.23e+04", "+1.00e+00"]


def test_every_chart_is_drawn_on_the_paper_of_the_pictures():
    assert config()["background"] == colours()["paper"]
    assert {chart().to_dict()["config"]["background"] for chart in make.CHARTS.values()} == {colours()["paper"]}
