"""Decodes an image, says what is wrong with it, and whether it is like the others."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from kerascale.datasets.sources.checks import Problems
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


def decode(path: str, size: tuple[int, int] | None) -> Image:
    """Reads and decodes an image file; never raises for what is in the file.

    TensorFlow refuses a JPEG, PNG or BMP that is cut short anywhere, and a PNG with a
    flipped bit. A GIF's first frame must be complete.

    Args:
        path: The file.
        size: (height, width) to resize to, or None.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        return Image(None, fault=f"{path}: cannot be read ({error.strerror}).")
    return decode_bytes(content, path, size)


def decode_bytes(content: bytes, place: str, size: tuple[int, int] | None) -> Image:
    """Decodes what is in an image file, as `decode` does.

    Args:
        content: What is in the file.
        place: What to call it in messages.
        size: (height, width) to resize to, or None.
    """
    import tensorflow as tf

    if not content:
        return _damaged(place, "an empty file")
    if content.startswith(b"BM") and _has_colour_table(content):
        return _damaged(
            place,
            "a BMP with a table of colours, which TensorFlow would read as gray",
            "Save it as PNG.",
        )
    # Pinned: a GPU would be asked for memory for every single image.
    with tf.device("CPU:0"):
        try:
            image = tf.io.decode_image(content, expand_animations=False)
        except (tf.errors.OpError, ValueError) as error:
            return _damaged(place, _reason(str(error)))
        shape = tuple(image.shape)
        if size is not None and shape[:2] != size:
            resized = tf.image.resize(image, size, antialias=True)
            image = tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
        return Image(image.numpy(), shape)


def _damaged(place: str, received: str, remedy: str = "Replace or remove it.") -> Image:
    return Image(
        None, fault=f"{place}: expected an image. Received: {received}. {remedy}"
    )


def _reason(message: str) -> str:
    if "Unknown image file format" in message:
        return "a file that is no JPEG, PNG, GIF or BMP"
    # TensorFlow names its own function before the reason, and its kernel after it.
    reason = message.split("}}")[-1].split("[Op:")[0].strip().rstrip(".")
    return f"a damaged or truncated file ({reason})"


def _has_colour_table(content: bytes) -> bool:
    """Whether a BMP of 8 bits per pixel has other colours than gray in its table."""
    if len(content) < 54 or int.from_bytes(content[28:30], "little") != 8:
        return False
    start = 14 + int.from_bytes(content[14:18], "little")
    end = int.from_bytes(content[10:14], "little")
    table = np.frombuffer(content[start:end], dtype=np.uint8)
    entries = table[: len(table) // 4 * 4].reshape(-1, 4)[:, :3]
    return bool((entries != np.arange(len(entries), dtype=np.uint8)[:, None]).any())


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
                f"{shape}. Convert it to {_CHANNELS.get(usual, 'the same form')}."
            )
        elif not resized and shape[:2] != size:
            problems.add(
                f"{file}: expected height and width {size}, as {sizes[size]} of "
                f"{whole}. Received: shape {shape}. Pass --image-size N to resize all "
                "images."
            )


_CHANNELS = {1: "gray", 3: "RGB", 4: "RGB with transparency"}
