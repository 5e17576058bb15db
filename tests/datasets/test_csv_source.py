"""A CSV file becomes the numbers that are in it, or a message that leads to them."""

import bz2
import csv
import gzip
import lzma
import re

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

import kerascale as ks
from kerascale.datasets.sources import tables
from kerascale.datasets.sources.csv_diagnosis import diagnose
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.datasets.sources.csv_rows import read_rows
from kerascale.datasets.sources.csv_source import (
    load_csv,
    read_features,
)
from kerascale.errors import RefusedError

GOOD = "a,b,y\n1,2,cat\n3,4,dog\n5,6,cat\n"

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("csv")


def write(folder, content: str, name: str = "table.csv") -> str:
    path = folder / name
    path.write_bytes(content.encode())
    return str(path)


def refusal(path: str, label: str | None = "y", num_classes=None) -> RefusedError:
    with pytest.raises(RefusedError, match=re.escape(path)) as caught:
        load_csv(path, label, num_classes)
    return caught.value


def test_numbers_and_names(tmp_path):
    path = write(tmp_path, GOOD)
    data = load_csv(path, "y")
    assert (data.kind, data.name) == ("vector", f"csv:{path}")
    assert data.class_names == ("cat", "dog")
    assert data.feature_names == ("a", "b")
    assert data.train.features.dtype == np.float32
    np.testing.assert_array_equal(data.train.features, [[1, 2], [3, 4], [5, 6]])
    assert data.train.labels.dtype == np.int64
    np.testing.assert_array_equal(data.train.labels, [0, 1, 0])


def test_one_column_of_text(tmp_path):
    path = write(tmp_path, 'y,review\n1,"good, very\ngood"\n0,NA\n1, spaced\n')
    data = load_csv(path, "y")
    assert (data.kind, data.feature_names) == ("text", ("review",))
    assert data.train.features.tolist() == ["good, very\ngood", "NA", " spaced"]
    assert all(type(text) is str for text in data.train.features)


@pytest.mark.parametrize(
    ("labels", "num_classes", "class_names", "indices"),
    [
        (["10", "9", "10"], None, ("9", "10"), [1, 0, 1]),
        (["1.0", "0", "2e0"], None, ("0", "1", "2"), [1, 0, 2]),
        (["True", "False", "True"], None, ("False", "True"), [1, 0, 1]),
        ([" b", "a ", "b"], None, ("a", "b"), [1, 0, 1]),
        (["NA", "None", "NA"], None, ("NA", "None"), [0, 1, 0]),
        (["3", "x", "y"], None, ("3", "x", "y"), [0, 1, 2]),
        (["-1", "1", "1"], None, ("-1", "1"), [0, 1, 1]),
        (
            ["9007199254740993", "9007199254740992", "9007199254740993"],
            None,
            ("9007199254740992", "9007199254740993"),
            [1, 0, 1],
        ),
        (["2", "0", "2"], 4, ("0", "1", "2", "3"), [2, 0, 2]),
    ],
)
def test_labels(tmp_path, labels, num_classes, class_names, indices):
    rows = "".join(f"{i},{label}\n" for i, label in enumerate(labels))
    data = load_csv(write(tmp_path, f"x,y\n{rows}"), "y", num_classes)
    assert data.class_names == class_names
    assert data.train.labels.tolist() == indices


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD + "\n\n",
        GOOD.replace("a,b,y", '"a", b ,y'),
        GOOD.replace("1,2", ' 1," 2 "'),
        GOOD.replace("1,2", "+1,.2e1"),
    ],
)
def test_the_same_table_in_other_clothes(tmp_path, content):
    data = load_csv(write(tmp_path, content), "y")
    assert data.feature_names == ("a", "b")
    np.testing.assert_array_equal(data.train.features, [[1, 2], [3, 4], [5, 6]])


def test_booleans_and_large_integers_are_numbers(tmp_path):
    path = write(tmp_path, f"a,b,y\nTrue,{10**30},0\nFalse,1,1\n")
    features = load_csv(path, "y").train.features
    np.testing.assert_array_equal(features, np.float32([[1, 1e30], [0, 1]]))


