"""Restart markers in a JPEG change none of its pixels, for any decoder."""

import heapq
import importlib.util
import io
import itertools
import json
import pathlib
import re
import threading

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import tensorflow as tf

from kerascale.datasets.packed import (
    jpeg_coefficients,
    jpeg_header,
    jpeg_huffman,
    jpeg_regions,
    jpeg_segments,
    packing,
    sources,
)
from kerascale.datasets.packed.jpeg_restarts import with_restart_markers
from kerascale.datasets.packed.room import Room
from kerascale.errors import RefusedError

_RANDOM = np.random.default_rng(0)
_SMALL = _RANDOM.integers(0, 256, (12, 16, 3), np.uint8)
# One pixel, less than a block, a prime number of MCUs, whole MCUs.
_SIZES = ((1, 1), (7, 30), (97, 203), (64, 128))


def _picture(height, width, noise=20):
    small = PIL.Image.fromarray(_SMALL)
    large = np.asarray(small.resize((width, height), PIL.Image.Resampling.BICUBIC))
    noisy = large + _RANDOM.integers(-noise, noise + 1, large.shape)
    return PIL.Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _saved(picture, **options):
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)
    return file.getvalue()


def _assert_same_pixels(made, content):
    """By Pillow, and by TensorFlow as it is and with its fast settings."""
    opened = [PIL.Image.open(io.BytesIO(each)) for each in (made, content)]
    assert opened[0].mode == opened[1].mode
    np.testing.assert_array_equal(*map(np.asarray, opened))
    for options in ({}, {"dct_method": "INTEGER_FAST", "fancy_upscaling": False}):
        for ratio in (1, 2, 8):
            found = [
                tf.io.decode_jpeg(c, ratio=ratio, **options) for c in (made, content)
            ]
            np.testing.assert_array_equal(*found)


