"""The segments of a JPEG's header, each checked as libjpeg does (ITU-T T.81, Annex B).

Where libjpeg refuses a header, jpeglib 1.0 closes a file that it never noted as open,
which may end the process. So nothing is given to it that libjpeg would refuse.
"""

from collections.abc import Callable
from typing import NamedTuple

from kerascale.datasets.packed.jpeg_header import JpegHeader

DHT, DQT, DRI, SOS, COM, APP15 = 0xC4, 0xDB, 0xDD, 0xDA, 0xFE, 0xEF
# Baseline, extended sequential, progressive: those with Huffman tables.
PROGRESSIVE = 0xC2
FRAMES = (0xC0, 0xC1, PROGRESSIVE)
_APPS = range(0xE0, APP15 + 1)
_PICTURES = (0xE2, b"MPF\0")
_BITS, _MOST_SIDE, _MOST_FACTOR = 8, 65500, 4
# Blocks in an MCU.
_MOST_BLOCKS = 10


class Segment(NamedTuple):
    """A segment: its marker, and what stands behind its length."""

    marker: int
    body: bytes


def of_header(content: bytes, header: JpegHeader) -> list[Segment] | None:
    """All segments in front of the first scan.

    Args:
        content: A JPEG.
        header: Of it.

    Returns:
        None: libjpeg would refuse one, or it is no usual JPEG of eight bits and of one
        or three components, alone in its file.
    """
    found: list[Segment] = []
    place = 2
    while place < header.scan:
        marker = content[place + 1]
        if marker == 0xFF:  # A fill byte.
            place += 1
            continue
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        if length < 2 or place + 2 + length > len(content):
            return None
        found.append(Segment(marker, content[place + 4 : place + 2 + length]))
        place += 2 + length
    frames = [each for each in found if each.marker in FRAMES]
    is_usual = (
        len(frames) == 1
        and _is_usual_frame(frames[0].body, header)
        and all(is_sound(each, header) for each in found)
    )
    return found if is_usual else None


def is_sound(segment: Segment, header: JpegHeader) -> bool:
    """Whether libjpeg takes a segment as it is."""
    marker, body = segment
    if marker == DQT:
        return _are_tables(body, _bytes_of_quantization)
    if marker == DHT:
        return _are_tables(body, _bytes_of_codes)
    if marker == DRI:
        return len(body) == 2
    if marker == SOS:
        return _is_scan(body, header)
    if marker == _PICTURES[0]:
        return not body.startswith(_PICTURES[1])
    return marker in FRAMES or marker == COM or marker in _APPS


def _are_tables(body: bytes, bytes_of: Callable[[bytes], int]) -> bool:
    """Whether a segment is tables of the numbers 0 to 3, one behind the other."""
    while body:
        size = bytes_of(body)
        # Its upper half is the precision, or the class: 0 or 1.
        if body[0] > 0x1F or body[0] & 15 > 3 or size > len(body):
            return False
        body = body[size:]
    return True


def _bytes_of_quantization(body: bytes) -> int:
    return 129 if body[0] >> 4 else 65


def _bytes_of_codes(body: bytes) -> int:
    count = sum(body[1:17])
    return 17 + count if count <= 256 else len(body) + 1


def _is_scan(body: bytes, header: JpegHeader) -> bool:
    count = body[0] if body else 0
    names = body[1 : 1 + 2 * count : 2]
    return (
        1 <= count <= 4
        and len(body) == 4 + 2 * count
        and len(set(names)) == count
        and set(names) <= set(header.identifiers)
    )


def _is_usual_frame(body: bytes, header: JpegHeader) -> bool:
    count = len(header.sampling)
    sides = [(f & 15, f >> 4) for f in header.sampling]
    high, wide = (max(side) for side in zip(*sides, strict=True))
    blocks = sum(down * across for down, across in sides)
    return (
        len(body) == 6 + 3 * count
        and count in (1, 3)
        and len(set(header.identifiers)) == count
        and body[0] == _BITS
        and max(header.height, header.width) <= _MOST_SIDE
        and max(high, wide) <= _MOST_FACTOR
        # Blocks of components lie in MCUs as they do in all usual files.
        and all(high % down == wide % across == 0 for down, across in sides)
        and (count == 1 or blocks <= _MOST_BLOCKS)
        and all(number < 4 for number in body[8::3])
    )