def test_integers_that_float32_does_not_tell_apart_are_said(tmp_path, capfd):
    rows = "".join(f"{2**24 + i},{i},{i % 2}\n" for i in range(6))
    path = write(tmp_path, f"id,a,y\n{rows}")
    load_csv(path, "y")
    said = capfd.readouterr().err
    assert (
        "column 'id': features are float32, in which the 6 different integers" in said
    )
    assert "of 6 rows become 3. Leave it out if it is an id: --drop-columns id" in said
    load_csv(path, "y", options=CsvOptions(drop_columns=("id",)))
    assert not capfd.readouterr().err


@hypothesis.given(st.lists(st.tuples(finite, finite), min_size=2, max_size=20))
@hypothesis.settings(max_examples=50, deadline=None)
def test_float32_values_come_back_exactly(folder, rows):
    values = np.array(rows, dtype=np.float32)
    frame = pd.DataFrame(values, columns=["a", "b"])
    frame["y"] = np.arange(len(rows)) % 2
    path = str(folder / "values.csv")
    frame.to_csv(path, index=False)
    np.testing.assert_array_equal(load_csv(path, "y").train.features, values)


@hypothesis.given(st.lists(texts, min_size=2, max_size=8))
@hypothesis.settings(max_examples=50, deadline=None)
def test_texts_come_back_exactly(folder, rows):
    # No word for a number, such as INFINITY, and not empty.
    rows = [f"{text}w" for text in rows]
    path = str(folder / "texts.csv")
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([("text", "y"), *((t, i % 2) for i, t in enumerate(rows))])
    assert load_csv(path, "y").train.features.tolist() == rows


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=80, deadline=None)
def test_one_bad_cell_is_named_exactly(folder, data):
    """Among rows that take several lines, too: the line is the cell's own."""
    num_rows = data.draw(st.integers(3, 8))
    bad_row = data.draw(st.integers(0, num_rows - 1))
    bad_column = data.draw(st.sampled_from(["a", "b"]))
    bad = data.draw(st.sampled_from(["", "oops", "nan", "-inf", "1e39", "1_0", "1;5"]))
    newline = data.draw(st.sampled_from(["\n", "\r\n"]))
    rows, line, expected = [], 2, 0
    for i in range(num_rows):
        breaks = data.draw(st.integers(0, 2))
        cells = {"a": str(i), "note": "x" + newline * breaks, "b": f"{i}.5"}
        if i == bad_row:
            cells[bad_column] = bad
            expected = line + (breaks if bad_column == "b" else 0)
        rows.append([cells["a"], cells["note"], cells["b"]])
        line += 1 + breaks
        if data.draw(st.booleans()):
            rows.append([])
            line += 1
    path = str(folder / "bad.csv")
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator=newline).writerows([["a", "note", "b"], *rows])
    with pytest.raises(RefusedError, match=r"expected a (finite )?number") as caught:
        read_features(path, "vector", ["b", "a"])
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}, line {expected}, column {bad_column!r}:")
    assert f"Received: {bad!r}" in problem if bad else "Received: nothing" in problem


cells = st.sampled_from(
    [
        *(
            "1",
            "2.5",
            "+4",
            "5.",
            " 5 ",
            "9" * 25,
            "1e400",
            "nan",
            "inf",
            "True",
            "false",
        ),
        *("", " ", "\t", "x", "1 2", "1_0", "0x1", "\u0661"),
        *("a,b", 'q"q', "l1\nl2"),
    ]
)


