"""A list of texts through a toy model: numbers against a loop by hand, and runs that stop and go on."""

import shutil

import polars
import pyarrow
import pytest
import torch

from mainstem.core import InputError, listening
from mainstem.measure import measure_named
from mainstem.scan import Batching, local, merge, scan, source, survey
from mainstem.scan._work import Tick
from scan import toy


def by_hand(data: list[str]) -> dict[str, torch.Tensor]:
    """What the toy measures come to, one token at a time."""
    words = [(n, p, i) for n, text in enumerate(data) for p, i in enumerate(toy.WORDS.index(w) for w in text.split())]
    x = toy.embed(torch.tensor([i for _, _, i in words]))
    y = x * x.sum(-1, keepdim=True)
    return {
        "second": (x**2).mean(0),
        "third": (y**3).mean(0),
        "dot": (x * y).sum(-1).mean(),
        "ids": torch.tensor(sum((n << 24) + p for n, p, _ in words)),
        "tokens": torch.tensor(len(words)),
    }


@pytest.mark.parametrize("count", [1, 7, 100])
@pytest.mark.parametrize("pack", [None, 6])
@pytest.mark.parametrize("piece", [1, 300, 10**6])
def test_numbers_are_those_of_a_loop_by_hand(tmp_path, count, pack, piece):
    data = toy.texts(count)
    summary = toy.scanned(tmp_path / "run", data, toy.job(pack=pack), piece=piece)
    found, known = toy.result(tmp_path / "run"), by_hand(data)
    numbers = found.numbers()
    torch.testing.assert_close(numbers["moment", "entry"]["mean"], known["second"], rtol=1e-13, atol=0)
    torch.testing.assert_close(numbers["moment(power=3)", "L0"]["mean"], known["third"], rtol=1e-12, atol=0)
    torch.testing.assert_close(numbers["dot", "entry -> L0"]["mean"], known["dot"], rtol=1e-13, atol=0)
    for site in ("entry", "L0"):  # every token once: the sum of their indices is a sum over places, too
        assert numbers["moment", site]["ids"] == known["ids"]
    assert summary.examples == found.counts["examples"] == count
    assert summary.tokens == found.counts["tokens"] == known["tokens"]


def stopping(after):
    """An engine that dies after some pieces."""

    def engine(job, reader, pieces, unreadable):
        yield from local(job, reader, pieces[:after], unreadable)
        raise KeyboardInterrupt

    return engine


def test_a_run_that_stopped_goes_on_and_comes_to_the_same_bits(tmp_path):
    data = toy.texts(200)
    whole = toy.scanned(tmp_path / "whole", data)
    assert whole.pieces > 10
    for after in (0, 1, 5, 3):
        with pytest.raises(KeyboardInterrupt):
            toy.scanned(tmp_path / "parts", data, engine=stopping(after))
    with pytest.raises(InputError, match=f"{whole.pieces - 9} of {whole.pieces} pieces are missing, the first is 9"):
        toy.result(tmp_path / "parts")
    rest = toy.scanned(tmp_path / "parts", data)
    assert rest.before == 9
    assert toy.same(toy.result(tmp_path / "parts"), toy.result(tmp_path / "whole"))
    again = toy.scanned(tmp_path / "parts", data)
    assert (again.before, again.tokens) == (whole.pieces, 0)


@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_shards_come_to_the_same_bits_from_one_folder_and_from_many(tmp_path, n):
    data = toy.texts(100)
    toy.scanned(tmp_path / "whole", data)
    whole = toy.result(tmp_path / "whole")
    for i in reversed(range(n)):
        toy.scanned(tmp_path / f"own{i}", data, shard=(i, n))
        toy.scanned(tmp_path / "shared", data, shard=(i, n))
    assert toy.same(toy.result(*(tmp_path / f"own{i}" for i in range(n))), whole)
    assert toy.same(toy.result(tmp_path / "shared"), whole)
    assert toy.same(toy.result(tmp_path / "shared", tmp_path / "own0", tmp_path / "whole"), whole)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"work": toy.job(model={"weights": "xyz"})}, 'model.weights was "abc" and is "xyz"'),
        ({"work": toy.job(batch_tokens=41)}, "choices.batch_tokens was 40 and is 41"),
        ({"work": toy.job(pack=8)}, "choices.pack was null and is 8"),
        ({"work": toy.job(choices={"points": "all"})}, 'choices.points was null and is "all"'),
        ({"work": toy.job(measures=toy.MEASURES[:1])}, "choices.measures was"),
        ({"piece": 301}, "choices.piece was 300 and is 301"),
        ({"data": [*toy.texts(50)[:20], "sea", *toy.texts(50)[21:]]}, "the first row that differs is row 20"),
        ({"data": toy.texts(50)[:-1]}, "data.rows was 50 and is 49"),
        ({"data": [*toy.texts(50), "sea"]}, "the first row that is new or gone is row 50"),
        ({"resume": False}, "holds a run already"),
    ],
)
def test_a_run_of_something_else_is_refused_with_what_changed(tmp_path, change, says):
    toy.scanned(tmp_path, toy.texts(50))
    before = toy.result(tmp_path)
    with pytest.raises(InputError) as refused:
        toy.scanned(tmp_path, **({"data": toy.texts(50)} | change))
    assert says in str(refused.value)
    assert toy.same(toy.result(tmp_path), before)


