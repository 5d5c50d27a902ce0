"""Every form of data gives the same examples, and what cannot be read is named and counted."""

import bz2
import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from mainstem.core import InputError
from mainstem.scan import Batch, Batching, source, survey
from mainstem.scan._reader import Reader
from scan import toy

TEXTS = [*toy.texts(40), "naïve 水", "the sea", "the sea"]


class Streamed:
    """Rows that can only be gone through from their beginning, like a streamed dataset."""

    def __iter__(self):
        return ({"text": text, "other": 1} for text in TEXTS)


def jsonl(path: Path) -> Path:
    path.write_text("".join(json.dumps({"text": text, "n": 1}) + "\n" for text in TEXTS), encoding="utf-8")
    return path


def lines(path: Path) -> Path:
    path.write_text("\n".join(TEXTS), encoding="utf-8")
    return path


def parquet(path: Path) -> Path:
    pyarrow.parquet.write_table(pyarrow.table({"text": TEXTS, "n": range(len(TEXTS))}), path, row_group_size=7)
    return path


def packed(path: Path, how=gzip) -> Path:
    path.write_bytes(how.compress(("\n".join(TEXTS) + "\n").encode()))
    return path


def parts(folder: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("\n".join(TEXTS[:20]), encoding="utf-8")
    (folder / "deep" / "b.txt").write_text("\n\n".join(TEXTS[20:]) + "\n", encoding="utf-8")
    (folder / "c.csv").write_text("no, data", encoding="utf-8")
    (folder / ".hidden.txt").write_text("no data", encoding="utf-8")
    return folder


def documents(folder: Path) -> Path:
    folder.mkdir()
    for i, text in enumerate(TEXTS):
        (folder / f"{i:03d}.txt").write_text(text, encoding="utf-8")
    return folder


FORMS = {
    "list": lambda f: (TEXTS,),
    "rows": lambda f: ([{"text": t} for t in TEXTS],),
    "column": lambda f: ([{"a": "x", "b": t} for t in TEXTS], "b"),
    "streamed": lambda f: (Streamed(),),
    "lines": lambda f: (lines(f / "a.txt"),),
    "folder": lambda f: (parts(f / "folder"),),
    "documents": lambda f: (documents(f / "folder"), None, "document"),
    "json": lambda f: (str(jsonl(f / "a.jsonl")),),
    "parquet": lambda f: (parquet(f / "a.parquet"),),
    "files": lambda f: ([parquet(f / "a.parquet")],),
    "gzip": lambda f: (packed(f / "a.txt.gz"),),
    "bzip2": lambda f: (packed(f / "a.txt.bz2", bz2),),
}


def examples(found, pieces=None):
    reader = Reader(found)
    return [e for p in pieces or found.pieces for e in reader.examples(p)]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_examples(tmp_path, form):
    found = survey(source(*FORMS[form](tmp_path)), 300)
    read = examples(found)
    assert [e.value for e in read] == TEXTS
    assert [e.content for e in read] == [e.content for e in examples(survey(source(TEXTS)))]
    assert found.about["examples"] == len(TEXTS)
    assert len({e.content for e in read}) == len(TEXTS)  # equal texts have ids of their own
    assert read[-1].content.split(".")[0] == read[-2].content.split(".")[0]
    back = [e.value for p in reversed(found.pieces) for e in Reader(found).examples(p)]
    assert sorted(back) == sorted(TEXTS)
    assert [e.value for e in examples(found, found.pieces[1::2])] == [
        e.value for p in found.pieces[1::2] for e in examples(found, [p])
    ]


def test_where_files_lie_does_not_matter_and_what_is_in_them_does(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    one, other = survey(source(lines(tmp_path / "one" / "a.txt"))), survey(source(lines(tmp_path / "other" / "b.txt")))
    assert one.about == other.about
    (tmp_path / "other" / "b.txt").write_text("\n".join(reversed(TEXTS)), encoding="utf-8")
    assert survey(source(tmp_path / "other")).about["sha256"] != one.about["sha256"]


BAD = [
    b'{"text": "the sea"}',
    b"{",
    b'{"other": 1}',
    b'{"text": null}',
    b"",
    b'{"text": "\xff"}',
    b'{"text": "\\ud800"}',
    b'{"text": 3}',
    b"[]",
]
SAID = [
    "a.jsonl:2: not JSON",
    "a.jsonl:3: no column 'text' (it has other)",
    "a.jsonl:4: no value",
    "a.jsonl:6: not UTF-8",
    "a.jsonl:7: half",
]


def test_unreadable_rows_stop_the_run_before_it_starts_and_are_all_named(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(BAD))
    with pytest.raises(InputError) as refused:
        survey(source(tmp_path))
    for said in ("7 of 9 rows cannot be read", *SAID, "and 2 more", "unreadable='skip'"):
        assert said in str(refused.value)
    found = survey(source(tmp_path), unreadable="skip")
    assert [place for place, _ in found.faults()] == [f"a.jsonl:{i}" for i in (2, 3, 4, 6, 7, 8, 9)]
    assert (found.about["examples"], found.about["unreadable"], found.about["rows"]) == (1, 7, 9)


def test_skipped_rows_change_no_number_of_the_others(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*BAD, b'{"text": "where no boat"}']))
    found = survey(source(tmp_path / "a.jsonl"), unreadable="skip")
    toy.scan(toy.job(), found, tmp_path / "skipped")
    toy.scanned(tmp_path / "clean", ["the sea", "where no boat"])
    one, other = toy.result(tmp_path / "skipped"), toy.result(tmp_path / "clean")
    assert one.states["moment", "L0"]["sum"].equal(other.states["moment", "L0"]["sum"])
    assert (one.counts["unreadable"], one.counts["tokens"]) == (7, other.counts["tokens"])