@hypothesis.given(
    st.integers(1, 3).flatmap(
        lambda width: st.lists(
            st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=5
        )
    ),
    st.sampled_from([None, 3]),
)
@hypothesis.settings(max_examples=150, deadline=None)
def test_the_fast_and_the_slow_reader_agree(folder, rows, num_classes):
    """What pandas does not give, the slow reader can explain; never a shrug."""
    path = str(folder / "any.csv")
    names = ["a", "b", "c"][: len(rows[0])]
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([names, *rows])
    for read in (
        lambda: load_csv(path, names[-1], num_classes).train.features,
        lambda: read_features(path, "vector", names[:1])[0],
        lambda: read_features(path, "text", names[:1])[0],
    ):
        try:
            features = read()
        except RefusedError as error:
            assert "not found" not in str(error)  # noqa: PT017
            continue
        assert len(features) == len(rows)
        if features.dtype == object:
            assert features.tolist() == [row[0] for row in rows]


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        (
            "a,b,y\n1,2,0\n3,4\n5,6,1\n7,8,1,9\n1,1,1\n",
            [
                r"line 3: expected 3 cells \('a', 'b', 'y'\). Received: 2. Fill",
                "line 5: .* Received: 4. Put a text that contains a comma into double",
            ],
        ),
        # pandas would take the first column as an index here.
        ("a,y\n0,1,0\n1,2,1\n", ["line 2: .*Received: 3", "line 3: .*Received: 3"]),
        (
            "a,b,y\n1,2,0\n,,\n3,4,1\n",
            ["line 3: expected values. Received: empty cells only. Remove the line"],
        ),
        (
            "a,y\n1,0\n2,\n3,nan\n4,1\n",
            [
                "line 3, column 'y': expected a label. Received: nothing",
                "line 4, column 'y': expected a label. Received: 'nan'",
            ],
        ),
        (
            "a,y\n1,0\n2,oops\n3,1\n4,1.5\n",
            [
                "line 3, column 'y': expected a whole number, as most.* 'oops'",
                "line 5, column 'y': expected a whole number, as most.* '1.5'",
            ],
        ),
        (
            "a,y\n1,cat\n2,inf\n3,dog\n",
            ["line 3, column 'y': expected the name of a class. Received: 'inf'"],
        ),
        (
            "a,b,y\nTrue,1,0\nFalse,1,1\n,1,1\n",
            ["line 4, column 'a': expected True or False. Received: nothing"],
        ),
        ("text,y\nhello,0\n ,1\n", ["line 3, column 'text': expected text.*' '"]),
        (
            "a,b,y\n1,,0\n2,,1\n",
            ["column 'b': expected values. Received: no value on any line"],
        ),
        (
            "a,colour,b,y\n1,red,x,0\n2,blue,3,1\n4,red,3,0\n",
            [
                "expected numbers in every column, or one column of text and no other."
                r" Received: text in 1 of 3 columns: 'colour' \(3 cells, such as 'red' "
                r"on line 2\).",
                "line 2, column 'b': expected a number. Received: 'x'",
            ],
        ),
        (
            "a,y\n1,3.7\n2,1\n3,2.5\n",
            [
                "column 'y': expected classes as labels.*such as '3.7' on line 2. "
                "Pass --task regression, or sort"
            ],
        ),
        ("a,y\n1,0\n2,1\nnan,1\n4,0\n", ["line 4, column 'a': expected a finite"]),
        ('a,y\n1,0\n"2,1\n3,1\n', ["line 3: expected cells that are quoted"]),
        ('a,y\n1,0\n"2"x,1\n,1\n', ["line 3: expected cells that are quoted"]),
    ],
)
def test_every_fault_with_its_place(tmp_path, content, problems):
    error = refusal(write(tmp_path, content))
    assert len(error.problems) == len(problems)
    for problem, expected in zip(error.problems, problems, strict=True):
        assert re.search(expected, problem), problem
        assert problem.endswith((".", "starts there."))


def test_labels_outside_num_classes(tmp_path):
    path = write(tmp_path, "a,y\n1,0\n2,3\n3,-1\n4,2\n5,cat\n6,0.5\n")
    error = refusal(path, num_classes=3)
    assert [p.split(". ")[:2] for p in error.problems] == [
        [
            f"{path}, line {line}, column 'y': expected a label in 0..2",
            f"Received: {cell}",
        ]
        for line, cell in [(3, "3"), (4, "-1"), (6, "cat"), (7, "0.5")]
    ]
    with pytest.raises(
        RefusedError, match=r"at least 2 classes. Received: num_classes"
    ):
        load_csv(path, "y", 1)
    with pytest.raises(RefusedError, match="whole number of classes"):
        load_csv(path, "y", 2.5)


def prices(count=120, step=900):
    rows = "".join(f"{i},{100_000 + i * 7 % count * step}.0\n" for i in range(count))
    return f"rooms,price\n{rows}"


