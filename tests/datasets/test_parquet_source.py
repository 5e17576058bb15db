"""A Parquet file is the table that it holds, in memory and in parts."""

import decimal
import re
import types

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import rows

import kerascale as ks
from kerascale.datasets.other_data import read_like
from kerascale.datasets.packed.sources import SourceOptions, open_source
from kerascale.datasets.sources import parquet_files
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.datasets.sources.parquet_source import read_features
from kerascale.errors import RefusedError
from kerascale.serving.batch_prediction import predict


def table(count=23):
    """Columns of all types that there are, and the same as float32."""
    i = np.arange(count)
    columns = {
        "int": pa.array(i * 10**9 + 1, pa.int64()),
        "float": pa.array(i / 3),
        "half": pa.array((i / 4).astype("float16")),
        "true": pa.array(i % 3 == 0),
        "exact": pa.array([decimal.Decimal(int(n)) / 4 for n in i]),
        "few": pa.array([float(n % 2) for n in i]).dictionary_encode(),
        "y": pa.array([["cat", " dog ", "emu"][n % 3] for n in i]),
    }
    values = [i * 10**9 + 1, i / 3, i / 4, i % 3 == 0, i / 4, i % 2]
    return pa.table(columns), np.stack(values, axis=1).astype("float32")


def write(path, columns, **options):
    pq.write_table(pa.table(columns), path, **options)
    return f"parquet:{path}"


def read(name, **options):
    return ks.datasets.read(name, label="y", **options)


def streamed(name, **options):
    return open_source(name, SourceOptions(label="y", **options))


def both(name, **options):
    """In memory; that the stream is the same is asserted."""
    raw = read(name, **options)
    rows.assert_goes_on(streamed(name, **options), raw)
    return raw


def refusal(name, is_streamed=True, **options):
    """In memory; that the stream refuses likewise is asserted.

    Where `is_streamed` is false it takes a table with words and gaps as it is.
    """
    with pytest.raises(RefusedError) as whole:
        read(name, **options)
    if not is_streamed:
        return whole.value
    with pytest.raises(RefusedError) as caught:
        rows.facts(name, label="y", task="classification", **options)
    assert str(caught.value) == str(whole.value)
    return whole.value


@pytest.mark.parametrize("part", [2**16, 5])
def test_numbers_of_all_types(tmp_path, monkeypatch, part):
    monkeypatch.setattr(parquet_files, "_MOST_ROWS", part)
    columns, values = table()
    name = write(tmp_path / "table.parquet", columns, row_group_size=7)
    raw = both(name)
    assert (raw.name, raw.kind, raw.class_names) == (
        name,
        "vector",
        ("cat", "dog", "emu"),
    )
    assert raw.feature_names == ("int", "float", "half", "true", "exact", "few")
    np.testing.assert_array_equal(raw.train.features, values)
    assert raw.train.features.dtype == np.float32
    assert raw.train.labels.tolist() == [n % 3 for n in range(23)]
    source = streamed(name)
    assert source.num_rows == 23
    *_, last = source.read({})
    assert last.bytes_read == source.num_bytes
    options = {"csv_options": CsvOptions(columns=("few", "int"))}
    assert both(name, **options).train.features.tolist() == values[:, [0, 5]].tolist()
    options = {"csv_options": CsvOptions(drop_columns=("int", "float", "few"))}
    assert both(name, **options).feature_names == ("half", "true", "exact")


def test_a_folder_and_a_pattern(tmp_path):
    for number in (10, 2, 1):
        part = {"a": [number, number + 0.5], "y": ["p", "q"]}
        if number == 2:  # The columns are told by name.
            part = {"y": pa.array(["p", "q"]).dictionary_encode(), "a": [2, 3]}
        write(tmp_path / f"part-{number}.parquet", part)
    (tmp_path / "_SUCCESS").touch()
    expected = [[1], [1.5], [2], [3], [10], [10.5]]
    for name in (f"parquet:{tmp_path}", f"parquet:{tmp_path}/part-*.parquet"):
        raw = both(name)
        assert raw.train.features.tolist() == expected
        assert raw.train.labels.tolist() == [0, 1] * 3


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), "dictionary"])
def test_a_column_of_text(tmp_path, type_):
    values = pa.array(["5", "l1\nl2", " é"] * 4)
    encoded = (
        values.dictionary_encode() if type_ == "dictionary" else values.cast(type_)
    )
    name = write(tmp_path / "t.parquet", {"review": encoded, "y": [0, 1, 1] * 4})
    raw = both(name)
    assert (raw.kind, raw.feature_names) == ("text", ("review",))
    assert raw.train.features.tolist() == ["5", "l1\nl2", " é"] * 4
    # Among other columns text has to be written as numbers.
    write(tmp_path / "t.parquet", {"a": ["1", "2.5"], "b": [3, 4], "y": [0, 1]})
    assert both(name).train.features.tolist() == [[1, 3], [2.5, 4]]