def test_progress_says_examples_tokens_a_second_and_time_left(tmp_path):
    heard = []
    with listening(lambda *said: heard.append(said)):
        toy.scanned(tmp_path, toy.texts(60))
    reading, scanning = [h for h in heard if h[0] == "reading the data"], [h for h in heard if h[0].startswith("scanning")]
    assert reading[-1][1] == 60
    assert [h[1:] for h in scanning] == [(i, 60) for i in range(61)]
    known = int(scanning[0][0].removeprefix("scanning about ").removesuffix(" tokens"))
    assert known == pytest.approx(sum(len(text.split()) for text in toy.texts(60)), rel=0.1)
    assert "tokens/s, " in scanning[-1][0] and scanning[-1][0].endswith(" s left")


def test_texts_need_a_tokenizer_and_budgets_are_numbers(tmp_path):
    with pytest.raises(InputError, match="texts need a tokenizer"):
        toy.scanned(tmp_path, ["the sea"], toy.job(batching=Batching(8)))
    for wrong in (0, -1, True):
        with pytest.raises(InputError, match="batch_tokens is a whole number"):
            Batching(wrong)
    with pytest.raises(InputError, match="does not fit batch_tokens=4"):
        Batching(4, pack=8)
    with pytest.raises(InputError, match="not \\(2, 2\\)"):
        toy.scanned(tmp_path, ["the sea"], shard=(2, 2))


def with_rows(batch):
    """Points, and a row for every example of a batch, between them."""
    points = toy.run(batch)
    yield next(points)
    yield pyarrow.table({"example": list(batch.examples), "content": [e.content for e in batch.examples.values()]})
    yield from points


def test_rows_are_stored_once_beside_the_states_and_read_in_the_order_of_the_data(tmp_path):
    data, work = toy.texts(100), toy.job(load=lambda: with_rows, batch_tokens=200)
    with pytest.raises(KeyboardInterrupt):
        toy.scanned(tmp_path / "run", data, work, engine=stopping(3))
    left = tmp_path / "run" / "rows" / "0-of-1" / "00000003.parquet"
    left.write_bytes(b"of a run that was killed between rows and states")
    toy.scanned(tmp_path / "run", data, work)
    found = toy.result(tmp_path / "run")
    frame = found.scan_rows().collect()
    examples = polars.read_parquet(tmp_path / "run" / "examples.parquet")
    assert sorted(set(frame["example"])) == list(range(100)) == list(range(len(examples)))
    ids = {e: content for e, content in frame.rows()}
    known = examples.select(polars.col("content").bin.encode("hex") + "." + polars.col("ordinal").cast(polars.String)).to_series()
    assert [ids[i] for i in range(100)] == known.to_list()
    toy.scanned(tmp_path / "plain", data)
    with pytest.raises(InputError, match="stored no rows"):
        toy.result(tmp_path / "plain").scan_rows()


def test_the_frame_is_tidy_and_the_numbers_carry_their_counts(tmp_path):
    toy.scanned(tmp_path, toy.texts(50))
    found = toy.result(tmp_path)
    frame = found.frame()
    assert frame.columns == ["measure", "site", "number", "index", "value"]
    for (name, site), numbers in found.numbers().items():
        for number, value in numbers.items():
            some = frame.filter(measure=name, site=site, number=number)
            assert some["value"].to_list() == value.double().reshape(-1).tolist()
            assert some["index"].to_list() == list(range(value.numel()))


def test_measures_of_the_registry_are_found_again_by_what_is_stored(tmp_path):
    measures = [measure_named("kurtosis"), measure_named("outliers")]
    work = toy.job(measures=measures, pairs=())
    scan(work, survey(source(toy.texts(50)), 300), tmp_path)
    one, other = merge(tmp_path), merge(tmp_path, measures)
    assert set(one.measures) == {"kurtosis", "outliers"}
    assert one.frame().equals(other.frame())
    with pytest.raises(InputError, match="measured something else"):
        merge(tmp_path, measures[:1])


def test_a_disk_that_will_not_hold_the_run_is_named_after_the_first_piece(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 20_000))
        with pytest.raises(InputError, match=r"18 pieces are left, which take some 0\.\d MiB, .* has 0\.0: .*larger pieces"):
            toy.scanned(tmp_path / "run", toy.texts(200))
    assert len(list(tmp_path.rglob("pieces/*/*"))) == 1
    toy.scanned(tmp_path / "run", toy.texts(200))
    assert toy.result(tmp_path / "run").counts["examples"] == 200


def test_pairs_and_measures_that_cannot_be_told_apart_are_refused(tmp_path):
    with pytest.raises(InputError, match="moment is asked for twice"):
        toy.scanned(tmp_path / "a", ["the sea"], toy.job(measures=[toy.Moment(), toy.Moment()]))
    with pytest.raises(InputError, match="dot relates entry and L7, and the run does not show both"):
        toy.scanned(tmp_path / "b", ["the sea"], toy.job(pairs=[(toy.Dot(), [("entry", "L7")])]))

    def narrow(batch):
        yield "entry", torch.zeros(*batch.mask[:, :1].shape, 3), batch.mask[:, :1]

    with pytest.raises(InputError, match="entry has 1 x 1 places, the batch 1 x 2"):
        toy.scanned(tmp_path / "c", ["the sea"], toy.job(load=lambda: narrow, pairs=()))


def test_memory_is_flat_over_a_long_run(tmp_path):
    import psutil

    rss, me = [], psutil.Process()

    def engine(*given):
        for event in local(*given):
            if not isinstance(event, Tick):
                rss.append(me.memory_info().rss)
            yield event

    toy.scanned(tmp_path, toy.texts(100) * 300, toy.job(batch_tokens=4000), piece=10_000, engine=engine)
    assert len(rss) > 50
    quarter = len(rss) // 4
    assert max(rss[-quarter:]) - max(rss[quarter : 2 * quarter]) < 2 * 2**20