def test_a_value_to_predict_is_no_class(tmp_path):
    path = write(tmp_path, prices())
    (problem,) = refusal(path, "price").problems
    assert problem == (
        f"{path}, column 'price': expected classes as labels, each of several "
        "examples. Received: 120 distinct whole numbers in 120 rows, which look like "
        "a value to predict. Pass --task regression, which packed data and recipes for "
        "classes alone do not have, or sort the values into a few classes. If they are "
        "classes, write them as names, or count them from 0 and pass --num-classes N."
    )
    # A fault elsewhere is named beside it.
    write(tmp_path, prices() + "x,3\n")
    assert len(refusal(path, "price").problems) == 2
    # Few rows for each value, and gaps between the values.
    write(tmp_path, "rooms,price\n" + prices().split("\n", 1)[1] * 5)
    assert "120 distinct whole numbers in 600 rows" in str(refusal(path, "price"))


@pytest.mark.parametrize("sign", [";", "tab", "|", "space", "\t"])
def test_separators(tmp_path, sign):
    options = CsvOptions(separator=sign)
    other = GOOD.replace(",", {"tab": "\t", "space": " "}.get(sign, sign))
    data = load_csv(write(tmp_path, other), "y", options=options)
    assert data.train.features.tolist() == [[1, 2], [3, 4], [5, 6]]
    bad = write(tmp_path, other.replace("4", "x"))
    with pytest.raises(RefusedError, match="line 3, column 'b': expected a number"):
        load_csv(bad, "y", options=options)
    with pytest.raises(RefusedError, match=r"separated by '.*'. Received: 'a,b,y'. P"):
        load_csv(write(tmp_path, GOOD), "y", options=options)


@pytest.mark.parametrize("sign", ["", ";;", "a", "0", '"', "-"])
def test_what_is_no_separator(sign):
    with pytest.raises(RefusedError, match=r"separator: expected one character"):
        CsvOptions(separator=sign)


def test_columns_are_chosen_and_left_out(tmp_path):
    path = write(tmp_path, "id,a,y,note,b\n7,1,p,x,2\n8,3,q,,4\n9,5,p,z,6\n")

    def read(**options):
        return load_csv(path, "y", options=CsvOptions(**options))

    for options in (
        {"columns": ("b", "a")},
        {"drop_columns": ("note", "id")},
    ):
        data = read(**options)
        assert data.feature_names == ("a", "b")  # In the order of the file.
        assert data.train.features.tolist() == [[1, 2], [3, 4], [5, 6]]
    with pytest.raises(
        RefusedError, match=r"text in 1 of 4 columns.* --columns or --drop-columns"
    ):
        read()
    with pytest.raises(RefusedError, match="4 problems") as caught:
        load_csv(
            path, "z", options=CsvOptions(columns=("c", "a"), drop_columns=("a", "n"))
        )
    assert "Received: 'z', which is not among" in caught.value.problems[0]
    assert "--columns: expected names among 'id'" in caught.value.problems[1]
    assert "--drop-columns: expected names among" in caught.value.problems[2]
    assert "Received: 'a' in both" in caught.value.problems[3]
    with pytest.raises(RefusedError, match=r"--columns: .* 'y', which is the label"):
        read(columns=("y",))
    with pytest.raises(RefusedError, match="a column of features beside the label"):
        read(drop_columns=("id", "a", "note", "b"))


def test_a_short_row_is_found_where_the_last_column_is_left_out(tmp_path):
    path = write(tmp_path, "a,y,note\n1,0,x\n2,1\n3,1,\n")
    with pytest.raises(RefusedError, match="line 3: expected 3 cells"):
        load_csv(path, "y", options=CsvOptions(drop_columns=("note",)))


def test_a_file_of_test_examples(tmp_path):
    train = write(tmp_path, "a,note,b,y\n1,x,2,cat\n3,x,4,dog\n5,x,6,emu\n")
    options = CsvOptions(drop_columns=("note",))
    raw = load_csv(train, "y", options=options)
    test = write(tmp_path, "y,b,a\nemu,20,10\nemu,2,1\n", "test.csv")
    data = ks.datasets.read(
        f"csv:{train}", label="y", csv_options=options, test_data=f"csv:{test}"
    )
    assert data.test.labels.tolist() == [2, 2]
    # By name; the file may have another order.
    assert data.test.features.tolist() == [[10, 20], [1, 2]]
    assert data.train.features.tolist() == raw.train.features.tolist()
    for content, match in (
        ("a,b,y\n1,2,owl\n1,2,cat\n", r"'emu', as .* Received: 'owl', in 1 example\."),
        ("a,y\n1,cat\n", r"expected names among 'a', 'y'. Received: 'b'"),
        ("a,b,y\n1,x,cat\n2,3,cat\n2,3,cat\n", "line 2, column 'b': expected a number"),
        ("a,b\n1,2\n", "expected a label column. Received: 'y'"),
    ):
        write(tmp_path, content, "test.csv")
        with pytest.raises(RefusedError, match=f"test.csv.*{match}"):
            tables.with_test_file(load_csv, raw, test, "y", options=options)


