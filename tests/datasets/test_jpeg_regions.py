"""Regions that are cut out of JPEGs by bytes have the pixels of the whole picture."""

import io

import numpy as np
import PIL.Image
import pytest

from kerascale.datasets.host_rows import RowError
from kerascale.datasets.packed import (
    jpeg_header,
    jpeg_regions,
    manifest,
    packing,
    sources,
    windows,
)
from kerascale.datasets.packed.jpeg_restarts import with_restart_markers
from kerascale.datasets.packed.opened import open_packed
from kerascale.datasets.packed.pictures import Pictures
from kerascale.errors import RefusedError

_SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0", "gray")
# One, of which a row has a prime number of MCUs, and one of whole MCUs.
_SIZES = ((97, 203), (128, 256))


def _pixels(height, width, seed=0):
    random = np.random.default_rng(seed)
    small = PIL.Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8))
    large = np.asarray(small.resize((width, height), PIL.Image.Resampling.BICUBIC))
    noise = random.integers(-20, 20, large.shape)
    return np.clip(large + noise, 0, 255).astype(np.uint8)


def _jpeg(sampling, height, width, seed=0, **options):
    picture = PIL.Image.fromarray(_pixels(height, width, seed))
    if sampling == "gray":
        picture = picture.convert("L")
    else:
        options["subsampling"] = sampling
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=92, **options)
    return file.getvalue()


def _opened(content):
    return np.asarray(PIL.Image.open(io.BytesIO(content))).astype(int)


# Sides of a window over those of the result: libjpeg's divisors 1, 2, 4 and 8.
@pytest.mark.parametrize("side", [60, 30, 14, 7])
@pytest.mark.parametrize("sampling", _SAMPLINGS)
def test_a_window_of_a_region_is_that_of_the_whole_picture(sampling, side, monkeypatch):
    files = [_jpeg(sampling, *size, seed) for seed, size in enumerate(_SIZES * 6)]
    contents = [with_restart_markers(content) for content in files]
    random = np.random.default_rng(side)
    draws = random.random((len(contents), 22), np.float32)
    # At the edges, too.
    draws[:8, 20:] = np.repeat([[0, 0], [0, 0.9999], [0.9999, 0], [0.9999] * 2], 2, 0)
    shape = (side, side, 3)
    cut, shares = jpeg_regions.cut, []

    def measured(content, *rest):
        found = cut(content, *rest)
        shares.append(len(found.content) / len(content))
        return found

    monkeypatch.setattr(jpeg_regions, "cut", measured)
    found = windows.decoded(contents, draws, 0.2, shape)
    assert np.mean(shares) < 0.8
    monkeypatch.setattr(jpeg_regions, "cut", cut)
    expected = windows.decoded(files, draws, 0.2, shape)
    np.testing.assert_array_equal(found, expected)


def test_segments_are_found_where_the_header_says_and_by_search():
    content = with_restart_markers(_jpeg("4:2:0", 97, 203))
    header = jpeg_header.parse(content)
    assert header.lengths
    told = jpeg_regions.cut(content, header, (70, 150, 20, 40))
    unaware = header._replace(lengths=b"")
    assert jpeg_regions.cut(content, unaware, (70, 150, 20, 40)) == told
    wrong = header._replace(lengths=header.lengths[:-2] + b"\0\1")
    for lengths in (wrong.lengths, header.lengths[2:], header.lengths + b"\0\2"):
        other = header._replace(lengths=lengths)
        with pytest.raises(ValueError, match="restart markers in turn"):
            jpeg_regions.cut(content, other, (70, 150, 20, 40))


@pytest.mark.parametrize("sampling", _SAMPLINGS)
def test_a_region_is_a_whole_jpeg_for_other_programs(sampling):
    content = with_restart_markers(_jpeg(sampling, 97, 203))
    header = jpeg_header.parse(content)
    region = jpeg_regions.cut(content, header, (70, 150, 20, 40))
    assert region.top <= 70
    assert region.left <= 150
    assert len(region.content) < len(content) / 2
    found, whole = _opened(region.content), _opened(content)
    part = whole[region.top :, region.left :][: found.shape[0], : found.shape[1]]
    # Pillow smooths colours across blocks; what is far from the edge is the same.
    np.testing.assert_array_equal(found[8:-8, 8:-8], part[8:-8, 8:-8])


