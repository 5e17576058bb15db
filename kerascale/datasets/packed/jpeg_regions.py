"""Regions of a JPEG that are cut out of it by bytes, at its restart markers.

Behind each restart marker decoding begins anew (ITU-T T.81, E.1.4). Where their
interval divides the row, the segments that a window touches, under a header with a
smaller height and width, are a JPEG of just that region, with the same pixels: what is
beside the window costs no entropy decoding.
"""

import functools
from typing import NamedTuple

import numpy as np

from kerascale.datasets.packed.jpeg_header import JpegHeader

_RST0 = 0xD0
_EOI = 0xD9


class Region(NamedTuple):
    """A part of a picture, encoded.

    Args:
        content: A JPEG.
        top: In pixels of the picture, where it begins.
        left: In pixels of the picture, where it begins.
    """

    content: bytes
    top: int
    left: int


def segments_a_row(header: JpegHeader) -> int:
    """Segments between restart markers that a row of MCUs has; 0: it cannot be cut."""
    interval = header.restart_interval
    if not (interval and header.is_sequential):
        return 0
    mcus = -(-header.width // header.mcu_sides[1])
    return 0 if mcus % interval else mcus // interval


def cut(
    content: bytes, header: JpegHeader, window: tuple[int, int, int, int]
) -> Region:
    """The smallest region that holds a window.

    Args:
        content: A JPEG.
        header: Of it.
        window: Top, left, height and width in pixels; within the picture.

    Returns:
        The region; the picture itself where it cannot be cut.

    Raises:
        ValueError: If restart markers are missing or not in turn.
    """
    across = segments_a_row(header)
    if not across:
        return Region(content, 0, 0)
    down, width = header.mcu_sides
    width *= header.restart_interval
    first_row, first = window[0] // down, window[1] // width
    behind_row = -(-(window[0] + window[2]) // down)
    behind = -(-(window[1] + window[3]) // width)
    count = -(-header.height // down) * across
    if (behind_row - first_row) * (behind - first) == count:
        return Region(content, 0, 0)
    # Of each segment the first byte, and that behind its marker; the last one has EOI.
    ends = ends_of_segments(content, header, count)
    begins = np.concatenate([[header.scan], ends[:-1]])
    last = ends[first_row * across : behind_row * across].reshape(-1, across)
    last = last[:, first:behind]
    start = begins[first_row * across + first : behind_row * across : across]
    # Where markers are in the region: each line of it moves as a whole.
    lengths = last[:, -1] - start
    moved = header.scan + np.cumsum(lengths) - lengths - start
    markers = (last + (moved[:, None] - 1)).ravel()
    top, left = first_row * down, first * width
    region = bytearray(content[: header.scan])
    sides = (
        min(header.height, behind_row * down) - top,
        min(header.width, behind * width) - left,
    )
    place = header.frame
    region[place : place + 2] = sides[0].to_bytes(2, "big")
    region[place + 2 : place + 4] = sides[1].to_bytes(2, "big")
    view = memoryview(content)
    pairs = zip(start.tolist(), last[:, -1].tolist(), strict=True)
    region = bytearray().join([region, *[view[a:b] for a, b in pairs]])
    numbers = np.frombuffer(region, np.uint8)
    numbers[markers] = _RST0 + np.arange(len(markers)) % 8
    numbers[markers[-1]] = _EOI
    return Region(bytes(region), top, left)


def ends_of_segments(content: bytes, header: JpegHeader, count: int) -> np.ndarray:
    """Of each segment, the place behind the marker that ends it; int64 (count,).

    Where the header does not say how long they are, the whole scan is looked through.

    Raises:
        ValueError: If restart markers are missing or not in turn.
    """
    data = np.frombuffer(content, np.uint8)
    if header.lengths:
        lengths = np.frombuffer(header.lengths, ">u2", len(header.lengths) // 2)
        ends = header.scan + np.cumsum(lengths, dtype=np.int64)
        is_whole = len(ends) == count and ends[-1] <= len(data)
        found = ends - 1 if is_whole else ends[:0]
        if (data[found - 1] != 0xFF).any():
            found = found[:0]
    else:
        places = np.flatnonzero(data[header.scan : -1] == 0xFF) + (header.scan + 1)
        kinds = data[places]
        # What stands behind the end of the picture does not belong to it.
        found = places[((kinds & 0xF8) == _RST0) | (kinds == _EOI)][:count]
    kinds = data[found]
    if len(found) < count or (kinds != _turns(count)).any():
        raise ValueError(
            f"JPEG: expected {count - 1:,} restart markers in turn. Received: "
            f"{int((kinds != _EOI).sum()):,}, or others between. The file is damaged."
        )
    return found + 1


@functools.lru_cache(maxsize=64)
def _turns(count: int) -> np.ndarray:
    """Which marker ends each segment."""
    turns = _RST0 + np.arange(count) % 8
    turns[-1] = _EOI
    return turns.astype(np.uint8)