def test_training_with_a_test_file(tmp_path, recipe):
    train = write(tmp_path, "a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    test = write(tmp_path, "a,y\n7,1\n9,1\n", "test.csv")
    config = recipe.Config(dataset=f"csv:{train}", label="y", test_data=test)
    sizes = recipe.make_datasets(config).info.num_examples
    assert sizes == {"train": 34, "validation": 6, "test": 2}
    with pytest.raises(RefusedError, match="test_data: expected only with csv: or"):
        recipe.make_datasets(recipe.Config(test_data=test))


def test_many_classes_are_classes(tmp_path):
    rows = "".join(f"{i},{i % 40}\n" for i in range(120))
    path = write(tmp_path, f"x,y\n{rows}")
    assert len(load_csv(path, "y").class_names) == 40
    write(tmp_path, "x,y\n" + "".join(f"{i},{i}\n" for i in range(30)))
    assert "30 distinct" in str(refusal(path))
    assert len(load_csv(path, "y", 30).class_names) == 30
    write(tmp_path, "x,y\n" + "".join(f"{i},{1000 + i % 19}\n" for i in range(30)))
    assert len(load_csv(path, "y").class_names) == 19


def test_many_faults_of_one_kind_are_told_in_one_line(tmp_path):
    rows = "".join(f"{i},{'x' if i % 2 else i},{i % 3}\n" for i in range(3000))
    path = write(tmp_path, "a,b,y\n" + rows + "1,2\n" * 30 + ",,\n" * 10 + "z,1,1\n")
    assert refusal(path).problems == [
        f"{path}, column 'b': expected a number in each cell. Received: 1,500 other "
        "cells: 'x' on line 3, 'x' on line 5, 'x' on line 7 and so on. Correct or "
        "remove the line, or leave the column out (--drop-columns).",
        f"{path}: expected 3 cells ('a', 'b', 'y') on each line. Received: another "
        "number on 30 lines: 2 on line 3002, 2 on line 3003, 2 on line 3004 and so on. "
        "Fill missing cells, and put a text that contains a comma into double quotes.",
        f"{path}: expected values on each line. Received: empty cells only on 10 "
        "lines: 3032, 3033, 3034 and so on. Remove these lines.",
        f"{path}, line 3042, column 'a': expected a number. Received: 'z'. Correct or "
        "remove the line.",
    ]


def test_twenty_problems_are_listed_and_the_others_counted(tmp_path):
    names = [f"c{i}" for i in range(30)]
    rows = "".join(",".join(["1"] * 30 + [str(i % 2)]) + "\n" for i in range(40))
    bad = ",".join(["x"] * 30 + ["0"]) + "\n"
    error = refusal(write(tmp_path, ",".join([*names, "y"]) + "\n" + rows + bad))
    assert len(error.problems) == 21
    assert "line 42, column 'c0'" in error.problems[0]
    assert error.problems[-1] == "and 10 more"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", r"expected a header line and rows. Received: an empty file \(0 bytes\)"),
        ("\n\n", r"Received: an empty file \(2 bytes\)"),
        ("a,y\n", "expected rows below the header. Received: a header only.*'a', 'y'"),
        ("\na,y\n1,2\n", "line 1: expected the column names. Received: an empty line"),
        ("y\n1\n2\n", "expected a column of features beside the label. Received: 'y'"),
        ("a,y\n1,0\n2,0\n", "expected training examples of at least 2 classes.*: 1"),
        ("a,y,a\n1,0,1\n2,1,1\n", "line 1: expected distinct.* Received: 'a' more"),
        (
            ",a,y\n0,1,0\n1,2,1\n",
            "column 1 of 3. If it is pandas' index, .*index=False",
        ),
        (
            "a;y\n1;0\n2;1\n",
            "names separated by commas. .*'a;y'. Pass --separator ';'",
        ),
        ("a\ty\n1\t0\n", r"separated by commas. .*'a\\ty'. Pass --separator tab"),
    ],
)
def test_no_table(tmp_path, content, match):
    path = write(tmp_path, content)
    with pytest.raises(RefusedError, match=match):
        load_csv(path, "y")
    assert refusal(path)


