"""Tables as they are: what columns are taken for, and what a model sees of them."""

import datetime
import json

import numpy as np
import pytest

import kerascale as ks
from kerascale.datasets.tables import column as columns
from kerascale.datasets.tables import fitting, inference, told
from kerascale.errors import RefusedError


def looked(said=None, **cells):
    rows = np.array(list(zip(*cells.values(), strict=True)), dtype=object)
    found = inference.look(rows, list(cells), said or {})
    return {each.column.name: each for each in found}


def kinds(**cells):
    return {name: each.column.kind for name, each in looked(**cells).items()}


def table(tmp_path, text, name="table.csv", **fields):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    config = ks.load_recipe("mlp").Config(dataset=f"csv:{path}", **fields)
    return ks.load_recipe("mlp").make_datasets(config)


def people(rows=120):
    random = np.random.default_rng(0)
    lines = ["number,age,job,active,joined,remarks,bought"]
    words = ["asks", "often", "about", "prices", "never", "calls", "twice", "again"]
    for i in range(rows):
        age = "" if i % 7 == 0 else random.integers(18, 90)
        job = random.choice(["clerk", "nurse", "cook", ""])
        lines.append(
            f"{i},{age},{job},{random.choice(['True', 'False'])},2020-{i % 12 + 1:02d}-"
            f"{i % 28 + 1:02d},{' '.join(random.permutation(words)[:5])},"
            f"{random.choice(['no', 'yes'])}"
        )
    return "\n".join(lines) + "\n"


def test_columns_are_taken_for_what_they_hold():
    rows = 60
    found = looked(
        size=[f"{i / 7:.3f}" for i in range(rows)],
        gaps=[
            "" if i % 5 == 0 else ("NA" if i % 5 == 1 else str(i * i % 17))
            for i in range(rows)
        ],
        city=[["Bonn", "Köln", ""][i % 3] for i in range(rows)],
        flag=[["True", "false", ""][i % 3] for i in range(rows)],
        day=[f"2020-02-{i % 28 + 1:02d}" for i in range(rows)],
        german=[f"{i % 28 + 1:02d}.11.2021 08:15" for i in range(rows)],
        remark=[f"it was number {i} that came" for i in range(rows)],
        code=[f"x{i:04d}" for i in range(rows)],
        row=[str(i + 100) for i in range(rows)],
        country=["DE"] * rows,
    )
    kinds = {name: each.column.kind for name, each in found.items()}
    assert kinds == {
        "size": "number",
        "gaps": "number",
        "city": "category",
        "flag": "boolean",
        "day": "date",
        "german": "date",
        "remark": "text",
        "code": "ignored",
        "row": "ignored",
        "country": "ignored",
    }
    assert "always 'DE'" in found["country"].note
    assert "60 different values" in found["code"].note
    assert "counts the rows" in found["row"].note
    assert found["german"].column.order == "dmy"


def test_a_word_among_numbers_is_no_category():
    found = looked(age=["1", "2", "3", "4", "x", "6"])["age"]
    assert found.strange == ("x",)


def test_a_date_whose_month_could_be_the_day_is_said():
    assert "day first" in looked(day=["01/02/2020", "03/04/2020"])["day"].note
    assert looked(day=["01/20/2020", "03/04/2020"])["day"].column.order == "mdy"
    # No day of the calendar: words.
    assert kinds(day=["30.02.2020", "31.02.2020"])["day"] == "category"


def test_names_of_inputs_are_those_that_an_export_can_have():
    names = ["class", "Klasse/Ä", "a b", "A_B", "1st", "a b"]
    found = columns.input_names(names)
    assert found == ["class_", "Klasse", "a_b", "A_B_2", "column_1st", "a_b_3"]


