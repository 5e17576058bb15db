"""Decodes an image, says what is wrong with it, and whether it is like the others."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from kerascale.datasets.sources.checks import Problems
from kerascale.datasets.sources.image_channels import NAMES, with_channels
from kerascale.runtime.console import counted


class Image(NamedTuple):
    """A decoded file, or what is wrong with it.

    Args:
        pixels: uint8 (height, width, channels), resized if that was asked for.
        shape: The file's own (height, width, channels).
        fault: What is wrong; empty if nothing is.
    """

    pixels: np.ndarray | None
    shape: tuple[int, ...] = ()
    fault: str = ""


def decode(
    path: str, size: tuple[int, int] | None, channels: int | None = None
) -> Image:
    """Reads and decodes an image file; never raises for what is in the file.

    TensorFlow refuses a JPEG, PNG or BMP that is cut short anywhere, and a PNG with a
    flipped bit. A GIF's first frame must be complete.

    Args:
        path: The file.
        size: (height, width) to resize to, or None.
        channels: 1, 3 or 4, to which it is converted; None: as it is.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        return Image(None, fault=f"{path}: cannot be read ({error.strerror}).")
    return decode_bytes(content, path, size, channels)


def decode_bytes(
    content: bytes,
    place: str,
    size: tuple[int, int] | None,
    channels: int | None = None,
) -> Image:
    """Decodes what is in an image file, as `decode` does.

    Args:
        content: What is in the file.
        place: What to call it in messages.
        size: (height, width) to resize to, or None.
        channels: 1, 3 or 4, to which it is converted; None: as it is.
    """
    import tensorflow as tf

    if not content:
        return _damaged(place, "an empty file")
    # Pinned: a GPU would be asked for memory for every single image.
    with tf.device("CPU:0"):
        try:
            image = tf.io.decode_image(content, expand_animations=False).numpy()
        except (tf.errors.OpError, ValueError) as error:
            return _damaged(place, _reason(str(error)))
        if content.startswith(b"BM"):
            image = _coloured(content, image)
        shape = tuple(image.shape)
        if channels is not None:
            image = with_channels(image, channels)
        if size is not None and shape[:2] != size:
            resized = tf.image.resize(image, size, antialias=True)
            rounded = tf.clip_by_value(tf.round(resized), 0, 255)
            image = tf.cast(rounded, tf.uint8).numpy()
        return Image(image, shape)


def _damaged(place: str, received: str, remedy: str = "Replace or remove it.") -> Image:
    return Image(
        None, fault=f"{place}: expected an image. Received: {received}. {remedy}"
    )


def _reason(message: str) -> str:
    if "Unknown image file format" in message:
        return "a file that is no JPEG, PNG, GIF, BMP or WebP"
    # TensorFlow names its own function before the reason, and its kernel after it.
    reason = message.split("}}")[-1].split("[Op:")[0].strip().rstrip(".")
    return f"a damaged or truncated file ({reason})"


def _coloured(content: bytes, image: np.ndarray) -> np.ndarray:
    """A BMP with a table of colours, which TensorFlow reads as if it were gray."""
    if len(content) < 54 or int.from_bytes(content[28:30], "little") != 8:
        return image
    start = 14 + int.from_bytes(content[14:18], "little")
    end = int.from_bytes(content[10:14], "little")
    table = np.frombuffer(content[start:end], dtype=np.uint8)
    entries = table[: len(table) // 4 * 4].reshape(-1, 4)[:, :3]
    gray = np.arange(len(entries), dtype=np.uint8)[:, None]
    if not len(entries) or (entries == gray).all():
        return image
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(entries)] = entries[:256, ::-1]  # Written as blue, green, red.
    return colours[image[..., 0]]


def check_shapes(
    shapes: dict[str, tuple[int, int, int]],
    resized: bool,
    channels: int | None,
    problems: Problems,
) -> None:
    """Notes the images whose channels, or size, differ from those of most others.

    Args:
        shapes: Name of an image -> its (height, width, channels).
        resized: All are resized, so that their sizes may differ.
        channels: Channels in training; None: as most have.
        problems: Where to note what is wrong.
    """
    if not shapes:
        return
    counts = Counter(shape[2] for shape in shapes.values())
    usual = channels or max(counts, key=lambda c: (counts[c], c))
    whole = counted(len(shapes), "image")
    like = "in training" if channels else f"{counts[usual]} of {whole}"
    sizes = Counter(shape[:2] for shape in shapes.values())
    size = max(sizes, key=lambda s: (sizes[s], s))
    for file, shape in shapes.items():
        if shape[2] not in (1, 3, 4):
            problems.add(
                f"{file}: expected 1, 3 or 4 channels. Received: shape {shape} (gray "
                "with transparency?). Convert it to RGB or to gray."
            )
        elif shape[2] != usual:
            problems.add(
                f"{file}: expected {usual} channels, as {like}. Received: shape "
                f"{shape}. Convert it to {NAMES.get(usual, 'the same form')}."
            )
        elif not resized and shape[:2] != size:
            problems.add(
                f"{file}: expected height and width {size}, as {sizes[size]} of "
                f"{whole}. Received: shape {shape}. Pass --image-size N to resize all "
                "images."
            )
