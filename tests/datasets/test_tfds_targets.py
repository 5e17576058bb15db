"""Data sets of TFDS with numbers to predict, several labels, or rows of a table."""

import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds
from helpers import tfds_sets
from helpers.packed import pack

import kerascale as ks
from kerascale.datasets import other_data, reading
from kerascale.datasets.packed import manifest
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.errors import RefusedError

TRAIN, TEST = tfds_sets.houses(), tfds_sets.houses(40, seed=1)
FORMATS = ("tfrecord", "array_record")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Houses in both formats of files, as the user of `TFDS_DATA_DIR` has them."""
    folder = tmp_path_factory.mktemp("tfds")
    for file_format in FORMATS:
        tfds_sets.store(
            folder,
            f"houses_{file_format}",
            tfds_sets.HOUSES,
            file_format=file_format,
            supervised=("features", "price"),
            train=TRAIN,
            test=TEST,
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(folder))
        yield folder


def made(dataset="tfds:houses_tfrecord", **fields):
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(dataset=dataset, units=(4,), execution="loop", **fields)
    return recipe.make_datasets(config)


def rows_of(datasets, split):
    batches = getattr(datasets, split).for_evaluation()
    return np.concatenate([np.asarray(x) for x, _ in batches.dataset()])


def labels_of(datasets, split):
    batches = getattr(datasets, split).for_evaluation()
    return np.concatenate([np.asarray(y) for _, y in batches.dataset()])


LABELS = [
    ({}, "regression", ("price",), lambda e: [e["price"]]),
    ({"label": "price,rent"}, "regression", ("price", "rent"), None),
    ({"label": "place"}, "regression", ("place_0", "place_1"), lambda e: e["place"]),
    (
        {"label": "tags"},
        "multilabel",
        ("a", "b", "c"),
        lambda e: [i in e["tags"] for i in range(3)],
    ),
    ({"label": "kind"}, "binary", (), lambda e: e["kind"]),
    ({"label": "grade"}, "classification", (), lambda e: e["grade"]),
    ({"label": "grade", "task": "ordinal"}, "ordinal", (), lambda e: e["grade"]),
    ({"label": "grade", "task": "regression"}, "regression", ("grade",), None),
    ({"label": "tax"}, "regression", ("tax",), lambda e: e["tax"]),
]


# Each form of labels in one format of files, the last of them in the other, too.
CASES = [(*case, FORMATS[i % 2]) for i, case in enumerate([*LABELS, LABELS[3]])]


@pytest.mark.parametrize(("fields", "task", "names", "expected", "file_format"), CASES)
def test_labels(data_dir, fields, task, names, expected, file_format):
    columns = ("features/area", "noise")
    found = made(f"tfds:houses_{file_format}", columns=columns, **fields)
    assert (found.info.task, found.info.target_names) == (task, names)
    assert found.info.num_examples == {"train": 82, "validation": 14, "test": 40}
    assert found.info.feature_names == columns
    if expected is None:
        expected = lambda e: [e[name] for name in names]  # noqa: E731
    own = np.array([expected(example) for example in TEST], "float32")
    np.testing.assert_array_equal(labels_of(found, "test"), own)


def _cell(value):
    if isinstance(value, np.float32):
        return "" if np.isnan(value) else str(value).removesuffix(".0")
    return value


def _as_csv(examples, path):
    rows = [
        {
            **{f"features/{k}": _cell(v) for k, v in example["features"].items()},
            "price": example["price"],
        }
        for example in examples
    ]
    frame = pd.DataFrame(rows)
    colours = np.array([*tfds_sets.COLOURS, ""])
    frame["features/colour"] = colours[frame["features/colour"]]
    frame[sorted(frame)].to_csv(path, index=False)


def test_a_table_is_read_as_its_file_would_be(data_dir, tmp_path, capsys):
    _as_csv(TRAIN, tmp_path / "train.csv")
    _as_csv(TEST, tmp_path / "test.csv")
    csv = made(
        f"csv:{tmp_path}/train.csv", label="price", test_data=f"{tmp_path}/test.csv"
    )
    told = set(capsys.readouterr().err.splitlines())
    for file_format in FORMATS:
        found = made(f"tfds:houses_{file_format}")
        assert found.info.kind == "table"
        assert found.info.fingerprint == csv.info.fingerprint
        assert found.columns == csv.columns
        assert told <= set(capsys.readouterr().err.splitlines())


def test_a_run_on_a_table_is_evaluated_on_other_data(data_dir, tmp_path):
    """On a data set of TFDS, and on a file with the columns of one."""
    _as_csv(TEST, tmp_path / "test.csv")
    datasets = made()
    fields = {"label": "price", "dataset": "tfds:houses_tfrecord"}
    for name in ("tfds:houses_array_record", f"csv:{tmp_path}/test.csv"):
        other = other_data.read_like(
            name, datasets.info, fields, vectorizer=datasets.vectorizer
        )
        found = [np.asarray(x) for x, _ in other.dataset()]
        own = [np.asarray(x) for x, _ in datasets.test.for_evaluation().dataset()]
        np.testing.assert_array_equal(np.concatenate(found), np.concatenate(own))
    with pytest.raises(RefusedError, match=r"expected 1 targets|expected the labels"):
        other_data.read_like(
            "tfds:houses_tfrecord",
            datasets.info,
            fields,
            vectorizer=datasets.vectorizer,
            label="price,rent",
        )


@pytest.mark.parametrize("label", ["price,rent", "tags", "grade"])
def test_packed_labels_are_those_in_memory(data_dir, tmp_path, label):
    columns = ("features/area", "features/rooms", "noise")
    pack(
        "tfds:houses_array_record",
        tmp_path / "made",
        csv_options=CsvOptions(columns=columns),
        label=label,
    )
    packed = made(f"packed:{tmp_path}/made")
    memory = made("tfds:houses_array_record", columns=columns, label=label)
    assert packed.info.task == memory.info.task
    assert packed.info.target_names == memory.info.target_names
    assert manifest.load(tmp_path / "made").feature_names == memory.info.feature_names
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(
            labels_of(packed, split), labels_of(memory, split)
        )


REFUSED = [
    (
        {"label": "pric"},
        r"label: expected .* among .*'pric'\. Did you mean price",
    ),
    ({"label": "price,"}, r"label: expected features among .*Received: ''"),
    (
        {"label": "features/heating", "task": "regression"},
        r"'features/heating' holds words",
    ),
    ({"label": "kind", "task": "regression"}, r"the labels, 'kind', are classes"),
    ({"label": "tags", "task": "binary"}, r"'tags' holds any of several classes"),
    (
        {"label": "price,rent", "task": "binary"},
        r"'price', 'rent' are several",
    ),
    (
        {"label": "price,tags"},
        r"label: expected classes, words or .*tags: Seq",
    ),
    ({"label": "features/age"}, r"Received: 10 of 96 without one \(-1, NaN"),
    (
        {"columns": ("price",)},
        r"--columns: expected features\. Received: 'price'",
    ),
    ({"drop_columns": ("x",)}, r"--drop-columns: expected features among .*'x'"),
    (
        {"columns": ("noise", "tags")},
        r"noise: Tensor, tags: Sequence\. Choose",
    ),
    ({"separator": ";"}, r"separator: expected only with csv: data"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_what_cannot_be_read_is_refused(data_dir, fields, message):
    with pytest.raises(RefusedError, match=message):
        made(**fields)


def test_a_packed_table_is_encoded_as_in_memory(data_dir, tmp_path, capsys):
    """Whether TFDS has it, or a file."""
    _as_csv(TRAIN, tmp_path / "train.csv")
    memory = made()
    fields = {"label": "price", "dataset": "tfds:houses_tfrecord"}
    for source, label, given in (
        ("tfds:houses_tfrecord", None, ("train", "test")),
        (f"csv:{tmp_path}/train.csv", "price", ("train",)),
    ):
        folder = tmp_path / source[:4].strip(":")
        capsys.readouterr()
        held = pack(source, folder, label=label)
        assert (
            "features/colour   category  3 different values, 9 gaps"
            in capsys.readouterr().err
        )
        assert (held.kind, held.given_splits) == ("table", given)
        packed = made(f"packed:{folder}")
        expected = memory if label is None else made(source, label=label)
        assert packed.columns == expected.columns
        assert packed.info.columns == expected.info.columns
        assert packed.examples.keys() == expected.examples.keys()
        for name, cells in packed.examples.items():
            assert (cells.numpy() == expected.examples[name].numpy()).all()
        found = packed.vectorizer.get_vocabulary()
        assert found == expected.vectorizer.get_vocabulary()
        for split in ("train", "validation", "test"):
            np.testing.assert_array_equal(
                rows_of(packed, split), rows_of(expected, split)
            )
            found, own = labels_of(packed, split), labels_of(expected, split)
            np.testing.assert_array_equal(found, own)
        message = r"validation_fraction: expected 0\.15, with which"
        with pytest.raises(RefusedError, match=message):
            made(f"packed:{folder}", validation_fraction=0.3)
    # Of the same rows as the run; of others the categories may be different.
    other = other_data.read_like(
        f"packed:{tmp_path}/tfds", memory.info, fields, vectorizer=memory.vectorizer
    )
    found = np.concatenate([np.asarray(x) for x, _ in other.dataset()])
    np.testing.assert_array_equal(found, rows_of(memory, "test"))
    fewer = made(columns=("features/colour", "features/area"))
    with pytest.raises(RefusedError, match=r"rows as the run's training encoded them"):
        other_data.read_like(
            f"packed:{tmp_path}/tfds", fewer.info, fields, vectorizer=fewer.vectorizer
        )


def test_pictures_and_texts_have_targets(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    random = np.random.default_rng(0)
    rows = [
        {
            "image": random.integers(0, 256, (4, 4, 1), dtype=np.uint8),
            "caption": f"it is {i}",
            "attributes": {"old": bool(i % 2), "tall": bool(i % 3)},
            "age": np.float32(i / 4),
        }
        for i in range(30)
    ]
    features = {
        "image": tfds.features.Image(shape=(4, 4, 1)),
        "caption": tfds.features.Text(),
        "attributes": {"old": np.bool_, "tall": np.bool_},
        "age": np.float32,
    }
    unknown = {**rows[0], "age": np.float32(np.nan)}
    tfds_sets.store(tmp_path, "faces", features, train=rows, test=[unknown])
    raw = reading.read("tfds:faces", label="age", task="auto")
    assert (raw.kind, raw.task, raw.target_names) == ("image", "regression", ("age",))
    assert raw.train.labels[:, 0].tolist() == [row["age"] for row in rows]
    assert (raw.train.features[3] == rows[3]["image"]).all()
    assert raw.test is None
    said = capsys.readouterr().err
    assert "the test split is not used: 1 of its 1 examples have no label" in said
    assert "not read: 'attributes/old', 'attributes/tall', 'caption'" in said
    # A dictionary of features is all of them.
    raw = reading.read("tfds:faces", label="attributes", task="auto")
    assert (raw.task, raw.target_names) == (
        "multilabel",
        ("attributes/old", "attributes/tall"),
    )
    assert raw.train.labels.tolist() == [[i % 2, bool(i % 3)] for i in range(30)]
    pack("tfds:faces", tmp_path / "made", label="age")
    packed = manifest.load(tmp_path / "made")
    assert (packed.kind, packed.task) == ("image", "regression")
    assert packed.counts["train"] == 21
