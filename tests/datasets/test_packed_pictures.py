"""Encoded pictures: decoded in threads, equal to pictures in memory."""

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.datasets import host_rows, reading, resized_crop
from kerascale.datasets.packed import packing, sources, windows
from kerascale.datasets.packed.opened import open_packed
from kerascale.datasets.packed.pictures import Pictures

_FORMATS = ("JPEG", "PNG", "WEBP", "JPEG")


def _picture(number, colour):
    generator = np.random.default_rng(number)
    sides = generator.integers(20, 40, 2)
    pixels = np.kron(generator.integers(0, 256, (4, 4, 3)), np.ones((12, 12, 1)))
    pixels = pixels[: sides[0], : sides[1]] // 2 + colour
    return PIL.Image.fromarray(pixels.astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of two classes, of several sizes and formats."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, colour in (("dark", 0), ("light", 120)):
        (folder / name).mkdir()
        for number in range(40):
            kind = _FORMATS[number % len(_FORMATS)]
            path = folder / name / f"{number}.{kind.lower()}"
            _picture(number, colour).save(path, kind)
    return folder


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory):
    dest = tmp_path_factory.mktemp("packed") / "pictures"
    packing.pack(sources.open_source(f"images:{folder}"), dest)
    return dest


def _config(packed, **fields):
    recipe = ks.load_recipe("cnn")
    fields = {"image_size": 16, "batch_size": 16, "seed": 3, **fields}
    return recipe.Config(dataset=f"packed:{packed}", **fields)


def _all(batches, epochs=1):
    found = list(batches.dataset(epochs))
    return [np.concatenate([b[i] for b in found]) for i in range(len(found[0]))]


def test_pictures_are_those_of_memory(folder, packed):
    config = _config(packed, augment_flip=True, class_weight=("light=2",))
    ours = ks.datasets.from_config(config, kinds=("image",))
    raw = reading.read(f"images:{folder}", image_size=16)
    theirs = ks.datasets.prepare(raw, config)
    for split in ("train", "validation", "test"):
        for one, other in zip(
            _all(getattr(ours, split), 2), _all(getattr(theirs, split), 2), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-12)
    np.testing.assert_allclose(ours.variance, theirs.variance, rtol=1e-12)
    assert ours.info.input_shape == theirs.info.input_shape
    assert ours.info.dtype == theirs.info.dtype


def test_windows_are_drawn_by_epoch_and_example(packed):
    config = _config(packed, augment_resized_crop=0.4)
    train = ks.datasets.from_config(config, kinds=("image",)).train
    (images, labels), (other, again) = _all(train), _all(train)
    np.testing.assert_array_equal(images, other)
    np.testing.assert_array_equal(labels, again)
    zero, one = tf.constant(0, tf.int64), tf.constant(1, tf.int64)
    indices = tf.constant([5, 2], tf.int64)
    pair, _ = train.gather(indices, zero)
    alone, _ = train.gather(indices[1:], zero)
    np.testing.assert_array_equal(pair[1], alone[0])
    later, _ = train.gather(indices, one)
    assert (later.numpy() != pair.numpy()).any()
    whole, _ = train.for_evaluation().gather(indices, one)
    assert (whole.numpy() != later.numpy()).any()
    # About what the picture is: no window of something else.
    assert abs(whole.numpy().mean() - later.numpy().mean()) < 30


def test_the_number_of_threads_changes_nothing(packed):
    opened = open_packed(f"packed:{packed}")
    pictures = Pictures(opened, 16)
    rows = np.random.default_rng(0).permutation(80)
    draws = np.random.default_rng(1).random((80, 22), np.float32)
    expected = None
    for threads in (1, 3):
        reader = pictures.cropped(0.3)
        reader.num_threads = threads
        (found,) = reader.arrays(rows, draws)
        expected = found if expected is None else expected
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("height", "width"), [(40, 60), (10, 300)])
def test_windows_lie_in_the_picture_and_have_the_area(height, width):
    draws = np.random.default_rng(0).random((500, 22), np.float32)
    sizes = np.tile([height, width], (500, 1))
    top, left, h, w = resized_crop.windows(draws, sizes, 0.3).T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + h <= height + 1e-9).all()
    assert (left + w <= width + 1e-9).all()
    assert (w / h >= resized_crop.RATIOS[0] - 1e-9).all()
    assert (w / h <= resized_crop.RATIOS[1] + 1e-9).all()
    if height == 40:
        assert (h * w >= 0.3 * height * width * 0.999).all()
        assert len(np.unique(np.round(h * w))) > 100