def test_label_column(tmp_path):
    path = write(tmp_path, "width,species\n1,a\n2,b\n")
    with pytest.raises(
        RefusedError, match=r"columns are 'width', 'species'. Pass --label COLUMN"
    ):
        load_csv(path, None)
    with pytest.raises(RefusedError, match=r"'specie'.*Did you mean species\?"):
        load_csv(path, "specie")
    headless = write(tmp_path, "5.1,3.5,a\n4.9,3.0,b\n")
    with pytest.raises(
        RefusedError, match=r"The first line looks like data.*or pass --no-header\."
    ):
        load_csv(headless, "y")


def test_a_header_of_numbers_is_asked_about(tmp_path):
    path = write(tmp_path, "5,3,1\n4,2,0\n6,1,1\n")
    for label in ("y", None, "1"):
        with pytest.raises(
            RefusedError,
            match=r"line 1: expected the column names. Received: numbers only, '5', "
            r"'3', '1'. If it is a row of data, pass --no-header; .*column_0, column_1 "
            r".*If these are the names, pass --no-header False\.",
        ):
            load_csv(path, label)
    data = load_csv(path, "column_2", options=CsvOptions(no_header=True))
    assert data.feature_names == ("column_0", "column_1")
    assert data.train.features.tolist() == [[5, 3], [4, 2], [6, 1]]
    assert data.class_names == ("0", "1")
    data = load_csv(path, "1", options=CsvOptions(no_header=False))
    assert data.feature_names == ("5", "3")
    assert data.train.features.tolist() == [[4, 2], [6, 1]]


def test_faults_without_a_header(tmp_path):
    options = CsvOptions(no_header=True)
    path = write(tmp_path, "1,2,0\n1,x,1\n3,4\n5,6,0\n")
    with pytest.raises(RefusedError, match="2 problems") as caught:
        load_csv(path, "column_2", options=options)
    assert "line 2, column 'column_1': expected a number" in caught.value.problems[0]
    assert "line 3: expected 3 cells" in caught.value.problems[1]
    with pytest.raises(
        RefusedError, match=r"columns are 'column_0', 'column_1', 'column_2'"
    ):
        load_csv(path, None, options=options)
    with pytest.raises(
        RefusedError,
        match=r"line 1: expected a row of data, as --no-header was passed. Received: "
        r"'a', 'b', 'y', where line 2 has numbers. Leave --no-header out\.",
    ):
        load_csv(write(tmp_path, GOOD), "y", options=options)


def test_features_for_a_prediction_without_a_header(tmp_path):
    options = CsvOptions(no_header=True)
    names = ("column_1", "column_2")
    for content in ("0,1,2\n1,3,4\n", "1,2\n3,4\n"):  # With the label, and without.
        path = write(tmp_path, content)
        features, _ = read_features(path, "vector", names, options)
        assert features.tolist() == [[1, 2], [3, 4]]


def test_path(tmp_path):
    path = write(tmp_path, GOOD, "flowers.csv")
    with pytest.raises(
        RefusedError, match=r"flower.csv', which does not exist.*flowers"
    ):
        load_csv(str(tmp_path / "flower.csv"), "y")
    assert len(load_csv(str(tmp_path), "y").train) == 3
    with pytest.raises(RefusedError, match=r"Received: 'no/such.csv', .*not exist"):
        load_csv("no/such.csv", "y")
    assert load_csv(tmp_path / "flowers.csv", "y").name == f"csv:{path}"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_not_utf8(tmp_path, mark):
    path = tmp_path / "latin.csv"
    rows = b"1,cat\n" * 5000
    path.write_bytes(mark + b"a,y\n" + rows + b"2,caf\xe9\n")
    offset = len(mark) + 4 + len(rows) + 5
    with pytest.raises(
        RefusedError,
        match=f"line 5002: expected UTF-8 text. Received: byte 0xe9 at offset {offset},"
        ".*iconv -f latin-1",
    ):
        load_csv(str(path), "y")
    path.write_bytes("a,y\n1,0\n".encode("utf-16"))
    with pytest.raises(RefusedError, match=r"line 1: .*0xff at offset 0.*-f utf-16"):
        load_csv(str(path), "y")


