"""A folder of images becomes one array, or a message that names every odd file."""

import base64
import os
import re
import struct

import numpy as np
import pytest
import tensorflow as tf

from kerascale.datasets.sources import images_source
from kerascale.datasets.sources.image_files import decode
from kerascale.datasets.sources.images_source import load_images, read_images
from kerascale.errors import RefusedError
from kerascale.runtime.free_memory import available_bytes

# Two frames of 3 x 4 pixels; in the first one the first row is white.
GIF = base64.b64decode(
    "R0lGODdhBAADAIEAAP///wAAAAAAAAAAACwAAAAABAADAAAICwABCAQQoKDBggEBACH5BAEAAAIALAAAAA"
    "AEAAMAgf///wAAAAAAAAAAAAgNAAMIDCCgoAAACAEEBAA7"
)


def pixels(seed: int, shape=(6, 8, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(path, image: np.ndarray | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, np.ndarray):
        jpeg = path.suffix.lower() in (".jpg", ".jpeg")
        encode = tf.io.encode_jpeg if jpeg else tf.io.encode_png
        image = encode(image).numpy()
    path.write_bytes(image)
    return str(path)


def bmp(colour_table: np.ndarray, indices: np.ndarray) -> bytes:
    """A BMP of 8 bits per pixel; the width must be a multiple of 4."""
    height, width = indices.shape
    table = np.c_[colour_table, np.zeros(256, np.uint8)].astype(np.uint8).tobytes()
    start = 54 + len(table)
    header = struct.pack("<2sIII", b"BM", start + indices.size, 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 0, 0, 0, 0, 256, 0)
    return header + info + table + indices[::-1].tobytes()


@pytest.fixture
def folder(tmp_path):
    """Two classes of three and two PNG images."""
    for i in range(3):
        write(tmp_path / "cat" / f"{i}.png", pixels(i))
    for i in range(2):
        write(tmp_path / "dog" / "deep" / f"{i}.PNG", pixels(10 + i))
    return tmp_path


def refusal(folder, *args) -> list[str]:
    with pytest.raises(RefusedError, match=re.escape(str(folder))) as caught:
        load_images(str(folder), *args)
    return caught.value.problems


def test_folders_are_classes(folder, capsys):
    write(folder / ".git" / "a.png", b"")
    write(folder / "cat" / ".DS_Store", b"x")
    write(folder / "cat" / ".cache" / "a.png", b"x")
    data = load_images(str(folder))
    assert (data.kind, data.name) == ("image", f"images:{folder}")
    assert data.class_names == ("cat", "dog")
    expected = [pixels(i) for i in (0, 1, 2, 10, 11)]
    np.testing.assert_array_equal(data.train.features, expected)
    assert data.train.features.dtype == np.uint8
    assert data.train.labels.dtype == np.int64
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert capsys.readouterr().err == ""


def test_every_format(tmp_path):
    first = np.zeros((3, 4, 3), np.uint8)
    first[0] = 255
    write(tmp_path / "a" / "0.gif", GIF)
    write(tmp_path / "b" / "1.png", first)
    write(tmp_path / "b" / "2.jpeg", first)
    features = load_images(tmp_path).train.features
    np.testing.assert_array_equal(features[0], first)
    np.testing.assert_array_equal(features[1], first)
    assert np.abs(features[2].astype(int) - first).max() < 64
    ramp = np.repeat(np.arange(256)[:, None], 3, axis=1)
    gray = pixels(0, (3, 4))
    path = write(tmp_path / "gray.bmp", bmp(ramp, gray))
    np.testing.assert_array_equal(read_images(path, (3, 4, 1))[0][0, ..., 0], gray)


def test_other_files_are_counted_and_said(folder, capsys):
    write(folder / "cat" / "notes.txt", b"x")
    write(folder / "dog" / "scan.tif", b"x")
    write(folder / "README.md", b"x")
    assert len(load_images(folder).train) == 5
    said = capsys.readouterr().err
    assert f"{folder}: 3 files ignored (" in said
    assert "notes.txt" in said
    assert ".png, .webp are read" in said


def test_resizing(folder):
    write(folder / "cat" / "large.jpg", pixels(20, (50, 40, 3)))
    assert load_images(folder, 4).train.features.shape == (6, 4, 4, 3)
    # A size that is there already is left alone, bit for bit.
    write(folder / "dog" / "square.png", pixels(21, (4, 4, 3)))
    features = load_images(folder, 4).train.features
    np.testing.assert_array_equal(features[-1], pixels(21, (4, 4, 3)))
    averages = features[:3].mean(axis=(1, 2, 3))
    expected = [pixels(i).mean() for i in range(3)]
    np.testing.assert_allclose(averages, expected, atol=12)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif"])
def test_truncated_anywhere(tmp_path, suffix):
    """TensorFlow must refuse it; a partly gray image would be trained on."""
    content = {
        ".bmp": bmp(np.repeat(np.arange(256)[:, None], 3, axis=1), pixels(0, (6, 8))),
        # Without the second frame, which is not read.
        ".gif": GIF[: GIF.index(b"\x21\xf9") + 1],
    }.get(suffix)
    path = tmp_path / f"image{suffix}"
    if content is None:
        content = open(write(path, pixels(0, (16, 16, 3))), "rb").read()
    path.write_bytes(content)
    assert decode(str(path), None).fault == ""
    # All that a GIF has after its last pixel is the end mark.
    last = len(content) - (2 if suffix == ".gif" else 1)
    for size in {0, 1, 2, 3, 20, len(content) // 3, len(content) // 2, last}:
        path.write_bytes(content[:size])
        fault = decode(str(path), None).fault
        assert fault.startswith(f"{path}: expected an image. Received: "), size


def test_a_flipped_bit_in_a_png(tmp_path):
    path = tmp_path / "image.png"
    content = open(write(path, pixels(0)), "rb").read()
    for place in range(8, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        assert "a damaged or truncated file (" in decode(str(path), None).fault, place


def test_every_damaged_file_is_named(folder):
    whole = open(folder / "cat" / "0.png", "rb").read()
    write(folder / "cat" / "half.png", whole[: len(whole) // 2])
    write(folder / "cat" / "empty.jpg", b"")
    write(folder / "dog" / "text.jpg", b"this is not an image at all")
    (folder / "dog" / "gone.png").symlink_to(folder / "nowhere")
    problems = refusal(folder)
    assert len(problems) == 4
    found = "\n".join(problems)
    assert re.search(r"half.png: .* a damaged or truncated file \(Invalid PNG", found)
    assert re.search(r"empty.jpg: .* an empty file. Replace or remove it.", found)
    assert re.search(
        r"text.jpg: .* a file that is no JPEG, PNG, GIF, BMP or WebP", found
    )
    assert re.search(r"gone.png: cannot be read \(No such file", found)
    assert "__wrapped__" not in found


def test_no_readable_image(tmp_path):
    for i in range(25):
        write(tmp_path / f"class{i % 2}" / f"{i:02}.png", b"no")
    problems = refusal(tmp_path)
    assert len(problems) == 21
    assert problems[-1] == "and 5 more"


# Lossless, of 4 x 6 pixels with transparency: values 0, 2, 4 and so on.
WEBP = base64.b64decode(
    "UklGRjIAAABXRUJQVlA4TCYAAAAvBcAAEM1lRP8Ditq2gaS+Cqf86V0bhPEfAbFgis+F0wRgJBc/AA=="
)


def test_pictures_of_several_kinds_become_rgb(tmp_path, capsys):
    shape = (6, 8)
    gray, alpha = pixels(0, (*shape, 1)), pixels(1, (*shape, 4))
    write(tmp_path / "cat" / "gray.png", gray)
    write(tmp_path / "cat" / "rgb.png", pixels(2))
    write(tmp_path / "dog" / "alpha.png", alpha)
    colours = pixels(3, (256, 3)).astype(np.uint8)
    indices = pixels(4, shape)
    write(tmp_path / "dog" / "palette.bmp", bmp(colours, indices))
    images = load_images(tmp_path).train.features
    np.testing.assert_array_equal(images[0], np.repeat(gray, 3, axis=2))
    np.testing.assert_array_equal(images[1], pixels(2))
    share = alpha[..., 3:] / 255
    over_white = alpha[..., :3] * share + 255 * (1 - share)
    np.testing.assert_allclose(images[2], over_white, atol=0.51)
    np.testing.assert_array_equal(images[3], colours[indices][..., ::-1])
    assert (
        f"{tmp_path}: of 4 images converted to RGB: 1 gray, 1 RGB with transparency\n"
        in capsys.readouterr().err
    )


def test_pictures_of_one_kind_stay_as_they_are(tmp_path, capsys):
    for channels in (1, 3, 4):
        for name in ("cat", "dog"):
            write(tmp_path / name / "1.png", pixels(0, (6, 8, channels)))
        images = load_images(tmp_path).train.features
        np.testing.assert_array_equal(images[0], pixels(0, (6, 8, channels)))
    assert "converted" not in capsys.readouterr().err
    for name in ("cat", "dog"):  # Gray with transparency.
        write(tmp_path / name / "1.png", np.full((6, 8, 2), (100, 51), np.uint8))
    images = load_images(tmp_path).train.features
    assert images.shape == (2, 6, 8, 1)
    assert (images == round(100 * 0.2 + 255 * 0.8)).all()


def test_webp(tmp_path):
    for name in ("cat", "dog"):
        write(tmp_path / name / "1.webp", WEBP)
    images = load_images(tmp_path).train.features
    assert images.shape == (2, 4, 6, 4)
    assert images[0].reshape(-1)[-4:].tolist() == [184, 186, 188, 190]
    (image,), _ = read_images(tmp_path / "cat", (4, 6, 3))
    assert image.shape == (4, 6, 3)


def test_odd_sizes_are_named(folder):
    # The first file of all is the odd one.
    odd = write(folder / "cat" / "0.png", pixels(0, (6, 9, 3)))
    assert refusal(folder) == [
        f"{odd}: expected height and width (6, 8), as 4 of 5 images. Received: shape "
        "(6, 9, 3). Pass --image-size N to resize all images."
    ]


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(RefusedError, match=r"which does not exist. Check the path"):
        load_images(tmp_path / "missing")
    path = write(tmp_path / "flat" / "1.png", pixels(0))
    with pytest.raises(RefusedError, match=r"which is a file. Check the path"):
        load_images(path)
    with pytest.raises(
        RefusedError, match=r"one folder of images for each class.*no fol"
    ):
        load_images(tmp_path / "flat")
    with pytest.raises(RefusedError, match=r"at least 2 classes. Received: 1"):
        load_images(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "third").mkdir()
    with pytest.raises(RefusedError, match="2 problems") as caught:
        load_images(tmp_path)
    assert "other: expected images of a class (.bmp, .gif" in caught.value.problems[0]
    for size in (0, -1, True, 2.5):
        with pytest.raises(RefusedError, match=f"Received: image_size={size}"):
            load_images(tmp_path, size)


@pytest.mark.parametrize(
    "names",
    [("train", "val", "test"), ("Training", "dev", "testing"), ("train", "eval")],
)
def test_folders_of_splits(tmp_path, names):
    for seed, name in enumerate(names):
        write(tmp_path / name / "cat" / "1.png", pixels(seed))
        write(tmp_path / name / "dog" / "1.png", pixels(seed + 9))
    write(tmp_path / names[-1] / "dog" / "2.png", pixels(7))
    data = load_images(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(data.train.features, [pixels(0), pixels(9)])
    assert data.test.labels.tolist() == [0, 1, 1]
    np.testing.assert_array_equal(data.test.features[2], pixels(7))
    assert (data.validation is None) == (len(names) == 2)
    if data.validation:
        np.testing.assert_array_equal(data.validation.features[0], pixels(1))


def test_folders_of_splits_that_are_refused(tmp_path):
    for name in ("train/cat", "train/dog", "val/owl", "valid/cat"):
        write(tmp_path / name / "1.png", pixels(0))
    assert refusal(tmp_path) == [
        f"{tmp_path}: expected one folder of validation examples. Received: 'val' and "
        "'valid'. Move the images into one of them."
    ]
    (tmp_path / "valid").rename(tmp_path / "test")
    assert refusal(tmp_path) == [
        f"{tmp_path}/val: expected folders of the classes 'cat', 'dog', as in the "
        "training examples. Received: 'owl'. Add training examples of them, or remove "
        "the folders."
    ]
    (tmp_path / "train").rename(tmp_path / "testing")
    assert any("one of which is called train" in p for p in refusal(tmp_path))


def test_a_test_image_of_another_size_is_named(tmp_path):
    for name in ("train/cat/1", "train/dog/1", "test/cat/1"):
        write(tmp_path / f"{name}.png", pixels(0))
    odd = write(tmp_path / "test" / "dog" / "1.png", pixels(0, (6, 9, 3)))
    (problem,) = refusal(tmp_path)
    assert problem.startswith(f"{odd}: expected height and width (6, 8), as 3 of 4")


def test_a_single_file_is_no_files(folder, capsys):
    (folder / "notes.txt").write_text("x")
    load_images(folder, 2)
    assert f"{folder}: 1 file ignored ({folder}/notes.txt); " in capsys.readouterr().err
    (folder / "more.txt").write_text("x")
    load_images(folder, 2)
    assert f"{folder}: 2 files ignored" in capsys.readouterr().err


def test_too_large_for_memory(folder, monkeypatch):
    assert 2**20 < available_bytes() < 2**50
    monkeypatch.setattr(images_source, "available_bytes", lambda: 500)
    with pytest.raises(
        RefusedError, match=r"fit in memory. Received: 5 images of shape \(6, 8, 3\)"
    ):
        load_images(folder)
    assert len(load_images(folder, 2).train) == 5


def test_images_for_a_prediction(folder, capsys):
    features, files = read_images(folder, (6, 8, 3))
    assert features.shape == (5, 6, 8, 3)
    assert files == sorted(files)
    assert files[0] == os.path.join(folder, "cat", "0.png")
    np.testing.assert_array_equal(features[3], pixels(10))
    assert capsys.readouterr().err == ""
    features, files = read_images(files[0], (3, 4, 3))
    assert features.shape == (1, 3, 4, 3)
    assert "1 of 1 image resized to (3, 4), as in training" in capsys.readouterr().err
    gray, _ = read_images(files[0], (6, 8, 1))
    luma = pixels(0) @ (0.299, 0.587, 0.114)
    np.testing.assert_allclose(gray[0, ..., 0], luma, atol=0.51)
    assert "of 1 image converted to gray: 1 RGB" in capsys.readouterr().err
    with pytest.raises(RefusedError, match=r"no.png', which does not exist"):
        read_images(folder / "no.png", (6, 8, 3))
    (folder / "empty").mkdir()
    with pytest.raises(RefusedError, match="empty', a folder without any"):
        read_images(folder / "empty", (6, 8, 3))
    write(folder / "cat" / "1.png", b"no")
    with pytest.raises(RefusedError, match=r"1.png: expected an image"):
        read_images(folder, (6, 8, 3))
