"""Looks at an encoded image without decoding it: its shape, and whether it is whole."""

import io

from PIL import Image as pillow

from kerascale.datasets.sources import image_files
from kerascale.datasets.sources.image_files import Image

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
# (format, mode) of Pillow -> channels that TensorFlow decodes it to. What is not here
# is decoded, to see.
_CHANNELS = {
    ("JPEG", "L"): 1,
    ("JPEG", "RGB"): 3,
    ("JPEG", "CMYK"): 3,
    ("MPO", "RGB"): 3,
    ("PNG", "1"): 1,
    ("PNG", "L"): 1,
    ("PNG", "I;16"): 1,
    ("PNG", "LA"): 2,
    ("PNG", "RGB"): 3,
    ("PNG", "RGBA"): 4,
    ("GIF", "L"): 3,
    ("GIF", "P"): 3,
    ("WEBP", "RGB"): 3,
    ("WEBP", "RGBA"): 4,
}
_PNG_END = b"IEND\xae\x42\x60\x82"
_SCAN, _END = b"\xff\xda", b"\xff\xd9"


def look(content: bytes, place: str) -> Image:
    """The shape of an encoded image, or what is wrong with it.

    Only what looks unusual or cut short is decoded, so that it is judged as by
    `image_files.decode_bytes`. Of a PNG all checksums are compared; a JPEG in which
    bytes were changed is found when it is decoded.

    Args:
        content: What is in an image file.
        place: What to call it in messages.

    Returns:
        Without pixels.
    """
    shape = _shape(content)
    if shape is not None:
        return Image(None, shape)
    return image_files.decode_bytes(content, place, None)._replace(pixels=None)


def channels_of(path: str) -> int | None:
    """The channels of an image file, by as little of it as tells them.

    Returns:
        None if it is damaged, as far as that is seen.
    """
    try:
        with open(path, "rb") as file:
            channels = _channels(pillow.open(file, formats=_FORMATS))
            if channels is None:
                file.seek(0)
                found = image_files.decode_bytes(file.read(), path, None).shape
                channels = found[2] if found else None
    except Exception:  # See `_shape`.
        return None
    return channels


def _channels(image: pillow.Image) -> int | None:
    if image.format == "PNG" and image.mode == "P":
        return 4 if "transparency" in image.info else 3
    return _CHANNELS.get((image.format, image.mode))


def _shape(content: bytes) -> tuple[int, int, int] | None:
    """(height, width, channels) as in its header; None: it has to be decoded."""
    try:
        image = pillow.open(io.BytesIO(content), formats=_FORMATS)
        channels = _channels(image)
        if channels is None or not _is_whole(image, content):
            return None
    # Pillow's readers raise whatever a bad header makes of them.
    except Exception:
        return None
    width, height = image.size
    return height, width, channels


def _is_whole(image: pillow.Image, content: bytes) -> bool:
    if image.format == "PNG":
        image.verify()  # Raises; it does not look behind the name of the last chunk.
        return _PNG_END in content
    if image.format == "GIF":
        return content.endswith(b";")
    if image.format == "WEBP":
        return len(content) >= 8 + int.from_bytes(content[4:8], "little")
    # Both signs occur in a preview, too, which stands before the picture.
    return content.endswith(_END) or content.rfind(_END) > content.rfind(_SCAN)
