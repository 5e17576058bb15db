"""Each source that is streamed gives what reading it into memory gives."""

import io

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from helpers.packed import assert_same, in_memory, pack, read
from PIL import Image

from kerascale.data.digits import digits_dataset_builder
from kerascale.datasets import reading
from kerascale.datasets.packed import layout, manifest
from kerascale.datasets.packed.sources import SourceOptions, open_source
from kerascale.datasets.sources import image_files, tfds_source
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.datasets.sources.image_headers import look
from kerascale.errors import RefusedError


def encoded(seed=0, mode="RGB", file_format="PNG", size=(12, 10), **options):
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(content, file_format, **options)
    return content.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def folder(tmp_path):
    """Two classes of pictures of several sizes, formats and channels."""
    source = tmp_path / "birds"
    for i in range(24):
        kind = "jpg" if i % 3 else "png"
        content = encoded(
            i,
            "L" if i % 4 == 0 else "RGB",
            "PNG" if kind == "png" else "JPEG",
            (12 + i % 3, 10),
        )
        write(source / "ab"[i % 2] / f"{i % 5}" / f"{i:02}.{kind}", content)
    return source


def test_pictures_stay_as_they_are(tmp_path, folder, capsys):
    (folder / "a" / "notes.txt").write_text("x")
    made = pack(f"images:{folder}", tmp_path / "made")
    said = capsys.readouterr().err
    assert "1 file ignored" in said
    assert "of 24 images to be converted to RGB: 6 gray" in said
    assert (made.encoding, made.dtype, made.shape) == ("image", None, None)
    assert made.image_shape == (10, None, 3)
    assert made.mean is None
    expected = in_memory(reading.read(f"images:{folder}", image_size=8))
    files = (tmp_path / "made" / layout.FILES).read_text().splitlines()
    for split, part in read(tmp_path / "made").items():
        contents = [open(file, "rb").read() for file in expected[split].files]
        assert part.features.tolist() == contents
        assert part.labels.tolist() == expected[split].labels.tolist()
        index = np.fromfile(tmp_path / "made" / f"{split}.index", "<i8")
        paths = [str(folder / files[i]) for i in index]
        assert paths == expected[split].files.tolist()


def test_pictures_are_resized_as_in_memory(tmp_path, folder):
    made = pack(f"images:{folder}", tmp_path / "made", image_size=7)
    assert (made.dtype, made.shape, made.image_shape) == ("uint8", (7, 7, 3), None)
    assert_same(tmp_path / "made", reading.read(f"images:{folder}", image_size=7))


def test_pictures_in_folders_of_splits(tmp_path):
    for split, count in (("train", 8), ("val", 3), ("test", 4)):
        for i in range(count):
            write(tmp_path / "s" / split / "ab"[i % 2] / f"{i}.png", encoded(i))
    made = pack(f"images:{tmp_path / 's'}", tmp_path / "made", image_size=10)
    assert made.given_splits == ("test", "train", "validation")
    assert_same(
        tmp_path / "made", reading.read(f"images:{tmp_path / 's'}", image_size=10)
    )


# What of a picture is spoilt, and what is said of it.
DAMAGES = {
    "empty": (lambda content: b"", "an empty file"),
    "cut": (lambda content: content[:-40], "a damaged or truncated file"),
    "other": (lambda content: b"no picture", "a file that is no JPEG, PNG"),
}


@pytest.mark.parametrize("image_size", [None, 6])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_pictures_are_refused_or_left_out(tmp_path, folder, damage, image_size):
    change, message = DAMAGES[damage]
    name, made = f"images:{folder}", tmp_path / "made"
    for file in ("a/0/10.jpg", "b/0/15.png"):
        (folder / file).write_bytes(change((folder / file).read_bytes()))
    with pytest.raises(RefusedError) as caught:
        pack(name, made, image_size=image_size)
    assert "damaged rows. Received: 2 of 24." in caught.value.problems[0]
    for problem, file in zip(
        caught.value.problems[1:], ("a/0/10.jpg", "b/0/15.png"), strict=True
    ):
        assert problem.startswith(f"{folder}/{file}: expected an image. Received: ")
        assert message in problem
    with pytest.raises(RefusedError, match="Received: 2 of 24"):
        pack(name, made, image_size=image_size, skip_damaged_share=0.08)
    packed = pack(name, made, image_size=image_size, skip_damaged_share=0.1)
    assert packed.num_rows == 22
    assert len(packed.skipped) == 2
    for file in ("a/0/10.jpg", "b/0/15.png"):
        (folder / file).unlink()
    if image_size is not None:
        assert_same(made, reading.read(name, image_size=image_size))