def test_what_the_tokenizer_refuses_is_named_counted_and_skipped_or_stops(tmp_path):
    data = ["the sea", "the ocean", " ".join(["sea"] * 9), "no boat"]
    whole = toy.job(batching=Batching(8, lambda text: [[toy.WORDS.index(w) for w in text.split()]]))
    with pytest.raises(InputError, match="row 1: cannot be tokenised: 'ocean' is not in list"):
        toy.scanned(tmp_path / "stopped", data[:2], whole)
    with pytest.raises(InputError, match="a window of 9 tokens, more than batch_tokens=8"):
        toy.scanned(tmp_path / "stopped2", data[2:], whole)
    summary = toy.scanned(tmp_path / "run", data, whole, unreadable="skip")
    found = toy.result(tmp_path / "run")
    assert (summary.examples, summary.tokens) == (4, 4)
    assert found.counts == {"pieces": 1, "examples": 2, "tokens": 4, "unreadable": 2}
    assert {place for place, _ in found.faults} == {"row 1", "row 2"}


def test_broken_files_are_named(tmp_path):
    packed(tmp_path / "a.txt.gz").write_bytes((tmp_path / "a.txt.gz").read_bytes()[:-40])
    parquet(tmp_path / "b.parquet").write_bytes((tmp_path / "b.parquet").read_bytes()[:-9])
    for name in ("a.txt.gz", "b.parquet"):
        with pytest.raises(InputError, match=rf"{name}:\d+: .*cannot be read"):
            survey(source(tmp_path / name))


def test_a_broken_row_group_is_one_fault_and_the_others_are_read(tmp_path):
    path = parquet(tmp_path / "b.parquet")
    group = pyarrow.parquet.ParquetFile(path).metadata.row_group(2).column(0)
    data = bytearray(path.read_bytes())
    at = group.dictionary_page_offset or group.data_page_offset
    data[at : at + 20] = b"\xff" * 20
    path.write_bytes(data)
    found = survey(source(path), unreadable="skip")
    assert [e.value for e in examples(found)] == TEXTS[:14] + TEXTS[21:]
    ((place, why),) = found.faults()
    assert place == "b.parquet:14" and why.startswith("7 rows of row group 2 cannot be read")


def test_data_that_change_under_the_run_stop_it(tmp_path):
    lines(tmp_path / "a.txt")
    found = survey(source(tmp_path / "a.txt"), 300)
    (tmp_path / "a.txt").write_text("\n".join([*TEXTS[:30], "another", *TEXTS[31:]]), encoding="utf-8")
    with pytest.raises(InputError, match="a.txt:31 is not what it was at first"):
        examples(found)
    (tmp_path / "a.txt").write_text("\n".join(TEXTS[:30]), encoding="utf-8")
    with pytest.raises(InputError, match="end at row 30; they had 43"):
        examples(found)


