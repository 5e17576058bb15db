"""TFRecord files become a data set, or a message that names file and record."""

import gzip
import json
import re
import zlib

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kerascale.datasets.sources.tfrecord_files import Damage, Record, read_records
from kerascale.datasets.sources.tfrecord_source import load_tfrecord
from kerascale.errors import RefusedError


def feature(value):
    if isinstance(value, bytes | str):
        value = value.encode() if isinstance(value, str) else value
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    array = np.asarray(value)
    if array.dtype.kind == "i":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=array.ravel()))
    return tf.train.Feature(float_list=tf.train.FloatList(value=array.ravel()))


def example(**values):
    features = {name.replace("__", "/"): feature(v) for name, v in values.items()}
    features = tf.train.Features(feature=features)
    return tf.train.Example(features=features).SerializeToString()


def write(path, contents, compression=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    options = tf.io.TFRecordOptions(compression_type=compression)
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for content in contents:
            writer.write(content)
    return path


def numbers(count, first=0):
    """Examples with four numbers and a label of 0 or 1, each one of its own."""
    return [
        example(x=np.arange(4) / 8 + i, label=i % 2)
        for i in range(first, first + count)
    ]


def picture(seed, shape=(4, 6, 3)):
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return image, tf.io.encode_png(image).numpy()


def ends(contents):
    """Where each record of a file without compression ends."""
    return np.cumsum([16 + len(content) for content in contents])


def refusal(*arguments, **options):
    with pytest.raises(RefusedError) as caught:
        load_tfrecord(*map(str, arguments), **options)
    return str(caught.value)


# What is read ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "compression"),
    [("a.tfrecord", ""), ("a.tfrecord.gz", "GZIP"), ("a.tfrec.zlib", "ZLIB")],
)
def test_what_tensorflow_writes(tmp_path, name, compression):
    path = write(tmp_path / name, numbers(20), compression)
    data = load_tfrecord(path)
    assert (data.name, data.kind) == (f"tfrecord:{path}", "vector")
    assert data.class_names == ("0", "1")
    expected = np.arange(4, dtype=np.float32) / 8 + np.arange(20)[:, None]
    np.testing.assert_array_equal(data.train.features, expected)
    np.testing.assert_array_equal(data.train.labels, np.arange(20) % 2)
    assert data.validation is None
    assert data.test is None


@pytest.mark.parametrize("name", ["image", "image__encoded"])
def test_images(tmp_path, name):
    pictures = [picture(i) for i in range(6)]
    contents = [
        example(**{name: png, "image__format": "png", "label": i % 2})
        for i, (_, png) in enumerate(pictures)
    ]
    write(tmp_path / "a.tfrecord", contents)
    data = load_tfrecord(tmp_path)
    assert data.kind == "image"
    np.testing.assert_array_equal(data.train.features, [image for image, _ in pictures])
    resized = load_tfrecord(tmp_path, image_size=5)
    assert resized.train.features.shape == (6, 5, 5, 3)


def test_texts(tmp_path):
    words = ["good", "b\u00e4d", "fine", "poor"]
    contents = [example(text=word, label=i % 2) for i, word in enumerate(words)]
    data = load_tfrecord(write(tmp_path / "a.tfrecord", contents))
    assert data.kind == "text"
    assert data.train.features.tolist() == words


def test_several_numbers_stand_in_a_row_by_name(tmp_path, capsys):
    contents = [
        example(b=2.0, a=i, c=[3.0, 4.0], name="x", label=i % 2) for i in range(4)
    ]
    data = load_tfrecord(write(tmp_path / "a.tfrecord", contents))
    assert data.feature_names == ("a", "b", "c[0]", "c[1]")
    np.testing.assert_array_equal(data.train.features[3], [3, 2, 3, 4])
    assert "ignored the features 'name'" in capsys.readouterr().err


def test_a_schema_gives_names_and_shapes(tmp_path):
    contents = [
        example(pixels=np.arange(12) + i, kind=i % 2, more="?") for i in range(4)
    ]
    write(tmp_path / "a.tfrecord", contents)
    schema = {
        "label": "kind",
        "features": {"pixels": {"type": "int64", "shape": [3, 4, 1]}},
        "class_names": ["no", "yes", "maybe"],
        "records": {"a.tfrecord": 4},
    }
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    data = load_tfrecord(tmp_path)
    assert (data.kind, data.class_names) == ("image", ("no", "yes", "maybe"))
    assert data.train.features.dtype == np.uint8
    expected = np.arange(12).reshape(3, 4, 1) + 2
    np.testing.assert_array_equal(data.train.features[2], expected)


