"""Tells the system which rows of mapped files will be read, before they are.

A row of a mapped file that is on the disk alone is read by who needs it, one after the
other, and nothing is computed meanwhile. What the system is told of before is read with
many requests at once, beside the steps.
"""

import ctypes
import functools
import mmap
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

# Example indices (int64 [n]) and epoch -> of each array its first rows (int64 [n]).
Firsts = Callable[[np.ndarray, int], Sequence[np.ndarray]]

_PAGE = mmap.PAGESIZE
# Pages that are looked at to know whether the files are in the system's cache.
_LOOKED_AT = 64
# Rows of an array whose places are worked out at once.
_ROWS = 2**16


class Pages:
    """The pages of arrays that hold the rows of examples.

    Args:
        arrays: Mapped, in C order; the first axis is that of rows.
        firsts: The first row of each example in each array.
        length: Rows of an example, one behind the other.
    """

    def __init__(
        self, arrays: Sequence[np.ndarray], firsts: Firsts, length: int = 1
    ) -> None:
        self._arrays = [array for array in arrays if array.size]
        self._firsts = firsts
        self._length = length
        # Which pages are looked at is no part of a training: not its generator.
        self._generator = np.random.default_rng()

    def are_cached(self) -> bool:
        """Whether all of some pages, taken at random, are in the system's cache.

        It takes some microseconds. True where the system cannot be asked.
        """
        functions = _functions()
        if functions is None:
            return True
        found = ctypes.c_ubyte()
        for array in self._arrays:
            address = array.ctypes.data
            places = self._generator.integers(0, array.nbytes, _LOOKED_AT)
            for place in places.tolist():
                begin = (address + place) // _PAGE * _PAGE
                failed = functions.mincore(begin, _PAGE, ctypes.byref(found))
                if not failed and not found.value & 1:
                    return False
        return True

    def will_need(self, indices: np.ndarray, epoch: int) -> int:
        """Has the system begin to read the rows of some examples.

        It changes nothing but when they are read.

        Args:
            indices: Of examples, int64 of shape (examples,).
            epoch: From 0.

        Returns:
            How many ranges it was told of.
        """
        functions = _functions()
        if functions is None:
            return 0
        count = 0
        firsts = self._firsts(indices, epoch)
        for array, rows in zip(self._arrays, firsts, strict=True):
            for start in range(0, len(rows), _ROWS):
                ranges = self._ranges(array, rows[start : start + _ROWS])
                for begin, size in ranges:
                    functions.madvise(begin, size, mmap.MADV_WILLNEED)
                count += len(ranges)
        return count

    def _ranges(self, array: np.ndarray, rows: np.ndarray) -> list[tuple[int, int]]:
        """Address and size of the pages of some rows, in order, those that touch as
        one."""
        row_bytes = array.strides[0]
        begin = array.ctypes.data + np.sort(rows) * row_bytes
        end = begin + self._length * row_bytes
        first, behind = begin // _PAGE, -(-end // _PAGE)
        # Rows are in order, and of one size: so are their ends.
        opens = np.ones(len(first), bool)
        opens[1:] = first[1:] > behind[:-1]
        places = np.flatnonzero(opens)
        last = np.append(places[1:], len(first)) - 1
        starts, sizes = first[places] * _PAGE, (behind[last] - first[places]) * _PAGE
        return list(zip(starts.tolist(), sizes.tolist(), strict=True))


class _Functions:
    """Of the C library: Python's own `madvise` holds up other threads meanwhile."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        address, size = ctypes.c_void_p, ctypes.c_size_t
        self.madvise = library.madvise
        self.madvise.argtypes = (address, size, ctypes.c_int)
        self.mincore = library.mincore
        self.mincore.argtypes = (address, size, ctypes.c_void_p)


@functools.cache
def _functions() -> _Functions | None:
    """None: this system has none."""
    if not hasattr(mmap, "MADV_WILLNEED"):
        return None
    try:
        return _Functions()
    except (OSError, AttributeError):
        return None


def of_rows(arrays: Sequence[np.ndarray], index: np.ndarray | None = None) -> Pages:
    """Those of examples that are one row of each array.

    Args:
        arrays: See `Pages`.
        index: int64 of shape (examples,): the row of each; None: examples are rows.
    """
    held = [array for array in arrays if array.size]

    def firsts(indices: np.ndarray, epoch: int) -> list[np.ndarray]:
        del epoch
        return [indices if index is None else index[indices]] * len(held)

    return Pages(held, firsts)


def of_windows(
    tokens: np.ndarray,
    length: int,
    starts: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> Pages:
    """Those of windows of a text.

    Args:
        tokens: Of shape (tokens,), mapped.
        length: Tokens of a window, with the one behind it.
        starts: See `gathers.Windows`.
    """

    def firsts(indices: np.ndarray, epoch: int) -> list[np.ndarray]:
        with tf.device("CPU:0"):
            given = tf.constant(indices), tf.constant(epoch, tf.int64)
            return [starts(*given).numpy()]

    return Pages([tokens], firsts, length)