FORMS = [
    *[("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")],
    *[("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")],
    ("PNG", "P", {"transparency": 3}),
    ("PNG", "RGB", {"transparency": (1, 2, 3)}),
    ("GIF", "P", {}),
    *[("BMP", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")],
    *[("WEBP", mode, {}) for mode in ("L", "RGB", "RGBA")],
    ("JPEG", "RGB", {"progressive": True}),
]


@pytest.mark.parametrize(("file_format", "mode", "options"), FORMS)
def test_headers_tell_what_decoding_does(file_format, mode, options):
    content = encoded(1, mode, file_format, **options)
    for part in (content, content[:-1], content[: len(content) // 2], content[:20]):
        decoded = image_files.decode_bytes(part, "x", None)
        seen = look(part, "x")
        assert (seen.shape, seen.fault) == (decoded.shape, decoded.fault)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save, monkeypatch):
    monkeypatch.setattr("kerascale.datasets.sources.npz_members._BLOCK_BYTES", 5000)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (300, 8, 8), dtype=np.uint8)
    names = np.array(["cat", "dog", "eel"])[generator.integers(0, 3, 300)]
    save(
        tmp_path / "x.npz",
        x_train=images[:250],
        y_train=names[:250],
        x_test=images[250:],
        y_test=names[250:],
    )
    name = f"npz:{tmp_path / 'x.npz'}"
    pack(name, tmp_path / "made")
    assert_same(tmp_path / "made", reading.read(name))
    numbers, labels = generator.normal(size=(300, 4)), np.arange(300) % 2 * 2 - 1
    save(tmp_path / "x.npz", x=numbers, y=labels)
    pack(name, tmp_path / "numbers")
    assert_same(tmp_path / "numbers", reading.read(name))
    save(tmp_path / "x.npz", x=np.asfortranarray(numbers), y=labels)
    pack(name, tmp_path / "columns")
    assert_same(tmp_path / "columns", reading.read(name))
    save(tmp_path / "x.npz", x=np.array([f"text {i}" for i in range(300)]), y=labels)
    pack(name, tmp_path / "texts")
    assert_same(tmp_path / "texts", reading.read(name))
    numbers[170, 1] = np.nan
    save(tmp_path / "x.npz", x=numbers, y=labels)
    message = r"x\[170, 1\]: expected a finite number\. Received: nan.* example 170"
    with pytest.raises(RefusedError, match=message):
        pack(name, tmp_path / "nan")


def test_damaged_npz(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((3000, 9)), y=np.arange(3000) % 2)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[100_000] ^= 1
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(RefusedError, match=r"the array 'x'\. Received: damaged data"):
        pack(f"npz:{tmp_path / 'x.npz'}", tmp_path / "made")


def example(**features):
    made = {}
    for name, value in features.items():
        if isinstance(value, bytes):
            kind = {"bytes_list": tf.train.BytesList(value=[value])}
        elif isinstance(value, int):
            kind = {"int64_list": tf.train.Int64List(value=[value])}
        else:
            kind = {"float_list": tf.train.FloatList(value=value)}
        made[name] = tf.train.Feature(**kind)
    return tf.train.Example(
        features=tf.train.Features(feature=made)
    ).SerializeToString()


def tfrecord(path, contents):
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in contents:
            writer.write(content)


def test_tfrecord(tmp_path, monkeypatch):
    monkeypatch.setattr("kerascale.datasets.packed.sources.tfrecord._BATCH_RECORDS", 7)
    generator = np.random.default_rng(0)
    source = tmp_path / "records"
    for file, count in (("train-0-of-2", 60), ("train-1-of-2", 41), ("test", 20)):
        rows = [
            example(label=i % 3, a=generator.normal(size=3).tolist(), b=[float(i)])
            for i in range(count)
        ]
        tfrecord(source / f"{file}.tfrecord", rows)
    name = f"tfrecord:{source}"
    made = pack(name, tmp_path / "made")
    assert made.feature_names == ("a[0]", "a[1]", "a[2]", "b")
    assert_same(tmp_path / "made", reading.read(name))
    texts = [example(label=i % 2, text=f"text {i}".encode()) for i in range(30)]
    tfrecord(tmp_path / "texts.tfrecord", texts)
    pack(f"tfrecord:{tmp_path / 'texts.tfrecord'}", tmp_path / "texts")
    assert_same(
        tmp_path / "texts", reading.read(f"tfrecord:{tmp_path / 'texts.tfrecord'}")
    )
    rows[4] = example(label=7, a=[0.0] * 3, b=[0.0])
    tfrecord(source / "test.tfrecord", rows)
    message = r"test.tfrecord, record 5: expected a label in 0\.\.2, .*Received: 7 in"
    with pytest.raises(RefusedError, match=message):
        pack(name, tmp_path / "labels")


def test_damaged_records_are_refused_or_left_out(tmp_path):
    path, name = tmp_path / "x.tfrecord", f"tfrecord:{tmp_path / 'x.tfrecord'}"
    pictures = [example(label=i % 2, image=encoded(i)) for i in range(20)]
    pictures[3] = example(label=1, image=encoded(3)[:-30])
    pictures[5] = example(label=1, image=encoded(5, "L"))
    tfrecord(path, pictures)
    with pytest.raises(RefusedError) as caught:
        pack(name, tmp_path / "made")
    first, second = caught.value.problems
    assert first.startswith(f"{path}, record 4: 'image': expected an image.")
    assert second.startswith(f"{path}, record 6: expected 3 channels, as the records")
    made = pack(name, tmp_path / "made", skip_damaged_share=0.1)
    assert (made.num_rows, made.image_shape) == (18, (10, 12, 3))
    assert len(made.skipped) == 2
    made = pack(name, tmp_path / "flat", skip_damaged_share=0.1, image_size=6)
    assert (made.num_rows, made.shape) == (18, (6, 6, 3))


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    folder = tmp_path / "tfds"
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    return folder


def test_tfds(tmp_path, data_dir):
    with tfds_source.quiet_tfds():
        digits_dataset_builder.Builder(data_dir=data_dir).download_and_prepare()
    raw = tfds_source.load_tfds("digits")
    pack("tfds:digits", tmp_path / "made")
    assert_same(tmp_path / "made", raw)
    pack("tfds:digits", tmp_path / "small", image_size=4)
    assert_same(tmp_path / "small", tfds_source.load_tfds("digits", image_size=4))
    source = open_source("tfds:digits")
    rows = list(source.read({"split": "train", "rows": 1340}))
    assert [len(batch.labels) for batch in rows] == [7, 450]
    assert (rows[0].features == raw.train.features[1340:]).all()


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_tfds_pictures_of_several_sizes_and_splits_without_labels(
    tmp_path, data_dir, file_format, capsys
):
    generator = np.random.default_rng(0)
    images = [
        generator.integers(0, 256, (10 + i % 3, 20, 3), dtype=np.uint8)
        for i in range(20)
    ]
    rows = [{"image": image, "label": i % 2} for i, image in enumerate(images)]
    unlabelled = [{"image": image, "label": -1} for image in images[:3]]
    features = {
        "image": tfds.features.Image(),
        "label": tfds.features.ClassLabel(names=["a", "b"]),
    }
    with tfds_source.quiet_tfds():
        tfds.dataset_builders.store_as_tfds_dataset(
            name="sizes",
            version="1.0.0",
            data_dir=data_dir,
            features=tfds.features.FeaturesDict(features),
            split_datasets={
                "train": list(enumerate(rows)),
                "test": list(enumerate(unlabelled)),
            },
            file_format=file_format,
            disable_shuffling=True,
        )
    made = pack("tfds:sizes", tmp_path / "made")
    assert (made.encoding, made.image_shape) == ("image", (None, 20, 3))
    assert made.counts == {"train": 14, "validation": 3, "test": 3}
    assert "the test split is not used: 3 of its 3 examples" in capsys.readouterr().err
    for split, part in read(tmp_path / "made").items():
        index = np.fromfile(tmp_path / "made" / f"{split}.index", "<i8")
        assert index.max() < 20
        for row, content in zip(index, part.features, strict=True):
            decoded = image_files.decode_bytes(content, "x", None)
            assert (decoded.pixels == images[row]).all()
    pack("tfds:sizes", tmp_path / "small", image_size=8)
    raw = tfds_source.load_tfds("sizes", image_size=8)
    assert_same(tmp_path / "small", raw)


def test_digits(tmp_path):
    pack("digits", tmp_path / "made")
    assert_same(tmp_path / "made", reading.read("digits"))
    assert manifest.load(tmp_path / "made").source == "digits"
    made = pack("digits", tmp_path / "small", image_size=5)
    assert made.shape == (5, 5, 1)
    with pytest.raises(RefusedError, match=r"num_classes: expected 10, as digits has"):
        pack("digits", tmp_path / "few", num_classes=4)


def test_options_that_are_not_for_the_data_are_refused(tmp_path, folder):
    np.savez(tmp_path / "x.npz", x=np.zeros((9, 2)), y=np.arange(9) % 2)
    how = SourceOptions(
        image_size=3, label="y", skip_damaged_share=0.1, csv_options=CsvOptions(";")
    )
    with pytest.raises(RefusedError) as caught:
        open_source(f"npz:{tmp_path / 'x.npz'}", how)
    starts = [problem.partition(". Received: ")[0] for problem in caught.value.problems]
    assert starts == [
        "label: expected only with csv:, parquet: or tfds: data",
        "separator: expected only with csv: data",
        "skip_damaged_share: expected only with images:, tfds: or tfrecord: data",
        "image_size: expected only with image data",
    ]


def test_bad_sources_are_refused_before_anything_is_made(tmp_path):
    with pytest.raises(RefusedError, match="expected digits, python_reference"):
        open_source("imagse:x")
    with pytest.raises(
        RefusedError, match=r"Received: '.*/none', which does not exist"
    ):
        open_source(f"images:{tmp_path}/none")
    with pytest.raises(RefusedError, match="image_size to be a positive number"):
        open_source(f"images:{tmp_path}", SourceOptions(image_size=0))
    with pytest.raises(RefusedError, match="where there is none"):
        open_source(f"tfrecord:{tmp_path}")