def _assert_has_markers(made, content):
    before, after = jpeg_header.parse(content), jpeg_header.parse(made)
    assert after.is_sequential
    assert after[:4] == before[:4]
    count = jpeg_regions.segments_a_row(after) * -(-after.height // after.mcu_sides[0])
    assert count >= -(-after.width // 32)
    told = jpeg_regions.ends_of_segments(made, after, count)
    found = jpeg_regions.ends_of_segments(made, after._replace(lengths=b""), count)
    np.testing.assert_array_equal(told, found)
    assert told[-1] == len(made)


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0", "gray", "RGB"])
def test_pixels_stay_the_same(sampling, size):
    picture, options = _picture(*size), {"subsampling": sampling}
    if sampling == "gray":
        picture, options = picture.convert("L"), {}
    elif sampling == "RGB":
        options = {"keep_rgb": True}
    for quality, optimize in ((50, True), (75, False), (95, True), (100, False)):
        content = _saved(picture, quality=quality, optimize=optimize, **options)
        made = with_restart_markers(content)
        _assert_has_markers(made, content)
        _assert_same_pixels(made, content)
        # They are there already.
        assert with_restart_markers(made) is made


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:0"])
def test_a_progressive_jpeg_becomes_a_sequential_one_of_the_same_pixels(sampling):
    picture = _picture(97, 203)
    content = _saved(picture, quality=90, subsampling=sampling, progressive=True)
    made = with_restart_markers(content)
    _assert_has_markers(made, content)
    _assert_same_pixels(made, content)


def test_a_progressive_jpeg_that_lacks_scans_stays_as_it_is():
    content = _saved(_picture(97, 203), quality=90, progressive=True)
    scans = [found.start() for found in re.finditer(b"\xff\xda", content)]
    cut = content[: scans[2]] + b"\xff\xd9"
    assert with_restart_markers(cut) is cut


def test_runs_of_zeros_and_blocks_without_any():
    """One with its last coefficient alone, and noise, of which each is there."""
    row, column = np.mgrid[:8, :8]
    cosines = [np.cos((2 * n + 1) * 7 * np.pi / 16) for n in (row, column)]
    block = 128 + 100 * cosines[0] * cosines[1]
    finest = PIL.Image.fromarray(np.tile(block, (4, 8)).round().astype(np.uint8))
    noise = PIL.Image.fromarray(_RANDOM.integers(0, 256, (32, 64), np.uint8))
    for picture, table in ((finest, [255] * 64), (noise, [1] * 64)):
        content = _saved(picture, qtables=[table])
        made = with_restart_markers(content)
        _assert_has_markers(made, content)
        _assert_same_pixels(made, content)


def test_what_else_is_in_the_file_stays():
    exif = PIL.Image.Exif()
    exif[0x010E] = "a boat"
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    # Tables of a camera, which no quality gives.
    tables = [list(range(2, 66)), list(range(70, 6, -1))]
    content = _saved(
        _picture(97, 203),
        qtables=tables,
        subsampling="4:2:0",
        exif=exif,
        icc_profile=profile,
        comment=b"by hand",
        dpi=(300, 300),
    )
    made = with_restart_markers(content)
    _assert_same_pixels(made, content)
    old, new = (PIL.Image.open(io.BytesIO(each)) for each in (content, made))
    assert new.info == old.info
    assert new.info["exif"]
    assert new.info["icc_profile"] == profile
    assert new.info["comment"] == b"by hand"
    assert new.quantization == old.quantization == dict(enumerate(tables))
    assert new.applist[:-1] == old.applist
    assert new.applist[-1][0] == "APP15"


def test_markers_that_are_too_far_from_each_other_are_replaced():
    picture = _picture(96, 256)
    content = _saved(picture, quality=90, restart_marker_rows=1)
    made = with_restart_markers(content)
    _assert_has_markers(made, content)
    _assert_same_pixels(made, content)


def test_a_photograph():
    folder = importlib.util.find_spec("matplotlib").submodule_search_locations[0]
    content = pathlib.Path(folder, "mpl-data/sample_data/grace_hopper.jpg").read_bytes()
    made = with_restart_markers(content)
    _assert_has_markers(made, content)
    _assert_same_pixels(made, content)
    assert len(made) < 1.1 * len(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(_saved(_picture(32, 32).convert("CMYK")), id="CMYK"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(40), id="no JPEG"),
        pytest.param(_saved(_picture(64, 80))[:30], id="a part of a header"),
    ],
)
def test_other_pictures_stay_as_they_are(content):
    assert with_restart_markers(content) is content


def test_several_pictures_in_a_file_stay_as_they_are():
    file = io.BytesIO()
    pictures = [_picture(32, 48), _picture(32, 48)]
    pictures[0].save(file, "MPO", save_all=True, append_images=pictures[1:])
    assert with_restart_markers(file.getvalue()) is file.getvalue()


def test_a_file_that_is_cut_short_is_an_error():
    content = _saved(_picture(64, 80), quality=90)
    with pytest.raises(OSError, match="truncated"):
        with_restart_markers(content[:-200])


def test_a_header_with_a_segment_that_libjpeg_would_refuse_is_not_given_to_it():
    content = _saved(_picture(64, 80), quality=90)
    header = jpeg_header.parse(content)
    found = jpeg_segments.of_header(content, header)
    assert all(jpeg_segments.is_sound(segment, header) for segment in found)
    by_marker = {segment.marker: segment for segment in found}
    # Too many codes; a table of number 15; no such component.
    for marker, place in (
        (jpeg_segments.DHT, 1),
        (jpeg_segments.DQT, 0),
        (jpeg_segments.SOS, 1),
    ):
        body = bytearray(by_marker[marker].body)
        body[place : place + 4] = b"\xff" * 4
        wrong = by_marker[marker]._replace(body=bytes(body))
        assert not jpeg_segments.is_sound(wrong, header)


def _cost(frequencies):
    """Bits of all symbols by Huffman's tree."""
    heap, cost = sorted(frequencies), 0
    while len(heap) > 1:
        least = heapq.heappop(heap) + heapq.heappop(heap)
        cost += least
        heapq.heappush(heap, least)
    return cost


def test_tables_are_the_best_and_no_code_has_more_than_16_bits():
    fibonacci = [1, 1]
    while len(fibonacci) < 30:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    cases = [[7], [3, 3], [1] * 256, _RANDOM.integers(1, 10**6, 162), fibonacci]
    for case in cases:
        frequencies = np.zeros(256, np.int64)
        places = _RANDOM.permutation(256)[: len(case)]
        frequencies[places] = case
        table = jpeg_huffman.best_table(frequencies)
        assert sum(table.counts) == len(table.symbols) == len(case)
        lengths = table.lengths[places].astype(int)
        assert 1 <= lengths.min() <= lengths.max() <= 16
        codes = [
            format(code, f"0{length}b")
            for code, length in zip(table.codes[places].tolist(), lengths, strict=True)
        ]
        ordered = sorted(codes)
        assert not any(b.startswith(a) for a, b in itertools.pairwise(ordered))
        assert not any(set(code) == {"1"} for code in codes)
        if case is not fibonacci:
            bits = int((lengths * frequencies[places]).sum())
            # One more symbol of frequency 1 has the code of ones.
            assert bits <= _cost([1, *map(int, case)]) - 1


@pytest.fixture
def folder(tmp_path):
    for name in ("dark", "light"):
        (tmp_path / "files" / name).mkdir(parents=True)
        for number in range(6):
            path = tmp_path / "files" / name / f"{number}.jpg"
            path.write_bytes(_saved(_picture(48, 64)))
    return tmp_path


def _pack(folder):
    options = sources.SourceOptions(jpeg_restart_markers=True)
    source = sources.open_source(f"images:{folder / 'files'}", options)
    return packing.pack(source, folder / "packed", options=options.of_rows())


def test_a_folder_of_pictures_that_were_encoded_anew_is_another_data_set(folder):
    _pack(folder)
    path = folder / "packed" / "packed.json"
    held = json.loads(path.read_text())
    held["options"]["jpeg_restart_markers"] = True
    path.write_text(json.dumps(held))
    with pytest.raises(RefusedError, match=r"jpeg_restart_markers=True.*--again"):
        _pack(folder)


def test_without_the_library_nothing_is_packed(folder, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "jpeglib" else find(name),
    )
    with pytest.raises(RefusedError, match=r"jpeglib.*kerascale\[jpeg\]"):
        _pack(folder)
    assert not (folder / "packed").exists()


def test_large_pictures_wait_for_room():
    room = Room(10)
    entered = threading.Event()

    def enter():
        with room.taken(100):  # All of it, for one alone.
            entered.set()

    with room.taken(1):
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.05)
    assert entered.wait(10)
    thread.join()


def test_coefficients_are_those_of_the_file():
    """Those of a gray picture of one colour: its mean, in steps of the table."""
    content = _saved(PIL.Image.new("L", (20, 9), 200), qtables=[[4] * 64])
    (found,) = jpeg_coefficients.read(content, jpeg_header.parse(content))
    assert found.shape == (2, 3, 64)
    assert (found[..., 0] == (200 - 128) * 8 // 4).all()
    assert not found[..., 1:].any()