def test_splits_by_name_and_files_in_order(tmp_path):
    write(tmp_path / "train-00001-of-00002.tfrecord", numbers(4, first=4))
    write(tmp_path / "train-00000-of-00002.tfrecord", numbers(4))
    write(tmp_path / "validation.tfrecord", numbers(3))
    write(tmp_path / "mine-test.tfrecord-00000-of-00001", numbers(2))
    data = load_tfrecord(tmp_path)
    np.testing.assert_array_equal(data.train.features[:, 0], np.arange(8))
    assert (len(data.validation), len(data.test)) == (3, 2)
    assert len(load_tfrecord(tmp_path / "train-*.tfrecord").train) == 8


# Which files ----------------------------------------------------------------------


def test_files_that_are_not_there(tmp_path):
    assert "does not exist" in refusal(tmp_path / "a.tfrecord")
    assert "where there is none" in refusal(tmp_path)
    assert "where there is none" in refusal(tmp_path / "*.tfrecord")
    write(tmp_path / "test.tfrecord", numbers(4))
    assert "files of test only" in refusal(tmp_path)
    write(tmp_path / "other.tfrecord", numbers(4))
    assert "other.tfrecord: expected a name that begins with" in refusal(tmp_path)
    write(tmp_path / "train-test.tfrecord", numbers(4))
    assert "Received: test and train" in refusal(tmp_path)


def test_a_part_that_is_missing(tmp_path):
    for i in (0, 2):
        write(tmp_path / f"train-0000{i}-of-00004.tfrecord", numbers(4))
    text = refusal(tmp_path)
    assert "train-*-of-00004.tfrecord: expected 4 files" in text
    assert "Received: none with the numbers 1, 3" in text


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("{", "expected JSON"),
        ("[]", "Received: []"),
        ('{"features": {}}', "Received: {}"),
        ('{"feature": {"x": "float"}}', "Did you mean features?"),
        ('{"features": {"x": "float32"}}', "x: expected a type of 'image', 'text'"),
        ('{"features": {"x": {"type": "float", "shape": [0]}}}', "'shape': [0]"),
        ('{"features": {"x": "image", "y": "float"}}', "expected one image, one text"),
        ('{"features": {"x": "float"}, "label": 3}', "label: expected a name"),
        ('{"features": {"x": "float"}, "class_names": "ab"}', "a list of names"),
        ('{"features": {"x": "float"}, "records": {"a": "4"}}', "Received: {'a': '4'}"),
        (
            '{"features": {"x": {"type": "float", "shape": [4]}},'
            ' "records": {"b.tfrecord": 4}}',
            "none of the name 'b.tfrecord'",
        ),
        (
            '{"features": {"x": {"type": "float", "shape": [4]}},'
            ' "records": {"a.tfrecord": 3}}',
            "Received: 4. Correct schema.json",
        ),
    ],
)
def test_a_schema_that_is_wrong(tmp_path, schema, message):
    write(tmp_path / "a.tfrecord", numbers(4))
    (tmp_path / "schema.json").write_text(schema)
    text = refusal(tmp_path)
    assert message in text
    assert "schema.json" in text


# What is wrong with a record ------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"\xff\xff", "expected a tf.train.Example. Received: 2 bytes that are none"),
        (b"", "Received: the features none"),
        (example(x=[1.0] * 4), "expected 'label': int64[1], as"),
        (example(x=[1.0] * 3, label=0), "expected 'x': float[4]"),
        (example(x=[1, 2, 3, 4], label=0), "Received: 'x': int64[4]"),
        (example(y=[1.0] * 4, label=0), "Received: the features 'label', 'y'"),
        (example(x=[1.0] * 4, label=[0, 1]), "Received: 'label': int64[2]"),
        (example(x=[1.0] * 4, label=-1), "expected a label of 0 or more. Received: -1"),
        (example(x=[1, np.nan, 1, 1.0], label=0), "Received: nan at place 1"),
    ],
)
def test_a_wrong_record_is_named(tmp_path, bad, message):
    good = numbers(6)
    path = write(tmp_path / "a.tfrecord", [*good[:4], bad, *good[4:]])
    text = refusal(path)
    assert f"{path}, record 5: " in text
    assert message in text


def test_every_wrong_record_is_named(tmp_path):
    good = numbers(6)
    one = write(tmp_path / "train-1.tfrecord", [*good, b"\xff", example(label=1)])
    two = write(tmp_path / "train-2.tfrecord", [b"\xff", *good])
    text = refusal(tmp_path)
    assert "3 problems" in text
    for place in (f"{one}, record 7", f"{one}, record 8", f"{two}, record 1"):
        assert place in text


