"""A table of several files, and one that is read in parts, is the table in memory."""

import gzip
import json
import re

import hypothesis
import numpy as np
import pytest
from helpers import rows
from hypothesis import strategies as st

import kerascale as ks
from kerascale.datasets import memory
from kerascale.datasets.packed.sources import (
    SourceOptions,
    open_source,
    whole_tables,
)
from kerascale.datasets.sources import csv_blocks, label_codes, table_files
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.errors import RefusedError

HEADER = "a,b,y\n"
PARTS = {
    "part-2.csv": "1,2,cat\n3,4,dog\n",
    "part-10.csv": "5,6,emu\n7,8,cat\n9,10,dog\n",
    "part-1.csv": "0,.5,emu\n",
}


@pytest.fixture
def parts(tmp_path):
    for name, content in PARTS.items():
        (tmp_path / name).write_text(HEADER + content)
    return tmp_path


def read(name, **options):
    return ks.datasets.read(name, label="y", **options)


def streamed(name, **options):
    return open_source(name, SourceOptions(label="y", **options))


def test_a_folder_and_a_pattern_are_read_in_the_order_in_which_people_count(parts):
    (parts / "notes.txt").write_text("no table")
    expected = [[0, 0.5], [1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    for name in (f"csv:{parts}", f"csv:{parts}/part-*.csv", f"csv:{parts}/*.csv"):
        raw = read(name)
        assert raw.name == name
        assert raw.train.features.tolist() == expected
        assert raw.train.labels.tolist() == [2, 0, 1, 2, 0, 1]
        source = streamed(name)
        assert (source.name, source.kind, source.encoding) == (name, "vector", None)
        rows.assert_equal(source, raw)
        rows.assert_goes_on(source, raw)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_identity_of_a_source_changes_with_its_files(parts, suffix):
    path = parts / f"table.csv{suffix}"
    pack = gzip.compress if suffix else bytes
    path.write_bytes(pack(b"a,y\n1,p\n2,q\n"))
    source = streamed(f"csv:{path}")
    before = source.identity()
    assert json.loads(json.dumps(before)) == before
    assert source.num_bytes == path.stat().st_size
    *_, last = source.read({})
    assert last.bytes_read == source.num_bytes
    path.write_bytes(pack(b"a,y\n1,p\n2,q\n3,q\n"))
    assert source.identity() != before


def test_all_files_have_the_same_columns(parts):
    (parts / "part-3.csv").write_text("b,a,y\n1,2,cat\n")
    (parts / "part-4.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RefusedError, match="2 problems") as caught:
        read(f"csv:{parts}")
    assert caught.value.problems == [
        f"{parts}/part-{number}.csv: expected the columns of {parts}/part-1.csv: 'a', "
        f"'b', 'y'. Received: {columns}. Give all files the same columns."
        for number, columns in ((3, "'b', 'a', 'y'"), (4, "'a', 'b'"))
    ]


def test_faults_are_named_with_their_files(parts):
    (parts / "part-3.csv").write_text("a,b,y\n1,x,cat\n2,3\n")
    (parts / "part-4.csv").write_text("a,b,y\n1,2,\n")
    for load in (
        lambda: read(f"csv:{parts}"),
        lambda: list(streamed(f"csv:{parts}").read({})),
    ):
        with pytest.raises(RefusedError, match="3 problems") as caught:
            load()
        found = [re.sub(r"\. Received.*", "", p) for p in caught.value.problems]
        assert found == [
            f"{parts}/part-3.csv, line 2, column 'b': expected a number",
            f"{parts}/part-3.csv, line 3: expected 3 cells ('a', 'b', 'y')",
            f"{parts}/part-4.csv, line 2, column 'y': expected a label",
        ]
    for path in parts.iterdir():
        path.write_text("a,b,y\nu,1,cat\n")
    some = f"'a' \\(5 cells, such as 'u' on line 2 of {parts}/part-1"
    with pytest.raises(RefusedError, match=some):
        read(f"csv:{parts}")


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("", r"a folder without any \(.csv, .csv.gz, .tsv, .tsv.gz\). Check the path"),
        ("/*.csv", "a pattern that no file has"),
        ("/none.csv", "which does not exist"),
    ],
)
def test_where_there_is_no_table(tmp_path, path, match):
    with pytest.raises(RefusedError, match=f"Expected a CSV file.*{match}"):
        read(f"csv:{tmp_path}{path}")


def test_as_people_count(tmp_path):
    names = [f"x{n}.csv" for n in (1, 2, 9, 10, 11, 100)]
    for name in names:
        (tmp_path / name).touch()
    found = table_files.find(str(tmp_path), (".csv",), "a CSV file")
    assert [path.rsplit("/")[-1] for path in found] == names


cells = st.sampled_from(["1", "2.5", "-4e2", "0.1", "9" * 25, "7"])
texts = st.sampled_from(["u", 'q"q', "a,b", "l1\nl2", "l1\r\nl2", "é" * 40, "5", '""'])
labels = st.sampled_from(["cat", "dog", " cat", "1"])


@hypothesis.given(
    st.one_of(
        st.lists(st.tuples(cells, cells, labels), min_size=2, max_size=12),
        st.lists(st.tuples(texts, labels), min_size=2, max_size=12),
    ),
    st.integers(1, 60),
    st.booleans(),
)
@hypothesis.settings(max_examples=30, deadline=None)
def test_wherever_a_block_ends(tmp_path_factory, content, size, gzipped):
    folder = tmp_path_factory.getbasetemp() / "blocks"
    folder.mkdir(exist_ok=True)
    path = folder / ("table.csv.gz" if gzipped else "table.csv")
    header = "a,b,y" if len(content[0]) == 3 else "a,y"
    quoted = [
        ",".join('"' + c.replace('"', '""') + '"' for c in row) for row in content
    ]
    data = "\n".join([header, *quoted]).encode()
    path.write_bytes(gzip.compress(data) if gzipped else data)
    try:
        raw = read(f"csv:{path}")
    except RefusedError as error:
        raw = str(error)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_blocks, "BLOCK_BYTES", size)
        try:
            source = streamed(f"csv:{path}")
            _, states = rows.collected(source)
            source.facts()
        except RefusedError as error:
            assert str(error) == raw  # noqa: PT017
            return
        rows.assert_equal(source, raw)
        state = states[len(states) // 2]
        count = sum(count for _, count in state["labels"]["train"])
        rows.assert_equal(source, raw, state=state, before={"train": count})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_ends_a_line(tmp_path, monkeypatch, end):
    path = tmp_path / "table.csv"
    path.write_bytes("a,y\n1,p\n\n2,q\n3,p".replace("\n", end).encode())
    for size in (1, 3, 4, 9):
        monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", size)
        raw = read(f"csv:{path}")
        assert raw.train.features.tolist() == [[1], [2], [3]]
        rows.assert_goes_on(streamed(f"csv:{path}"), raw)


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        (["1", "0", "True"], "column 'a': expected a number. Received: 'True'"),
        (["1", "0", "x"], "column 'a': expected a number. Received: 'x'"),
        (["1", "0", "1e39"], "expected a finite number in the range of float32"),
        (["1", "0", ""], "Received: nothing"),
        (["1,1,p\n1", "1,2,3", "1"], "expected 3 cells"),
    ],
)
def test_what_comes_late_is_found_as_in_one_piece(
    tmp_path, monkeypatch, column, problem
):
    path = tmp_path / "table.csv"
    path.write_text("a,b,y\n" + "".join(f"{cell},1,p\n4,2,q\n" for cell in column))
    with pytest.raises(RefusedError) as whole:
        read(f"csv:{path}")
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 4)
    monkeypatch.setattr(whole_tables, "SMALL_BYTES", 0)
    with pytest.raises(RefusedError, match=problem) as caught:
        list(streamed(f"csv:{path}").read({}))
    assert str(caught.value) == str(whole.value)