def pictures(folder: Path) -> Path:
    (folder / "cat").mkdir(parents=True)
    for i in range(5):
        Image.new("RGB", (2, 3), (i * 50, 0, 9)).save(folder / "cat" / f"{i}.png")
    return folder


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.copy()


def show(batch: Batch):
    x = torch.tensor(np.stack([np.asarray(image) for image in batch.images])).flatten(1, 2).double()
    yield "pixels", x, torch.ones(x.shape[:2], dtype=torch.bool)


def test_images_from_folders_and_from_datasets(tmp_path):
    folder = pictures(tmp_path / "images")
    held = [opened(p) for p in sorted(folder.rglob("*.png"))]
    stored = [{"image": {"bytes": p.read_bytes(), "path": None}, "label": 1} for p in sorted(folder.rglob("*.png"))]
    for i, data in enumerate((folder, held, stored, [{"image": image} for image in held])):
        work = toy.Job(lambda: show, Batching(2), toy.MEASURES)
        toy.scan(work, survey(source(data)), tmp_path / f"run{i}")
        found = toy.merge(tmp_path / f"run{i}", toy.MEASURES)
        assert found.counts["tokens"] == 5
        numbers = found.numbers()["moment", "pixels"]
        assert numbers["tokens"] == 30
        assert numbers["mean"].tolist() == [sum((k * 50) ** 2 for k in range(5)) / 5, 0, 81]
        assert numbers["ids"] == sum((n << 24) + p for n in range(5) for p in range(6))


def test_an_image_that_is_cut_off_is_named(tmp_path):
    folder = pictures(tmp_path / "images")
    bad = folder / "cat" / "2.png"
    bad.write_bytes(bad.read_bytes()[:40] + struct.pack(">I", 0))
    work = toy.Job(lambda: show, Batching(2), toy.MEASURES)
    with pytest.raises(InputError, match="cat/2.png: no image"):
        toy.scan(work, survey(source(folder)), tmp_path / "run")
    toy.scan(work, survey(source(folder)), tmp_path / "run", unreadable="skip")
    assert toy.merge(tmp_path / "run", toy.MEASURES).counts == {"pieces": 1, "examples": 4, "tokens": 4, "unreadable": 1}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ((t for t in TEXTS), "more than once"),
        (3, "cannot read data from an int"),
        ("no/such/file.txt", "there is no file or folder no/such/file.txt"),
        ([{"a": "x", "b": "y"}], "which column is to be read? There are a, b"),
        ([], "there is nothing to scan"),
        (["", "  "], "there is nothing to scan in these data: 2 rows"),
    ],
)
def test_what_cannot_be_read_says_so(data, says):
    with pytest.raises(InputError) as refused:
        survey(source(data))
    assert says in str(refused.value)


def test_folders_of_two_kinds_and_of_none_and_wrong_columns_are_refused(tmp_path):
    with pytest.raises(InputError, match="none of 0 files"):
        source(tmp_path)
    lines(tmp_path / "a.txt")
    parquet(tmp_path / "b.parquet")
    with pytest.raises(InputError, match="parquet and text lie side by side"):
        source(tmp_path)
    with pytest.raises(InputError, match="b.parquet has no column 'c'; it has text, n"):
        survey(source(tmp_path / "b.parquet", "c"))
    with pytest.raises(InputError, match="by line or by document"):
        source(tmp_path / "a.txt", by="page")


def test_the_estimate_of_tokens_is_of_texts_taken_evenly(tmp_path):
    data = toy.texts(2000, seed=3)
    known = sum(len(text.split()) for text in data)
    found = survey(source(data))
    assert len(found.sample) == 64
    assert abs(found.tokens(toy.tokenize) / known - 1) < 0.1


def test_datasets_of_hugging_face_plain_and_streamed(tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed: pip install datasets")
    known = survey(source(TEXTS), 300)
    for form in (datasets.Dataset.from_dict({"text": TEXTS}), datasets.Dataset.from_dict({"text": TEXTS}).to_iterable_dataset()):
        found = survey(source(form), 300)
        assert found.about == known.about
        assert [e.value for e in examples(found)] == TEXTS
