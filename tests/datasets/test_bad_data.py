"""Data that cannot be trained on: refused by name before a step (rows 10 to 14)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks

_SHORT = ("--epochs", 1, "--units", 4)


def _train(command, dataset, *arguments):
    """What `train` says to a data set that it must refuse."""
    return command.refused("train", "mlp", "--dataset", dataset, *arguments, *_SHORT)


# Row 10 ---------------------------------------------------------------------------


def _example(**values):
    features = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        for name, value in values.items()
    }
    features = tf.train.Features(feature=features)
    return tf.train.Example(features=features).SerializeToString()


_RECORDS = [_example(x=[i, i * i % 7, 3], label=[i % 2]) for i in range(100)]
_RECORD_BYTES = 16 + len(_RECORDS[0])


def _write(folder, records, name="train.tfrecord"):
    path = folder / name
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


def _flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def _damage(path, kind):
    content = path.read_bytes()
    if kind == "a flipped bit":
        _flip(path, 40 * _RECORD_BYTES + 20)
    elif kind == "a flipped bit in a length":
        _flip(path, 40 * _RECORD_BYTES + 1)
    elif kind == "truncated":
        path.write_bytes(content[: 40 * _RECORD_BYTES + 20])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "garbage":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif kind == "a missing feature":
        _write(path.parent, [*_RECORDS[:40], _example(label=[1]), *_RECORDS[40:]])
    elif kind == "another length":
        wrong = _example(x=[1, 2], label=[1])
        _write(path.parent, [*_RECORDS[:40], wrong, *_RECORDS[40:]])


@pytest.mark.fault(10, "a damaged TFRecord file", "file and record named; exit 2")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("a flipped bit", "record 41: its checksum does not match its content"),
        ("a flipped bit in a length", "record 41: the checksum of its length does not"),
        ("truncated", "record 41: expected a record of"),
        ("empty", "expected records. Received: an empty file"),
        ("garbage", "record 1: expected a TFRecord file. Received: one that begins"),
        ("a missing feature", "record 41: expected 'x': int64[3], as"),
        ("another length", "record 41: expected 'x': int64[3], as"),
    ],
)
def test_a_damaged_tfrecord_file(command, seen, kind, message):
    path = _write(command.folder, _RECORDS)
    _damage(path, kind)
    text = _train(command, f"tfrecord:{path}")
    assert str(path) in text
    assert message in text
    seen(f"{kind}: exit 2")


@pytest.mark.fault(
    10, "damaged records, skipped up to a share", "the count said; above it exit 2"
)
def test_skipping_damaged_records(command, seen):
    path = _write(command.folder, _RECORDS)
    _damage(path, "a flipped bit")
    _flip(path, 70 * _RECORD_BYTES + 20)
    skip = ("--skip-damaged-share", 0.02)
    answer = command("train", "mlp", "--dataset", f"tfrecord:{path}", *skip, *_SHORT)
    assert answer.code == 0, answer.text
    assert f"{path}: skipped 2 of 100 records (record 41: its checksum" in answer.text
    _flip(path, 80 * _RECORD_BYTES + 20)
    text = _train(command, f"tfrecord:{path}", *skip)
    assert "Received: 3 of 100, which is 0.03" in text
    assert all(f"record {number}" in text for number in (41, 71, 81))
    seen("2 of 100 skipped and said; 3 of 100: exit 2")


# Row 11 ---------------------------------------------------------------------------

_ROWS = [f"{i},{i % 7},{'no' if i % 2 else 'yes'}" for i in range(40)]


@pytest.mark.fault(11, "a damaged CSV file", "file, line and column named; exit 2")
@pytest.mark.parametrize(
    ("kind", "header", "row", "messages"),
    [
        ("a missing column", "a,b,kind", "1,2,no", ["'name'", "'a', 'b', 'kind'"]),
        ("a string", "a,b,name", "1,two,no", ["line 12", "'b'", "'two'"]),
        ("a short row", "a,b,name", "1,2", ["line 12", "3 cells", "2"]),
        ("infinity", "a,b,name", "inf,2,no", ["line 12", "'a'", "'inf'"]),
        ("a row without a label", "a,b,name", "1,2,", ["line 12", "'name'"]),
    ],
)
def test_a_damaged_csv_file(command, seen, kind, header, row, messages):
    path = command.folder / "table.csv"
    path.write_text("\n".join([header, *_ROWS[:10], row, *_ROWS[10:]]) + "\n")
    text = _train(command, f"csv:{path}", "--label", "name")
    for message in [str(path), *messages]:
        assert message in text
    seen(f"{kind}: exit 2")


# Row 12 ---------------------------------------------------------------------------


@pytest.mark.fault(12, "label = num_classes, or -1", "value and range named; exit 2")
@pytest.mark.parametrize("label", [3, -1])
@pytest.mark.parametrize("source", ["npz", "csv", "tfrecord"])
def test_a_label_out_of_range(command, seen, source, label):
    labels = np.arange(40) % 3
    labels[20] = label
    path = command.folder / f"data.{source}"
    if source == "npz":
        np.savez(path, x=np.zeros((40, 4)), y=labels)
        place = "y[20]: "
    elif source == "csv":
        rows = [f"{i},{label}" for i, label in enumerate(labels)]
        path.write_text("\n".join(["a,name", *rows]))
        place = "line 22, column 'name': "
    else:
        _write(
            path.parent,
            [_example(x=[i, 1], label=[label]) for i, label in enumerate(labels)],
            path.name,
        )
        place = "record 21: "
    arguments = ["--label", "name"] if source == "csv" else []
    text = _train(command, f"{source}:{path}", "--num-classes", 3, *arguments)
    assert str(path) in text
    assert f"{place}expected a label in 0..2. Received: {label}" in text
    seen(f"{label} in {source}: exit 2")


# Row 13 ---------------------------------------------------------------------------


@pytest.mark.fault(13, "empty data", "exit 2")
@pytest.mark.parametrize(
    "kind", ["csv", "csv without rows", "npz", "images", "tfrecord", "text"]
)
def test_empty_data(command, seen, kind):
    source = kind.split()[0]
    path = command.folder / f"empty.{source}"
    if source == "npz":
        np.savez(path, x=np.zeros((0, 4)), y=np.zeros(0, "int64"))
    elif source in ("images", "tfrecord"):
        path.mkdir()
    else:
        path.write_text("a,name\n" if "rows" in kind else "")
    recipe = "language_model" if source == "text" else "mlp"
    label = ["--label", "name"] if source == "csv" else []
    text = command.refused("train", recipe, "--dataset", f"{source}:{path}", *label)
    assert str(path) in text
    assert "Received: " in text
    seen(f"{kind}: exit 2")


@pytest.fixture
def model():
    """A compiled model that takes what `_batches` gives."""
    model = ks.scale(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    model.compile("sgd", "mse")
    return model


def _batches():
    arrays = np.zeros((40, 4), "float32"), np.zeros((40, 2), "float32")
    return tf.data.Dataset.from_tensor_slices(arrays).batch(10)


@pytest.mark.fault(13, "more steps asked than data", "refused before the first step")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps_per_epoch": 5}, "steps_per_epoch: expected at most 4"),
        (
            {"steps_per_epoch": 3, "epochs": 2},
            "Received: 3 of 4 batches in each of 2 epochs, with which one would have 1",
        ),
        (
            {"validation_data": _batches(), "validation_steps": 5},
            "validation_steps: expected at most 4",
        ),
    ],
)
def test_more_steps_than_data(model, seen, arguments, message):
    with pytest.raises(ks.RefusedError, match=message):
        model.fit(_batches(), **arguments, verbose=0)
    assert int(model.optimizer.iterations) == 0
    with pytest.raises(ks.RefusedError, match="steps: expected at most 4"):
        model.evaluate(_batches(), steps=5, verbose=0)
    seen("RefusedError")


@pytest.mark.fault(
    13, "more steps asked than data of unknown length", "an error where it ends"
)
def test_data_of_unknown_length_that_ends_too_early(model, seen):
    data = _batches().filter(lambda x, y: True)
    with pytest.raises(RuntimeError, match=r"as many batches as steps.*Received: few"):
        model.fit(data, steps_per_epoch=5, verbose=0)
    before = int(model.optimizer.iterations)
    model.fit(data, epochs=2, verbose=0)  # What there is, and no more was asked for.
    assert int(model.optimizer.iterations) - before == 8
    seen("RuntimeError after the last batch")


@pytest.mark.fault(13, "as many steps as there is data", "trained")
def test_as_many_steps_as_data(model, seen):
    model.fit(_batches(), steps_per_epoch=4, epochs=2, verbose=0)
    model.fit(_batches(), steps_per_epoch=2, epochs=3, verbose=0)
    model.fit(_batches(), steps_per_epoch=3, epochs=1, verbose=0)
    model.fit(_batches().repeat(), steps_per_epoch=5, epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == 8 + 6 + 3 + 10
    seen("every step done")


# Row 14 ---------------------------------------------------------------------------


def _picture(shape=(6, 8, 3)):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return tf.io.encode_png(pixels).numpy()


@pytest.mark.fault(14, "a damaged or odd image", "the file named; exit 2")
@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("truncated", _picture()[:-30], "a damaged or truncated file"),
        ("no image", b"hello", "a file that is no JPEG, PNG, GIF, BMP or WebP"),
        ("empty", b"", "an empty file"),
        ("another size", _picture((6, 9, 3)), "expected height and width (6, 8)"),
    ],
)
def test_a_damaged_image(command, seen, kind, content, message):
    for name in ("cat", "dog"):
        (command.folder / "images" / name).mkdir(parents=True)
        for i in range(4):
            (command.folder / "images" / name / f"{i}.png").write_bytes(_picture())
    odd = command.folder / "images" / "dog" / "odd.png"
    odd.write_bytes(content)
    text = _train(command, f"images:{command.folder / 'images'}")
    assert f"{odd}: " in text
    assert message in text
    seen(f"{kind}: exit 2")