def test_a_file_that_is_compressed_with_gzip(tmp_path):
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(GOOD.encode()))
    data = load_csv(str(path), "y")
    assert data.train.features.tolist() == [[1, 2], [3, 4], [5, 6]]
    path.write_bytes(gzip.compress(GOOD.replace("3,4", "3,x").encode()))
    assert "line 3, column 'b': expected a number" in str(refusal(str(path)))
    path.write_bytes(gzip.compress(b"a,y\n1,caf\xe9\n"))
    assert "line 2: expected UTF-8 text. Received: byte 0xe9" in str(refusal(str(path)))
    whole = gzip.compress(GOOD.encode() * 100)
    path.write_bytes(whole[:-20])
    assert "whole file, compressed with gzip. Received: one that is damaged" in str(
        refusal(str(path))
    )


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"PAR1\x15\0\x15PAR1", r"an Apache Parquet file. .*pandas.read_parquet\(path"),
        (b"ARROW1\0\0", r"an Arrow \(Feather\) file. .*read_feather"),
        (lzma.compress(b"a,y\n1,0\n"), "compressed with xz. Unpack it with xz -d, or"),
        (bz2.compress(b"a,y\n1,0\n"), "compressed with bzip2. Unpack it with bzip2"),
        (b"\x28\xb5\x2f\xfd\x24\x09", "compressed with zstd. Unpack it with zstd -d"),
        (b"PK\x03\x04\x14", r"a zip archive \(an Excel .* Unpack it, or"),
    ],
)
def test_what_is_no_csv_file_is_named(tmp_path, content, match):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(RefusedError, match=f"Expected a CSV file. Received: .*{match}"):
        load_csv(str(path), "y")
    # Letters that a header may begin with.
    path.write_text("PAR1,y\n1,0\n2,1\n")
    assert load_csv(str(path), "y").feature_names == ("PAR1",)


def test_long_texts_are_read_by_the_slow_reader_too(tmp_path):
    path = write(tmp_path, f"text,y\n{'x' * 200_000},0\n,1\n")
    (problem,) = refusal(path).problems
    assert "line 3, column 'text': expected text" in problem
    assert csv.field_size_limit() == 131_072
    assert [line for line, _ in read_rows(path)] == [1, 2, 3]


def test_features_for_a_prediction(tmp_path):
    path = write(tmp_path, "y,b,id,a\ncat,2,007,1\n,4,,3\n")
    features, frame = read_features(path, "vector", ("a", "b"))
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, [[1, 2], [3, 4]])
    assert list(frame.columns) == ["y", "b", "id", "a"]
    assert frame["id"].tolist() == ["007", ""]
    texts, _ = read_features(path, "text", ("b",))
    assert texts.tolist() == ["2", "4"]


def test_features_that_are_missing_or_wrong(tmp_path):
    path = write(tmp_path, "a,b,colour\n1,2,red\nx,4,blue\n5,6\n")
    with pytest.raises(
        RefusedError, match=r"none named 'aa', 'c'; there are 'a', 'b', 'colour'\."
    ):
        read_features(path, "vector", ("aa", "b", "c"))
    with pytest.raises(RefusedError, match="2 problems") as caught:
        read_features(path, "vector", ("a", "b"))
    assert "line 3, column 'a': expected a number" in caught.value.problems[0]
    assert "line 4: expected 3 cells" in caught.value.problems[1]
    # Only cells that are not looked at are missing; the others may be shifted.
    with pytest.raises(RefusedError, match="line 4: expected 3 cells"):
        read_features(path, "vector", ("b",))
    with pytest.raises(RefusedError, match="trained on image data"):
        read_features(path, "image", ())


def test_an_empty_line_among_texts_is_no_silent_shift(tmp_path):
    path = write(tmp_path, "text\none\n\nthree\n")
    with pytest.raises(RefusedError, match=r"line 3: expected values. Received: empty"):
        read_features(path, "text", ("text",))


def test_nothing_wrong_is_not_refused(tmp_path):
    path = write(tmp_path, GOOD)
    roles = {"a": "feature", "b": "feature", "y": "label"}
    assert diagnose(path, ("a", "b", "y"), roles) is None
