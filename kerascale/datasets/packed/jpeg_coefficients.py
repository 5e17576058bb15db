"""Quantized DCT coefficients of a JPEG, read by the libjpeg-turbo in `jpeglib`.

jpeglib's own `read_dct` reads a file three times and decodes it once; its function in C
reads coefficients alone, once, and may be called in threads.
"""

import ctypes
import functools
import importlib.util
import os
import pathlib
from collections.abc import Callable

import numpy as np

from kerascale.datasets.packed.jpeg_header import BLOCK, JpegHeader
from kerascale.runtime import extras

# Of those that jpeglib brings, the one whose entropy decoder is the fastest.
_LIBRARY = "cjpeglib_turbo210.*"
_MOST_COMPONENTS = 4


def refuse_without_library(what: str) -> None:
    """Refuses before the first picture.

    Args:
        what: The option that needs it, for the message.

    Raises:
        RefusedError: If jpeglib is not installed.
    """
    extras.refuse_without(what, "jpeg", ["jpeglib"])


def read(content: bytes, header: JpegHeader) -> list[np.ndarray]:
    """The coefficients of each component.

    Args:
        content: A JPEG whose header libjpeg reads as `header` says: buffers have its
            sizes.
        header: Of it.

    Returns:
        Of each component int16 of shape (rows of blocks, blocks a row, 64), as they
        are in the file, in the order of the rows of a block (not in zigzag). Blocks
        that only fill MCUs up are left out.

    Raises:
        OSError: If libjpeg cannot read it. What it says stands on standard error.
    """
    found = [np.empty((*sides, BLOCK**2), np.int16) for sides in blocks_of(header)]
    pointers: list[int | None] = [each.ctypes.data for each in found]
    pointers += [None] * (_MOST_COMPONENTS - len(found))
    number = os.memfd_create("jpeg", os.MFD_CLOEXEC)
    try:
        with open(number, "wb", buffering=0, closefd=False) as file:
            file.write(content)
        path = f"/proc/self/fd/{number}".encode()
        is_read = _reader()(path, *pointers, None, None)
    finally:
        os.close(number)
    if not is_read:
        raise OSError("libjpeg cannot read its coefficients")
    return found


def blocks_of(header: JpegHeader) -> list[tuple[int, int]]:
    """Of each component, how many rows of blocks it has, and blocks a row."""
    across = max([factors >> 4 for factors in header.sampling])
    down = max([factors & 15 for factors in header.sampling])
    return [
        (
            -(-header.height * (factors & 15) // (BLOCK * down)),
            -(-header.width * (factors >> 4) // (BLOCK * across)),
        )
        for factors in header.sampling
    ]


@functools.cache
def _reader() -> Callable[..., int]:
    """`read_jpeg_dct` of jpeglib 1.0, with a path, a buffer for each component, one for
    quantization tables and one for their numbers; 0: it failed."""
    folder = importlib.util.find_spec("jpeglib").submodule_search_locations[0]
    (path,) = pathlib.Path(folder, "cjpeglib").glob(_LIBRARY)
    function = ctypes.CDLL(str(path)).read_jpeg_dct
    function.argtypes = [ctypes.c_char_p] + [ctypes.c_void_p] * (_MOST_COMPONENTS + 2)
    function.restype = ctypes.c_int
    return function