def test_what_the_owner_says_decides(tmp_path):
    file = tmp_path / "columns.toml"
    file.write_text('[columns]\nzip = "category"\n[columns.age]\ngaps = ["unknown"]\n')
    said = told.read(str(file), ["zip", "age"])
    found = looked(said, zip=["1", "2", "3"], age=["1", "unknown", "3"])
    assert found["zip"].column.kind == "category"
    assert found["age"].column.kind == "number"
    assert not found["age"].strange


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"columns": {"ages": "number"}}', "Received: 'ages'. Did you mean age"),
        ('{"columns": {"age": "float"}}', "type: expected 'number'.*Received: 'float'"),
        ('{"columns": {"age": {"kind": 1}}}', "Received: 'kind'"),
        ('{"columns": {"age": {"gaps": "x"}}}', "gaps: expected a list of texts"),
        ("[1]", "expected a file such as"),
        ("{}", "which has no columns"),
    ],
)
def test_a_wrong_file_of_columns_is_refused(tmp_path, content, message):
    file = tmp_path / "columns.json"
    file.write_text(content)
    with pytest.raises(RefusedError, match=message):
        told.read(str(file), ["age"])


def encoded(column, cells):
    rows = np.array([[cell] for cell in cells], dtype=object)
    (fitted,), layer = fitting.fit([column], rows, [column.name])
    return fitted, layer


def test_dates_are_the_days_of_the_calendar():
    days = [datetime.date(1899, 12, 31), datetime.date(2000, 2, 29)]
    days += [datetime.date(2023, month, 17) for month in range(1, 13)]
    column = columns.Column("day", "date", input_name="day", order="dmy")
    cells = [f"{d.day}.{d.month:02d}.{d.year} 6:00" for d in days] + ["", "NA"]
    _, layer = encoded(column, cells)
    found = layer.encode(np.array([[c] for c in cells], dtype=object), ["day"])
    epoch = datetime.date(1970, 1, 1)
    expected = [(d - epoch).days + 0.25 for d in days]
    np.testing.assert_array_equal(found[:-2, 0], np.array(expected, np.float32))
    np.testing.assert_array_equal(found[:-2, 1], [d.weekday() for d in days])
    np.testing.assert_allclose(found[:-2, 3], 0.25)
    assert np.isnan(found[-2:]).all()


def test_gaps_and_unknown_values_have_a_place_of_their_own():
    column = columns.Column("city", "category", input_name="city")
    cells = ["Bonn"] * 6 + ["Kiel"] * 3 + [""] + ["Ulm"]
    fitted, layer = encoded(column, cells)
    assert fitted.values == ("Bonn", "Kiel")
    features = fitting.features_of([fitted.to_json()], as_sequence=False)
    rows = np.array([["Bonn"], [""], ["Ulm"], ["Oslo"]], dtype=object)
    found = np.asarray(features(layer.encode(rows, ["city"])))
    # Gap, rare, Bonn, Kiel: each row stands in one place, and a rare one is unknown.
    assert found.argmax(axis=1).tolist() == [2, 0, 1, 1]
    train = np.array([[cell] for cell in cells], dtype=object)
    mean = np.asarray(features(layer.encode(train, ["city"]))).mean(axis=0)
    np.testing.assert_allclose(mean, 0, atol=1e-6)


def test_what_never_occurred_in_training():
    column = columns.Column("city", "category", input_name="city")
    fitted, layer = encoded(column, ["Bonn"] * 5 + ["Kiel"] * 5)
    features = fitting.features_of([fitted.to_json()], as_sequence=False)
    rows = np.array([[""], ["Oslo"]], dtype=object)
    np.testing.assert_array_equal(features(layer.encode(rows, ["city"])), 0)
    number = columns.Column("age", "number", input_name="age")
    fitted, layer = encoded(number, ["1", "2", "4"])
    features = fitting.features_of([fitted.to_json()], as_sequence=False)
    gap = layer.encode(np.array([["?"]], dtype=object), ["age"])
    np.testing.assert_array_equal(features(gap), 0)