def test_test_examples_of_another_table(tmp_path, monkeypatch):
    (tmp_path / "train.csv").write_text("a,n,b,y\n1,x,2,cat\n3,x,4,dog\n5,x,6,emu\n")
    (tmp_path / "test.csv").write_text("y,b,a\n emu,20,10\ncat,2,1\n")
    options = {
        "csv_options": CsvOptions(drop_columns=("n",)),
        "test_data": f"{tmp_path}/test.csv",
    }
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 6)
    name = f"csv:{tmp_path}/train.csv"
    raw, source = read(name, **options), streamed(name, **options)
    assert source.given_splits == ("train", "test")
    rows.assert_goes_on(source, raw)
    (tmp_path / "test.csv").write_text("y,b,a\nowl,20,10\n")
    with pytest.raises(RefusedError, match=r"'emu', as .*Received: 'owl', in 1 exam"):
        read(name, **options)
    source = streamed(name, **options)
    list(source.read({}))
    with pytest.raises(RefusedError, match=r"'emu', as .*Received: 'owl', in 1 exam"):
        source.facts()
    (tmp_path / "test.csv").write_text("y,b,a\ncat,20,u\ncat,1,1\ncat,1,1\n")
    with pytest.raises(RefusedError, match="line 2, column 'a': expected a number"):
        list(streamed(name, **options).read({}))


def test_labels_that_are_too_many_to_be_classes(tmp_path, monkeypatch):
    monkeypatch.setattr(label_codes, "MOST_LABELS", 30)
    path = tmp_path / "table.csv"
    path.write_text("a,y\n" + "".join(f"{i},n{i}\n" for i in range(40)))
    with pytest.raises(RefusedError, match=r"more than .* distinct labels in column"):
        read(f"csv:{path}")


def test_memory_of_a_streamed_table_does_not_grow(tmp_path):
    """In one part there are never more rows than in some blocks."""
    path = tmp_path / "table.csv"
    count = 200_000
    table = np.arange(count)
    path.write_text("a,y\n" + "".join(f"{i},{i % 3}\n" for i in table))
    sizes = [len(part.features) for part in streamed(f"csv:{path}").read({})]
    assert sum(sizes) == count
    assert max(sizes) < csv_blocks.BLOCK_BYTES / 7


@pytest.mark.parametrize("kind", ["vector", "text"])
def test_a_table_that_will_not_fit_is_refused_while_it_is_read(
    tmp_path, monkeypatch, kind
):
    cell = "word" if kind == "text" else "1"
    path = tmp_path / "table.csv"
    path.write_text("a,y\n" + f"{cell},p\n{cell},q\n" * 20_000)
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 1000)
    needed = {"vector": 12, "text": 70}[kind] * 40_000
    monkeypatch.setattr(memory, "_LITTLE_BYTES", needed)
    monkeypatch.setattr(memory, "available_bytes", lambda: needed)
    assert len(read(f"csv:{path}").train) == 40_000
    monkeypatch.setattr(memory, "available_bytes", lambda: needed // 2)
    with pytest.raises(RefusedError, match="expected data that fits in memory"):
        read(f"csv:{path}")