def test_a_large_jpeg_is_decoded_at_a_part_of_its_size():
    pixels = np.kron(
        np.random.default_rng(0).integers(0, 256, (8, 8, 3)), np.ones((80, 80, 1))
    )
    file = io.BytesIO()
    PIL.Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=95)
    draws = np.random.default_rng(0).random((1, 22), np.float32)
    (found,) = windows.decoded([file.getvalue()], draws, 1.0, (40, 40, 3))
    expected = PIL.Image.fromarray(pixels.astype(np.uint8)).resize((40, 40))
    # The whole picture, as the smallest share is 1; an eighth of its sides is decoded.
    assert np.abs(found.astype(int) - np.asarray(expected)).mean() < 20


def _encoded(mode, kind, **options):
    pixels = np.kron(
        np.random.default_rng(3).integers(0, 256, (6, 6, 3)), np.ones((20, 20, 1))
    )
    file = io.BytesIO()
    picture = PIL.Image.fromarray(pixels.astype(np.uint8)).convert(mode)
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_window_is_that_of_its_picture_alone_and_of_any_kind(channels):
    """Those of libjpeg and those of Pillow are the same window of the same picture."""
    shape = (30, 30, channels)
    records = [
        _encoded("RGB", "PNG"), _encoded("RGB", "JPEG", quality=100, subsampling=0),
        _encoded("L", "PNG"), _encoded("L", "JPEG", quality=100),
        _encoded("RGBA", "PNG"), _encoded("CMYK", "JPEG", quality=100),
        _encoded("P", "PNG"), _encoded("LA", "PNG"),
    ]  # fmt: skip
    draw = np.random.default_rng(0).random((1, 22), np.float32)
    draws = np.repeat(draw, len(records), axis=0)
    together = windows.decoded(records, draws, 0.3, shape)
    for record, found in zip(records, together, strict=True):
        (alone,) = windows.decoded([record], draw, 0.3, shape)
        np.testing.assert_array_equal(found, alone)
    for png, jpeg in ((0, 1), (2, 3)):
        apart = np.abs(together[png].astype(int) - together[jpeg])
        assert apart.mean() < 8, apart.mean()


def test_pictures_of_several_sizes_need_a_size(packed):
    with pytest.raises(ks.RefusedError, match=r"image_size: .* differ in their size"):
        ks.datasets.from_config(_config(packed, image_size=None), kinds=("image",))


def test_a_damaged_picture_is_named_with_its_row(folder, tmp_path):
    dest = tmp_path / "packed"
    packing.pack(sources.open_source(f"images:{folder}"), dest)
    config = _config(dest)
    data = ks.datasets.from_config(config, kinds=("image",))
    (shard,) = dest.glob("*.array_record")
    content = bytearray(shard.read_bytes())
    first = content.find(b"\xff\xd8\xff") + 40
    content[first : first + 60] = bytes(60)
    shard.write_bytes(content)
    packed = open_packed(f"packed:{dest}")
    rows = Pictures(packed, 16).whole()
    with pytest.raises(RuntimeError, match="row 0"):
        rows.arrays(np.array([0]))
    del data


def test_what_a_thread_raises_is_found_again(packed):
    def read(rows):
        raise host_rows.RowError(f"row {rows[0]} is bad")

    rows = host_rows.HostRows(read, [tf.TensorSpec([], tf.float32)])
    with pytest.raises(host_rows.RowError, match="row 7 is bad"):
        rows(tf.constant([7], tf.int64))
    with pytest.raises(tf.errors.OpError) as caught:
        tf.function(rows)(tf.constant([7], tf.int64))
    found = host_rows.cause(caught.value)
    assert isinstance(found, host_rows.RowError)
    assert str(found) == "row 7 is bad"
    assert host_rows.cause(ValueError("something else")) is None