@pytest.fixture
def folder(tmp_path):
    for name in ("dark", "light"):
        (tmp_path / "files" / name).mkdir(parents=True)
        for number in range(12):
            path = tmp_path / "files" / name / f"{number:02}.jpg"
            path.write_bytes(_jpeg("4:2:0", 96, 128, number))
    return tmp_path


def _pack(folder, dest="packed", **options):
    options = sources.SourceOptions(jpeg_restart_markers=True, **options)
    source = sources.open_source(f"images:{folder / 'files'}", options)
    return packing.pack(source, folder / dest, options=options.of_rows())


def test_they_are_packed_and_read_in_any_number_of_threads(folder):
    made = _pack(folder)
    assert made.options["jpeg_restart_markers"] == "lossless"
    assert _pack(folder, "again", jobs=1).fingerprint == made.fingerprint
    rows = np.arange(10)
    pictures = Pictures(open_packed(str(folder / "packed")), 40)
    draws = np.random.default_rng(1).random((10, 22), np.float32)
    found = []
    for threads in (1, 3):
        reader = pictures.cropped(0.3)
        reader.num_threads = threads
        found.append(reader.arrays(rows, draws)[0])
    np.testing.assert_array_equal(*found)
    # The plain one is another data set, with the same windows.
    plain = sources.SourceOptions()
    assert "jpeg_restart_markers" not in plain.of_rows()
    source = sources.open_source(f"images:{folder / 'files'}", plain)
    packing.pack(source, folder / "plain", options=plain.of_rows())
    other = Pictures(open_packed(str(folder / "plain")), 40)
    np.testing.assert_array_equal(other.cropped(0.3).arrays(rows, draws)[0], found[0])
    np.testing.assert_array_equal(
        *(p.whole().arrays(rows)[0] for p in (other, pictures))
    )
    with pytest.raises(RefusedError, match=r"jpeg_restart_markers|options"):
        packing.pack(source, folder / "packed", options=plain.of_rows())


def test_a_picture_that_cannot_be_decoded_is_named(folder):
    path = folder / "files" / "light" / "05.jpg"
    content = path.read_bytes()
    # Only who decodes it sees that a Huffman table has too many codes.
    table = content.index(b"\xff\xc4") + 5
    path.write_bytes(content[:table] + b"\xff" * 16 + content[table + 16 :])
    with pytest.raises(RefusedError, match=r"light/05\.jpg: cannot be decoded"):
        _pack(folder)
    made = _pack(folder, skip_damaged_share=0.1)
    assert len(made.skipped) == 1
    assert manifest.load(folder / "packed").num_rows == 23


def test_a_damaged_segment_is_named_by_its_row(folder, monkeypatch):
    _pack(folder)
    pictures = Pictures(open_packed(str(folder / "packed")), 40)
    read = pictures._records.read

    def damaged(rows):
        found = list(read(rows))
        place = found[3].index(b"\xff\xd2")
        found[3] = found[3][:place] + b"\x12\x34" + found[3][place + 2 :]
        return found

    monkeypatch.setattr(pictures._records, "read", damaged)
    draws = np.random.default_rng(1).random((24, 22), np.float32)
    with pytest.raises(RowError, match=r"row 3 \(dark/03\.jpg\): .*restart markers"):
        pictures.cropped(0.1).arrays(np.arange(6), draws[:6])


def test_markers_are_for_pictures_that_stay_encoded(folder):
    with pytest.raises(RefusedError, match="jpeg_restart_markers: expected only with"):
        _pack(folder, image_size=32)
    options = sources.SourceOptions(jpeg_restart_markers=True)
    with pytest.raises(RefusedError, match=r"jpeg_restart_markers: .* images: data"):
        sources.open_source("digits", options)
