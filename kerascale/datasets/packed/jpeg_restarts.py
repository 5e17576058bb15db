"""Writes restart markers into JPEGs, so that regions can be cut out of them by bytes.

Pillow decodes them and encodes them anew, with their own quantization tables and
sampling: pixels are nearly the same, not exactly.
"""

import io

import numpy as np
import PIL.Image
import PIL.JpegImagePlugin

from kerascale.datasets.packed import jpeg_header
from kerascale.datasets.packed.jpeg_header import JpegHeader
from kerascale.datasets.packed.jpeg_regions import ends_of_segments, segments_a_row

# The largest interval in MCUs. Shorter ones cut closer to the window; each marker takes
# about three bytes, and decoding begins anew behind it.
MAX_INTERVAL = 2
_RGB_IDENTIFIERS = tuple(b"RGB")


def with_restart_markers(content: bytes) -> bytes:
    """A picture with restart markers whose interval divides its rows.

    Args:
        content: What is in the file of a picture.

    Returns:
        A JPEG of nearly the same pixels. As it is where it has such markers already, is
        of another format, progressive, in CMYK or RGB, or of a sampling other than
        4:4:4, 4:2:2 and 4:2:0.

    Raises:
        OSError: If it is damaged.
    """
    header = jpeg_header.parse(content)
    if header is None or not _can_be_written(header):
        return content
    if segments_a_row(header) and header.restart_interval <= MAX_INTERVAL:
        return content
    with PIL.Image.open(io.BytesIO(content)) as picture:
        if not _is_usual(picture):
            return content
        written = io.BytesIO()
        picture.save(
            written,
            "JPEG",
            quality="keep",
            subsampling="keep",
            optimize=True,
            restart_marker_blocks=_interval(header),
            exif=picture.info.get("exif", b""),
            icc_profile=picture.info.get("icc_profile"),
        )
    return _with_lengths(written.getvalue())


def _with_lengths(content: bytes) -> bytes:
    """The same, told how long its segments are: else each read looks for markers."""
    header = jpeg_header.parse(content)
    down = -(-header.height // header.mcu_sides[0])
    count = down * segments_a_row(header)
    ends = ends_of_segments(content, header, count)
    lengths = np.diff(ends, prepend=header.scan)
    size = 2 + len(jpeg_header.LENGTHS_NAME) + 2 * count
    if lengths.max() > 0xFFFF or size > 0xFFFF:
        return content
    segment = b"".join(
        [
            bytes((0xFF, jpeg_header.LENGTHS)),
            size.to_bytes(2, "big"),
            jpeg_header.LENGTHS_NAME,
            lengths.astype(">u2").tobytes(),
        ]
    )
    # In front of the frame, whose height stands five bytes behind its beginning.
    place = header.frame - 5
    return content[:place] + segment + content[place:]


def _can_be_written(header: JpegHeader) -> bool:
    is_rgb = header.identifiers == _RGB_IDENTIFIERS
    return header.is_sequential and len(header.sampling) in (1, 3) and not is_rgb


def _is_usual(picture: PIL.Image.Image) -> bool:
    if picture.format != "JPEG" or picture.info.get("adobe_transform") == 0:
        return False
    sampling = PIL.JpegImagePlugin.get_sampling(picture)
    return picture.mode == "L" or (picture.mode == "RGB" and sampling >= 0)


def _interval(header: JpegHeader) -> int:
    """The largest divisor of a row's MCUs that is short enough."""
    mcus = -(-header.width // header.mcu_sides[1])
    return max(n for n in range(1, MAX_INTERVAL + 1) if mcus % n == 0)
