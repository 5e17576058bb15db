"""What the header of a JPEG says, without decoding it (ITU-T T.81, Annex B)."""

import struct
from typing import NamedTuple

_SOI = b"\xff\xd8\xff"
# Baseline and extended sequential with Huffman tables, the frames that are one scan.
_SEQUENTIAL = (0xC0, 0xC1)
# All frames but DHT, JPG and DAC, which have numbers between theirs.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_DRI, _SOS = 0xDD, 0xDA
# An application segment of ours: the bytes of each segment between restart markers, its
# marker included, uint16 big-endian. Other decoders pass it by.
LENGTHS = 0xEF
LENGTHS_NAME = b"kerascale restarts\0"
_SEGMENT = struct.Struct(">BBH")
_SIDES = struct.Struct(">HHB")
BLOCK = 8


class JpegHeader(NamedTuple):
    """The header of a JPEG.

    Args:
        height: In pixels.
        width: In pixels.
        sampling: Of each component the horizontal factor times 16, plus the vertical.
        identifiers: Of each component.
        is_sequential: One scan, of all components, front to back.
        restart_interval: In MCUs (minimum coded units); 0: no restart markers.
        frame: Place of the height in the file; the width stands behind it.
        scan: Place of the first byte behind the header.
        lengths: What `LENGTHS` holds behind its name; empty: there is none.
    """

    height: int
    width: int
    sampling: tuple[int, ...]
    identifiers: tuple[int, ...]
    is_sequential: bool
    restart_interval: int
    frame: int
    scan: int
    lengths: bytes

    @property
    def mcu_sides(self) -> tuple[int, int]:
        """Height and width in pixels of an MCU."""
        if len(self.sampling) == 1:  # Not interleaved: always one block.
            return BLOCK, BLOCK
        down = max([factors & 15 for factors in self.sampling])
        across = max([factors >> 4 for factors in self.sampling])
        return BLOCK * down, BLOCK * across


def parse(content: bytes) -> JpegHeader | None:
    """Reads the header of a JPEG.

    Args:
        content: What is in the file.

    Returns:
        The header; None: this is no JPEG, or one whose header is damaged or tells no
        height.
    """
    if not content.startswith(_SOI):
        return None
    place, interval, frame, kind = 2, 0, 0, 0
    height = width = 0
    components = lengths = b""
    try:
        while True:
            begin, marker, length = _SEGMENT.unpack_from(content, place)
            if begin != 0xFF:
                return None
            if marker == 0xFF:  # A fill byte.
                place += 1
                continue
            if marker in _FRAMES:
                frame, kind = place + 5, marker
                height, width, count = _SIDES.unpack_from(content, frame)
                components = content[frame + 5 : frame + 5 + 3 * count]
            elif marker == _DRI:
                interval = int.from_bytes(content[place + 4 : place + 6], "big")
            elif marker == LENGTHS and content.startswith(LENGTHS_NAME, place + 4):
                begin = place + 4 + len(LENGTHS_NAME)
                lengths = content[begin : place + 2 + length]
            elif marker == _SOS:
                break
            place += 2 + length
        scan_components = content[place + 4]
    except (struct.error, IndexError):
        return None
    sampling = tuple(components[1::3])
    if not (height and width and sampling and all(f & 15 and f >> 4 for f in sampling)):
        return None
    is_sequential = kind in _SEQUENTIAL and scan_components == len(sampling)
    return JpegHeader(
        height,
        width,
        sampling,
        tuple(components[::3]),
        is_sequential,
        interval,
        frame,
        place + 2 + length,
        lengths,
    )
