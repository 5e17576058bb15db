"""What the arrays of an `.npz` file need in memory, told by their headers alone."""

import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

from kerascale.datasets import memory

# A Python string and its place in an array, beside the characters themselves.
_BYTES_PER_STRING = 57
# Of a text, unless a recipe says otherwise.
_MOST_WORDS = 256
_TEXT = "UTSO"


class Header(NamedTuple):
    """Shape and dtype of an array that is not read."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_headers(archive: zipfile.ZipFile, names: Iterable[str]) -> dict[str, Header]:
    """The headers of arrays; those that cannot be read are left out.

    What is wrong with these is told when the array itself is read.

    Args:
        archive: The file.
        names: Names of arrays, without `.npy`.
    """
    headers = {}
    for name in names:
        try:
            with archive.open(f"{name}.npy") as file:
                version = npy.read_magic(file)
                read = {
                    (1, 0): npy.read_array_header_1_0,
                    (2, 0): npy.read_array_header_2_0,
                }.get(version)
                if read is not None:
                    shape, _, dtype = read(file)
                    headers[name] = Header(shape, dtype)
        except (
            KeyError,
            ValueError,
            OSError,
            EOFError,
            RuntimeError,
            SyntaxError,
            tokenize.TokenError,
            zipfile.BadZipFile,
            zlib.error,
        ):
            continue
    return headers


def refuse_too_much(
    name: str,
    headers: Sequence[Header],
    *,
    is_split: bool,
    image_size: int | None = None,
) -> None:
    """Refuses examples that training would not have the memory for.

    Args:
        name: What the user calls the data.
        headers: Those of the features of all splits.
        is_split: Whether validation or test examples are taken out of the training's.
        image_size: Height and width to which images are resized; or None.

    Raises:
        RefusedError: Naming what is needed, for what, and what there is.
    """
    to_read = to_prepare = largest_check = 0
    for header in headers:
        kept, is_cast, check = _kept_bytes(header)
        to_read += header.num_bytes + (kept if is_cast else 0)
        largest_check = max(largest_check, check)
        ratio = None
        if header.dtype.kind in _TEXT:
            to_prepare += kept + math.prod(header.shape) * _bytes_of_ids(header)
            continue
        if _is_image(header):
            ratio = memory.size_ratio(header.shape[1:3], image_size)
        to_prepare += kept + memory.bytes_to_prepare(
            kept, is_split=is_split, size_ratio=ratio
        )
    memory.refuse_too_much(name, to_read + largest_check, to_prepare)


def _kept_bytes(header: Header) -> tuple[int, bool, int]:
    """Bytes in the form of `Split.features`, whether that is a copy, and of a check.

    Numbers are looked through for NaN and infinity, which takes a byte for each.
    """
    size = math.prod(header.shape)
    if header.dtype.kind in _TEXT:
        return size * (_characters(header) + _BYTES_PER_STRING), True, 0
    if _is_image(header) and header.dtype.kind in "iu":
        return size, header.dtype != np.uint8, 0
    return 4 * size, header.dtype != np.float32, size


def _characters(header: Header) -> int:
    return header.dtype.itemsize // (4 if header.dtype.kind == "U" else 1)


def _bytes_of_ids(header: Header) -> int:
    """Of one text: at most so many words, in three copies of four bytes."""
    return 3 * 4 * min(_MOST_WORDS, _characters(header) // 2 + 1)


def _is_image(header: Header) -> bool:
    """As `kerascale.datasets.sources.checks.check_features` tells it."""
    rank = len(header.shape)
    return rank == 4 or (rank == 3 and header.dtype.kind in "iu")