@pytest.mark.parametrize(
    ("labels", "class_names", "indices"),
    [
        (pa.array([10, 9, 10]), ("9", "10"), [1, 0, 1]),
        (pa.array([1.0, 0.0, 2.0]), ("0", "1", "2"), [1, 0, 2]),
        (pa.array([True, False, True]), ("False", "True"), [1, 0, 1]),
        (pa.array(["b ", "a", "b"]), ("a", "b"), [1, 0, 1]),
        # A value that does not occur is no class.
        (
            pa.DictionaryArray.from_arrays(pa.array([1, 0, 1]), ["a", "b", "c"]),
            ("a", "b"),
            [1, 0, 1],
        ),
    ],
)
def test_labels(tmp_path, labels, class_names, indices):
    raw = both(write(tmp_path / "t.parquet", {"x": [1, 2, 3], "y": labels}))
    assert raw.class_names == class_names
    assert raw.train.labels.tolist() == indices


def test_the_same_table_as_csv(tmp_path):
    frame = pd.DataFrame({"a": [1.5, -2, 1e-30], "b": [True, False, True]})
    frame["y"] = [3, 1, 3]
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    raw, other = read(f"parquet:{tmp_path}/t.parquet"), read(f"csv:{tmp_path}/t.csv")
    np.testing.assert_array_equal(raw.train.features, other.train.features)
    np.testing.assert_array_equal(raw.train.labels, other.train.labels)
    assert raw.class_names == other.class_names


def test_every_fault_with_its_place(tmp_path):
    path = tmp_path / "t.parquet"
    a = pa.array([1.0, None, float("nan"), 4, 1e39, 6])
    y = pa.array(["p", "q", None, "p", "", "q"])
    error = refusal(write(path, {"a": a, "b": [1] * 6, "y": y}))
    finite = "a finite number in the range of float32"
    assert error.problems == [
        f"{path}, row {row}, column {column!r}: expected {expected}. Received: "
        f"{received}. Correct or remove the row."
        for row, column, expected, received in (
            (1, "a", "a number", "nothing"),
            (2, "a", finite, "'nan'"),
            (2, "y", "a label", "nothing"),
            (4, "a", finite, "'1e+39'"),
            (4, "y", "a label", "nothing"),
        )
    ]
    words = write(path, {"a": [1, 2], "b": ["u", "v"], "y": [0, 1]})
    error = refusal(words, is_streamed=False)
    assert "text in 1 of 2 columns: 'b' (2 cells, such as 'u' on row 0)" in str(error)
    error = refusal(write(path, {"a": ["u", " ", None], "y": [0, 1, 1]}))
    assert [p.split(". ")[0].removeprefix(f"{path}, ") for p in error.problems] == [
        "row 1, column 'a': expected text",
        "row 2, column 'a': expected text",
    ]
    error = refusal(write(path, {"a": range(50), "y": [n * 1000 for n in range(50)]}))
    assert "50 distinct whole numbers in 50 rows, which look like" in str(error)
    error = refusal(write(path, {"a": [1, 2, 3], "y": [0.5, 1.5, 2.25]}))
    assert "fractions, such as '0.5' on row 0" in str(error)
    many = [None if n % 2 else 1.0 for n in range(40)]
    gaps = write(path, {"a": many, "b": [1] * 40, "y": [0, 1] * 20})
    error = refusal(gaps, is_streamed=False)
    assert "column 'a': expected a number in each cell. Received: 20 other" in str(
        error
    )


def test_columns_and_types_that_do_not_fit(tmp_path):
    path = tmp_path / "t.parquet"
    day = pd.Timestamp("2026-01-01")
    name = write(path, {"a": [1, 2], "b": [[1], [2]], "c": [day, day], "y": [0, 1]})
    error = refusal(name)
    assert [p.removeprefix(f"{path}, ") for p in error.problems] == [
        f"column '{column}': expected numbers, True and False, or text. Received: "
        f"values of type {type_}. Convert them, or leave the column out "
        "(--drop-columns)."
        for column, type_ in (("b", "list<element: int64>"), ("c", "timestamp[us]"))
    ]
    options = CsvOptions(drop_columns=("b", "c"))
    assert both(name, csv_options=options).feature_names == ("a",)
    write(path, {"a": [1, 2], "species": [0, 1]})
    with pytest.raises(RefusedError, match=r"'specie', which is not.*mean species\?"):
        ks.datasets.read(name, label="specie")
    with pytest.raises(RefusedError, match="separator: expected only with csv: data"):
        read(name, csv_options=CsvOptions(separator=";"))
    error = refusal(
        write(path, {"a": pa.array([], pa.int64()), "y": pa.array([], "int64")})
    )
    assert "expected rows. Received: none, with the columns 'a', 'y'" in str(error)
    write(tmp_path / "u.parquet", {"a": ["x"], "y": [0]})
    write(tmp_path / "v.parquet", {"c": [1], "y": [0]})
    error = refusal(f"parquet:{tmp_path}")
    assert "u.parquet: expected column 'a' of type int64, as in" in error.problems[0]
    assert "v.parquet: expected the columns of" in error.problems[1]