def test_labels_out_of_range(tmp_path):
    path = write(tmp_path / "a.tfrecord", [*numbers(4), example(x=[1.0] * 4, label=2)])
    text = refusal(path, num_classes=2)
    assert f"{path}, record 5: expected a label in 0..1. Received: 2" in text
    assert load_tfrecord(path).class_names == ("0", "1", "2")
    far = example(x=[1.0] * 4, label=4_000_000)
    path = write(tmp_path / "b.tfrecord", [*numbers(4), far])
    assert f"{path}, record 5: expected labels that count from 0" in refusal(path)
    write(tmp_path / "c" / "train.tfrecord", numbers(4))
    test = write(tmp_path / "c" / "test.tfrecord", [example(x=[1.0] * 4, label=7)])
    text = refusal(tmp_path / "c")
    assert f"{test}, record 1: expected a label in 0..1" in text


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (picture(9)[1][:-20], "a damaged or truncated file"),
        (b"no image", "a file that is no JPEG, PNG, GIF, BMP or WebP"),
        (b"", "an empty file"),
        (picture(9, (4, 6, 1))[1], "expected 3 channels, as 6 of 7 images"),
        (picture(9, (5, 6, 3))[1], "expected height and width (4, 6)"),
    ],
)
def test_a_wrong_image_is_named(tmp_path, bad, message):
    contents = [example(image=picture(i)[1], label=i % 2) for i in range(6)]
    contents.insert(2, example(image=bad, label=0))
    path = write(tmp_path / "a.tfrecord", contents)
    text = refusal(path)
    assert f"{path}, record 3: " in text
    assert message in text


def test_a_first_record_that_tells_no_schema(tmp_path):
    text = refusal(write(tmp_path / "a.tfrecord", [example(x=[1.0], y=3)]))
    assert "record 1" in text
    assert "expected the feature 'label', one int64. Received: 'x': float[1]" in text
    text = refusal(write(tmp_path / "a.tfrecord", [example(name="x", label=3)]))
    assert "expected a feature 'image' or 'text', or numbers" in text
    assert "schema.json" in text


