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
    jpeg_segments,
    jpeg_symbols,
)
from kerascale.datasets.packed.jpeg_header import JpegHeader
from kerascale.datasets.packed.jpeg_regions import segments_a_row
from kerascale.datasets.packed.jpeg_segments import Segment
from kerascale.datasets.packed.room import Room
from kerascale.runtime import host

# The largest interval in pixels of a row. Shorter ones cut closer to the window; each
# marker takes about six bytes, and decoding begins anew behind it.
MAX_WIDTH = 32
# What a block takes: its coefficients, by libjpeg and here, or its symbols and bits.
_BLOCK_BYTES = 320
# For the pictures that threads work on: one of 16 megapixels for each core.
_ROOM = Room(2**27 * host.usable_cores())
_SOI, _EOI, _EXTENDED = b"\xff\xd8", b"\xff\xd9", 0xC1


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
    segments = jpeg_segments.of_header(content, header)
    if segments is None or content.rfind(_EOI) < header.scan:
        _pixels(content)
        return content
    blocks = sum(high * wide for high, wide in jpeg_coefficients.blocks_of(header))
    try:
        with _ROOM.taken(blocks * _BLOCK_BYTES):
            coefficients = jpeg_coefficients.read(content, header)
            made = _written(segments, header, coefficients)
            del coefficients
    # Libjpeg cannot read it, or finds values that no encoder of eight bits writes.
    except (OSError, ValueError):
        _pixels(content)
        return content
    # What an unfinished progressive JPEG lacks, a decoder may smooth.
    if header.is_sequential or _pixels(made) == _pixels(content):
        return made
    return content


def _is_short(header: JpegHeader) -> bool:
    """Whether it has markers that are close enough to each other."""
    width = header.restart_interval * header.mcu_sides[1]
    return segments_a_row(header) > 0 and width <= MAX_WIDTH


def _written(
    segments: list[Segment], header: JpegHeader, coefficients: list[np.ndarray]
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
            _segment(jpeg_segments.DRI, interval.to_bytes(2, "big")),
            _segment(jpeg_segments.SOS, _scan_header(header)),
            *scan,
        ]
    )


def _kept(segments: list[Segment]) -> list[bytes]:
    """What stays of the header; a progressive frame becomes a sequential one."""
    found = []
    replaced = (jpeg_segments.DHT, jpeg_segments.DRI, jpeg_segments.SOS)
    for marker, body in segments:
        ours = marker == jpeg_header.LENGTHS
        if marker in replaced or (ours and body.startswith(jpeg_header.LENGTHS_NAME)):
            continue
        # Baseline knows quantization tables of eight bits alone, extended both.
        is_progressive = marker == jpeg_segments.PROGRESSIVE
        found.append(_segment(_EXTENDED if is_progressive else marker, body))
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
            jpeg_segments.DHT,
            bytes([(number % 2) << 4 | number // 2]) + table.counts + table.symbols,
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
    """Pixels as Pillow decodes them, which raises an `OSError` where it cannot."""
    with PIL.Image.open(io.BytesIO(content)) as picture:
        return picture.tobytes()