def test_damaged_files_are_named(tmp_path):
    whole = pa.table({"a": np.arange(5000) * 1.5, "y": np.arange(5000) % 3})
    path = tmp_path / "part-1.parquet"
    for name in ("part-1", "part-2", "part-3"):
        pq.write_table(
            whole,
            tmp_path / f"{name}.parquet",
            write_page_checksum=True,
            compression="none",
        )
    content = path.read_bytes()
    (tmp_path / "part-2.parquet").write_bytes(content[:-100])
    (tmp_path / "part-3.parquet").write_text("a,y\n1,2\n")
    error = refusal(f"parquet:{tmp_path}")
    assert re.search(r"part-2.parquet: .* damaged or truncated", error.problems[0])
    assert re.search(
        r"Expected a Parquet .*part-3.* begins with b'a,y", error.problems[1]
    )
    assert len(error.problems) == 2
    altered = bytearray(content)
    altered[2000] ^= 1
    path.write_bytes(altered)
    error = refusal(f"parquet:{path}")
    assert re.search(r"part-1.parquet: expected a whole Parquet file.*CRC", str(error))
    path.unlink()
    with pytest.raises(RefusedError, match=r"Expected a Parquet file.*does not exist"):
        read(f"parquet:{path}")
    with pytest.raises(RefusedError, match=r"Did you mean parquet:x.parquet\?"):
        ks.datasets.read("x.parquet")


def test_test_examples_of_another_table(tmp_path):
    name = write(
        tmp_path / "a.parquet", {"a": [1, 2], "n": ["x"] * 2, "b": [3, 4], "y": [5, 6]}
    )
    write(tmp_path / "b.parquet", {"y": ["6.0"], "b": [7], "a": [8]})
    raw = both(
        name,
        csv_options=CsvOptions(drop_columns=("n",)),
        test_data=f"parquet:{tmp_path}/b.parquet",
    )
    assert raw.test.features.tolist() == [[8, 7]]
    assert raw.test.labels.tolist() == [1]


def test_features_for_a_prediction(tmp_path):
    path = tmp_path / "t.parquet"
    write(path, {"y": [None, 1], "b": [2, 4], "id": ["7", "8"], "a": [1, 3]})
    features, frame = read_features(path, "vector", ("a", "b"), "y")
    assert features.tolist() == [[1, 2], [3, 4]]
    assert list(frame) == ["y"]
    texts, frame = read_features(path, "text", ("id",), "label")
    assert texts.tolist() == ["7", "8"]
    assert frame.empty
    with pytest.raises(RefusedError, match="none named 'c', 'd'; there are 'y', 'b'"):
        read_features(path, "vector", ("a", "c", "d"))
    with pytest.raises(RefusedError, match=r"row 0: expected values. Received: empty"):
        read_features(path, "vector", ("y",))


def test_training_evaluation_and_prediction(tmp_path, recipe):
    i = np.arange(60)
    columns = {"a": i % 7, "b": i / 60, "y": [f"c{n % 2}" for n in i]}
    name = write(tmp_path / "t.parquet", columns)
    config = recipe.Config(dataset=name, label="y")
    datasets = recipe.make_datasets(config)
    assert datasets.info.num_examples == {"train": 43, "validation": 8, "test": 9}
    run = types.SimpleNamespace(
        info=datasets.info,
        model=recipe.make_model(config, datasets),
        fields={"label": "y", "separator": ";"},
    )
    frame = predict(run, tmp_path / "t.parquet")
    assert frame.attrs["labels"].tolist() == (i % 2).tolist()
    batches = read_like(name, run.info, run.fields)
    np.testing.assert_array_equal(
        np.concatenate([x for x, _ in batches.dataset()]),
        np.float32([columns["a"], columns["b"]]).T,
    )
    with pytest.raises(RefusedError, match=r"expected a .csv, .parquet or .npz file"):
        predict(run, tmp_path / "t.orc")