# Damaged files --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Received: an empty file"),
        (b"hello", "record 1: expected a record. Received: 5 bytes"),
        (b"hello, this is no such file", "Received: one that begins with b'hello"),
        (gzip.compress(b"hello, world", mtime=0), "a gzip file; name it .gz"),
    ],
)
def test_files_that_are_none(tmp_path, content, message):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(content)
    text = refusal(path)
    assert str(path) in text
    assert message in text
    assert str(path) in refusal(path, skip_share=0.5)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tfrecord.gz", b"hello"),
        ("a.tfrecord.zlib", b"hello"),
        ("a.tfrecord.gz", zlib.compress(b"hello")),
        ("a.tfrecord.gz", gzip.compress(b"", mtime=0)),
    ],
)
def test_compressed_files_that_are_none(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert str(path) in refusal(path)


def test_a_file_that_was_cut_off(tmp_path):
    contents = numbers(6)
    path = write(tmp_path / "a.tfrecord", contents)
    whole = path.read_bytes()
    for cut in (1, 11, 12, 20, len(contents[0]) + 15):
        path.write_bytes(whole[: ends(contents)[3] + cut])
        text = refusal(path)
        assert f"{path}, record 5: " in text
        assert "where the file ends" in text


def test_a_record_that_claims_more_than_there_is_memory(tmp_path):
    path = write(tmp_path / "a.tfrecord", numbers(2))
    damaged = list(read_records(str(path), largest=10))
    reason = "expected a record that fits in memory. Received: 51 bytes"
    assert damaged[0].reason.startswith(reason[:40])
    assert len(damaged) == 1


# Skipping -------------------------------------------------------------------------


def damage(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def test_a_damaged_record_is_skipped_and_said(tmp_path, capsys):
    contents = numbers(50)
    path = write(tmp_path / "a.tfrecord", contents)
    damage(path, ends(contents)[9] + 30)
    assert f"{path}, record 11: its checksum does not match its content" in refusal(
        path
    )
    data = load_tfrecord(path, skip_share=0.02)
    expected = [i for i in range(50) if i != 10]
    np.testing.assert_array_equal(data.train.features[:, 0], expected)
    said = capsys.readouterr().err
    assert f"{path}: skipped 1 of 50 records (record 11: its checksum" in said
    text = refusal(path, skip_share=0.019)
    assert "expected to skip at most 0.019 of the records" in text
    assert "Received: 1 of 50, which is 0.02." in text
    assert f"{path}, record 11" in text


def test_behind_a_damaged_length_the_rest_is_lost(tmp_path, capsys):
    contents = numbers(50)
    path = write(tmp_path / "train-1.tfrecord", contents)
    write(tmp_path / "train-2.tfrecord", contents)
    damage(path, ends(contents)[39] + 3)
    data = load_tfrecord(tmp_path, skip_share=0.1)
    assert len(data.train) == 90
    lost = ends(contents)[49] - ends(contents)[39]
    said = capsys.readouterr().err
    assert f"{path}: skipped 1 of 41 records, and lost its last {lost} bytes" in said
    text = refusal(tmp_path, skip_share=0.09)
    assert "Received: about 10 of 100, which is 0.1." in text
    assert f"{path}, record 41: the checksum of its length does not match" in text


def test_a_wrong_example_and_a_bad_image_are_skipped_too(tmp_path):
    contents = [example(image=picture(i)[1], label=i % 2) for i in range(6)]
    contents.insert(2, example(image=b"none", label=0))
    contents.insert(5, example(x=1.0, label=0))
    path = write(tmp_path / "a.tfrecord", contents)
    data = load_tfrecord(path, skip_share=0.25)
    expected = [picture(i)[0] for i in range(6)]
    np.testing.assert_array_equal(data.train.features, expected)
    assert "Received: 2 of 8" in refusal(path, skip_share=0.2)


def test_the_number_of_records_tells_of_a_file_cut_behind_one(tmp_path, capsys):
    contents = numbers(20)
    path = write(tmp_path / "a.tfrecord", contents[:15])
    schema = {
        "features": {"x": {"type": "float", "shape": [4]}},
        "records": {"a.tfrecord": 20},
    }
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    assert f"{path}: expected 20 records" in refusal(tmp_path)
    assert len(load_tfrecord(tmp_path, skip_share=0.25).train) == 15
    assert "skipped 5 of 20 records" in capsys.readouterr().err
    assert "Received: 5 of 20" in refusal(tmp_path, skip_share=0.2)


# Any damage -----------------------------------------------------------------------

_CONTENTS = numbers(12)
_KINDS = {"": "a.tfrecord", "GZIP": "a.tfrecord.gz", "ZLIB": "a.tfrecord.zlib"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a file of each compression."""
    folder = tmp_path_factory.mktemp("whole")
    return {
        kind: write(folder / name, _CONTENTS, kind).read_bytes()
        for kind, name in _KINDS.items()
    }


def _same_or_refused(path):
    try:
        data = load_tfrecord(path)
    except RefusedError as error:
        return bool(re.search(rf"{re.escape(str(path))}(, record \d+)?: ", str(error)))
    expected = np.arange(4, dtype=np.float32) / 8 + np.arange(12)[:, None]
    features, labels = data.train.features, data.train.labels
    return np.array_equal(features, expected) and list(labels) == [0, 1] * 6


_MANY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@_MANY
@given(
    st.sampled_from(sorted(_KINDS)),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 7),
)
def test_no_flipped_bit_is_taken_for_data(tmp_path, whole, kind, place, bit):
    content = bytearray(whole[kind])
    content[int(place * len(content))] ^= 1 << bit
    path = tmp_path / _KINDS[kind]
    path.write_bytes(content)
    assert _same_or_refused(path)


@_MANY
@given(st.sampled_from(sorted(_KINDS)), st.floats(0, 1, exclude_max=True))
def test_no_cut_is_taken_for_the_end(tmp_path, whole, kind, place):
    size = int(place * len(whole[kind]))
    if not kind and size in ends(_CONTENTS):
        return  # Such a file is whole, but for what schema.json says.
    path = tmp_path / _KINDS[kind]
    path.write_bytes(whole[kind][:size])
    with pytest.raises(RefusedError, match=re.escape(str(path))):
        load_tfrecord(path)


@_MANY
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_what_is_kept_beside_a_flipped_bit_is_as_it_was(tmp_path, whole, place, bit):
    content = bytearray(whole[""])
    content[int(place * len(content))] ^= 1 << bit
    path = tmp_path / "a.tfrecord"
    path.write_bytes(content)
    found = list(read_records(str(path), largest=10**6))
    kept = {r.number: r.content for r in found if isinstance(r, Record)}
    damaged = [r for r in found if isinstance(r, Damage)]
    assert len(damaged) == 1
    assert damaged[0].lost_bytes or len(kept) == 11
    assert all(_CONTENTS[number - 1] == record for number, record in kept.items())