def test_statistics_are_those_of_the_training_rows(tmp_path):
    found = table(tmp_path, people(), label="bought")
    by_name = {each["name"]: each for each in found.columns}
    train = np.concatenate([x for x, _ in found.train.for_evaluation().dataset()])
    ages = train[:, 0]
    assert by_name["age"]["mean"] == pytest.approx(np.nanmean(ages), rel=1e-6)
    # Other rows do not move them.
    more = people().rstrip().split("\n")
    test = tmp_path / "test.csv"
    test.write_text(
        "\n".join([more[0], *(f"0,9999,{m.split(',', 2)[2]}" for m in more[1:])])
    )
    again = table(tmp_path, people(), label="bought", test_data=str(test))
    ages = np.concatenate([x for x, _ in again.test.dataset()])[:, 0]
    assert (ages == 9999).all()
    by_name = {each["name"]: each for each in again.columns}
    assert by_name["age"]["edges"][-1] < 100


def test_columns_are_kept_and_said(tmp_path, capfd):
    found = table(tmp_path, people(), label="bought")
    kinds = {each["name"]: each["kind"] for each in found.info.columns}
    assert kinds == {
        "number": "ignored",
        "age": "number",
        "job": "category",
        "active": "boolean",
        "joined": "date",
        "remarks": "text",
    }
    said = capfd.readouterr().err
    assert "job      category  3 different values" in said
    assert "note: column 'number': an id: it counts the rows; left out" in said
    assert "task: binary, as column 'bought' has 2 classes" in said
    json.dumps(found.info.to_json())


def test_a_column_that_equals_the_label_is_warned_of(tmp_path, capfd):
    lines = people().rstrip().split("\n")
    leak = {"no": "rejected", "yes": "accepted", "bought": "decision"}
    text = "\n".join(f"{line},{leak[line.rsplit(',', 1)[1]]}" for line in lines)
    table(tmp_path, text, label="bought")
    said = capfd.readouterr().err
    assert "warning: column 'decision' equals the label 'bought'" in said
    assert said.count("warning:") == 1


def test_numbers_alone_are_read_as_ever(tmp_path):
    text = "a,b,y\n" + "".join(f"{i}.5,{i % 3},{i % 2}\n" for i in range(40))
    found = table(tmp_path, text, label="y")
    assert found.info.kind == "vector"
    assert found.vectorizer is None
    x = np.concatenate([x for x, _ in found.train.for_evaluation().dataset()])
    assert x.shape[1] == 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,x,2", "expected 3 cells.*Received: 3|column 'a'"),
        ("1", "expected 3 cells"),
        ("1,2,3,4", "expected 3 cells"),
    ],
)
def test_wrong_rows_are_refused_by_line(tmp_path, row, message):
    text = "a,b,y\n" + "".join(f"{i},u,{i % 2}\n" for i in range(30)) + row + "\n"
    if row == "1,x,2":
        text = "a,b,y\n" + "".join(f"{i},u,{i}.5\n" for i in range(30)) + "w,u,1.5\n"
        message = "column 'a'.*words among numbers, such as 'w'"
    with pytest.raises(RefusedError, match=message):
        table(tmp_path, text, label="y")


def test_a_row_without_a_label_is_refused(tmp_path):
    text = "a,b,y\n" + "".join(f"{i},u,{i}.5\n" for i in range(30)) + "3,v,\n"
    with pytest.raises(RefusedError, match=r"column 'y'.*nothing in row 30"):
        table(tmp_path, text, label="y")


def test_of_a_large_table_the_first_rows_are_looked_at(tmp_path, monkeypatch):
    from kerascale.datasets.sources import csv_blocks
    from kerascale.datasets.tables import loading

    monkeypatch.setattr(loading, "_SMALL_BYTES", 0)
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 400)
    plain = "a,b,y\n" + "".join(f"{i}.5,{i % 7},{i % 2}\n" for i in range(300))
    assert table(tmp_path, plain, label="y").info.kind == "vector"
    # A gap that comes later.
    found = table(tmp_path, plain + "1,,0\n", label="y")
    assert found.info.kind == "table"
    assert table(tmp_path, people(300), label="bought").info.kind == "table"
    with pytest.raises(RefusedError, match=r"line 302, column 'b'.*'x'"):
        table(tmp_path, plain + "1,x,0\n", label="y")
