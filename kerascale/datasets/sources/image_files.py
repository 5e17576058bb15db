"""Decodes one image file, and says what is wrong with it."""

import os
from typing import NamedTuple

import numpy as np


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
    import tensorflow as tf

    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        return Image(None, fault=f"{path}: cannot be read ({error.strerror}).")
    if not content:
        return _damaged(path, "an empty file")
    if content.startswith(b"BM") and _has_colour_table(content):
        return _damaged(
            path,
            "a BMP with a table of colours, which TensorFlow would read as gray",
            "Save it as PNG.",
        )
    # Pinned: a GPU would be asked for memory for every single image.
    with tf.device("CPU:0"):
        try:
            image = tf.io.decode_image(content, expand_animations=False)
        except (tf.errors.OpError, ValueError) as error:
            return _damaged(path, _reason(str(error)))
        shape = tuple(image.shape)
        if size is not None and shape[:2] != size:
            resized = tf.image.resize(image, size, antialias=True)
            image = tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)
        return Image(image.numpy(), shape)


def _damaged(path: str, received: str, remedy: str = "Replace or remove it.") -> Image:
    return Image(
        None, fault=f"{path}: expected an image. Received: {received}. {remedy}"
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


def available_bytes() -> int:
    """Memory that can still be had, in bytes: of the machine or of the container."""
    room = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        room = min(room, int(fields["MemAvailable"].split()[0]) * 1024)
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limit = int(file.read())
        with open("/sys/fs/cgroup/memory.stat", encoding="ascii") as file:
            # Not memory.current, which counts the cache of files that were read.
            used = dict(line.split() for line in file)["anon"]
        room = min(room, limit - int(used))
    except (OSError, KeyError, ValueError):
        # Not every system has these files; a limit of "max" is none.
        return room
    return room
