"""Writes restart markers into JPEGs, so that regions can be cut out of them by bytes.

Quantized coefficients are moved, as they are, into one sequential scan with restart
markers, as `jpegtran -restart` does: each pixel stays what it was.
"""

import io

import numpy as np
import PIL.Image

from kerascale.datasets.packed import (
    jpeg_coefficients,
    jpeg_header,
    jpeg_huffman,
    jpeg_scan,
    jpeg_symbols,
)
from kerascale.datasets.packed.jpeg_header import JpegHeader
from kerascale.datasets.packed.jpeg_regions import segments_a_row

# The largest interval in pixels of a row. Shorter ones cut closer to the window; each
# marker takes about six bytes, and decoding begins anew behind it.
MAX_WIDTH = 32
_SOI, _DQT, _DHT, _DRI, _SOS = b"\xff\xd8", 0xDB, 0xC4, 0xDD, 0xDA
# Baseline, extended sequential, progressive: with Huffman tables.
_BASELINE, _PROGRESSIVE = 0xC0, 0xC2
_FRAMES = (_BASELINE, 0xC1, _PROGRESSIVE)
_COM, _APP0, _APP2, _APP15 = 0xFE, 0xE0, 0xE2, 0xEF
_PICTURES = b"MPF\0"
_BITS = 8
# Blocks in an MCU (T.81, B.2.3).
_MOST_BLOCKS = 10

_Segments = list[tuple[int, bytes]]


def with_restart_markers(content: bytes) -> bytes:
    """A picture with restart markers whose interval divides its rows.

    Args:
        content: What is in the file of a picture.

    Returns:
        A JPEG of the same pixels, for any decoder; application segments, comments and
        quantization tables as they were. As it is where it has such markers already,
        or is of another format, of more than three components, or of several pictures.

    Raises:
        OSError: If it is damaged.
    """
    header = jpeg_header.parse(content)
    if header is None or _is_short(header):
        return content
    segments = _segments(content, header)
    if segments is None:
        return content
    try:
        coefficients = jpeg_coefficients.read(content, header)
    except OSError:
        # What Pillow cannot decode either is damaged, and it says how.
        with PIL.Image.open(io.BytesIO(content)) as picture:
            picture.load()
        return content
    try:
        made = _written(segments, header, coefficients)
    except ValueError:  # Values that no encoder of eight bits writes.
        return content
    # What an unfinished progressive JPEG lacks, a decoder may smooth.
    if header.is_sequential or _pixels(made) == _pixels(content):
        return made
    return content


def _is_short(header: JpegHeader) -> bool:
    """Whether it has markers that are close enough to each other."""
    width = header.restart_interval * header.mcu_sides[1]
    return segments_a_row(header) > 0 and width <= MAX_WIDTH


def _segments(content: bytes, header: JpegHeader) -> _Segments | None:
    """(marker, what is behind its length) of each segment of the header.

    Returns:
        None: there is something in it that is not known here.
    """
    found: _Segments = []
    place = len(_SOI)
    while place < header.scan:
        marker = content[place + 1]
        if marker == 0xFF:  # A fill byte.
            place += 1
            continue
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        found.append((marker, content[place + 4 : place + 2 + length]))
        place += 2 + length
    markers = [marker for marker, _ in found]
    frames = [each for each in found if each[0] in _FRAMES]
    others = (*_FRAMES, _DQT, _DHT, _DRI, _SOS, _COM, *range(_APP0, _APP15 + 1))
    several = any(m == _APP2 and b.startswith(_PICTURES) for m, b in found)
    count = len(header.sampling)
    is_known = (
        set(markers) <= set(others)
        and len(frames) == 1
        and frames[0][1][0] == _BITS
        and len(frames[0][1]) == 6 + 3 * count
        and count in (1, 3)
        and not several
        and _divides(header)
    )
    return found if is_known else None


def _divides(header: JpegHeader) -> bool:
    """Whether blocks of components lie in MCUs as they do in all usual files."""
    sides = [(f & 15, f >> 4) for f in header.sampling]
    most = [max(side) for side in zip(*sides, strict=True)]
    blocks = sum(high * wide for high, wide in sides)
    whole = all(most[0] % high == most[1] % wide == 0 for high, wide in sides)
    return whole and (len(sides) == 1 or blocks <= _MOST_BLOCKS)


def _written(
    segments: _Segments, header: JpegHeader, coefficients: list[np.ndarray]
) -> bytes:
    interval = _interval(header)
    bands = list(jpeg_symbols.symbols(coefficients, header, interval))
    frequencies = sum(band.frequencies() for band in bands)
    tables = [
        jpeg_huffman.best_table(each) if each.any() else None for each in frequencies
    ]
    codes = jpeg_scan.codes_of(tables)
    scan, lengths, first = [], [], 0
    for number, band in enumerate(bands, 1):
        is_last = number == len(bands)
        data, own = jpeg_scan.written(band, codes, first, is_last)
        scan.append(data)
        lengths.append(own)
        first += len(own)
    return b"".join(
        [
            _SOI,
            *_kept(segments),
            _lengths(np.concatenate(lengths)),
            *_tables(tables),
            _segment(_DRI, interval.to_bytes(2, "big")),
            _segment(_SOS, _scan_header(header)),
            *scan,
        ]
    )


def _kept(segments: _Segments) -> list[bytes]:
    """What stays of the header; a progressive frame becomes a sequential one."""
    found = []
    for marker, body in segments:
        is_ours = marker == _APP15 and body.startswith(jpeg_header.LENGTHS_NAME)
        if marker in (_DHT, _DRI, _SOS) or is_ours:
            continue
        # Baseline knows quantization tables of eight bits alone, extended both.
        found.append(_segment(0xC1 if marker == _PROGRESSIVE else marker, body))
    return found


def _lengths(lengths: np.ndarray) -> bytes:
    """How long segments are, for a header: else each read looks for markers."""
    body = jpeg_header.LENGTHS_NAME + lengths.astype(">u2").tobytes()
    if lengths.max() > 0xFFFF or len(body) + 2 > 0xFFFF:
        return b""
    return _segment(jpeg_header.LENGTHS, body)


def _tables(tables: list[jpeg_huffman.Table | None]) -> list[bytes]:
    return [
        # Class (DC, AC), then number.
        _segment(
            _DHT, bytes([(number % 2) << 4 | number // 2]) + table.counts + table.symbols
        )
        for number, table in enumerate(tables)
        if table is not None
    ]


def _scan_header(header: JpegHeader) -> bytes:
    found = [len(header.identifiers)]
    for number, identifier in enumerate(header.identifiers):
        found += [identifier, 0x11 if number else 0]
    return bytes([*found, 0, 63, 0])


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def _interval(header: JpegHeader) -> int:
    """The largest divisor of a row's MCUs that is short enough."""
    width = header.mcu_sides[1]
    mcus = -(-header.width // width)
    return max(n for n in range(1, max(1, MAX_WIDTH // width) + 1) if mcus % n == 0)


def _pixels(content: bytes) -> bytes:
    with PIL.Image.open(io.BytesIO(content)) as picture:
        return picture.tobytes()
