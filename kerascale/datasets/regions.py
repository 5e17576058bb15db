"""Arrays in memory of their own, which grow, and are taken apart, without a copy.

Memory of the C library cannot be given back while a part of it is used, and growing it
may copy it. Here each large array is a mapping: it takes pages when they are written,
gives them back one by one, and moves by its page table.
"""

import contextlib
import mmap
import sys
import weakref
from collections.abc import Iterator

import numpy as np

# Below that the C library does as well.
_LARGE_BYTES = 2**20
_HUGE_PAGE = 2 * 2**20
_NO_RESERVE = 0x4000  # Linux' MAP_NORESERVE, which Python names from 3.13 on.
# What is copied at once where rows are moved.
_PIECE_BYTES = 2**20

# Where an array of ours begins -> its mapping.
_mappings: weakref.WeakValueDictionary[int, "_Mapping"] = weakref.WeakValueDictionary()


class _Mapping(mmap.mmap):
    """Memory of one array."""

    is_given_up = False


def empty(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """An array whose memory is taken when it is written.

    Args:
        shape: Of the array.
        dtype: Of numbers.
    """
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size < _LARGE_BYTES:
        return np.empty(shape, dtype)
    return _array(_mapping(size), shape, dtype)


def is_ours(array: np.ndarray) -> bool:
    """Whether it begins where an array of `empty` or `Growing` does, which is large."""
    return array.flags.c_contiguous and array.ctypes.data in _mappings


def give_up(array: np.ndarray) -> None:
    """Says that nobody changes an array any more: it may become a tensor as it is."""
    if is_ours(array):
        _mappings[array.ctypes.data].is_given_up = True


def is_given_up(array: np.ndarray) -> bool:
    """Whether nobody changes an array any more."""
    return is_ours(array) and _mappings[array.ctypes.data].is_given_up


def taken_apart(
    array: np.ndarray, part_of: np.ndarray, num_parts: int
) -> list[np.ndarray]:
    """The rows of an array in several, in their order.

    The memory of the array is given back meanwhile, where it is ours: all arrays
    together never take more than it did, and a piece. What it holds then is undefined.

    Args:
        array: Of shape (rows, ...). Nobody may need it any more.
        part_of: For each row the number of its part, of shape (rows,).
        num_parts: How many parts there are.
    """
    counts = [np.count_nonzero(part_of == number) for number in range(num_parts)]
    parts = [empty((count, *array.shape[1:]), array.dtype) for count in counts]
    mapping = _mappings.get(array.ctypes.data) if is_ours(array) else None
    row_bytes = array[:1].nbytes
    done, released = [0] * num_parts, 0
    for piece in pieces(array):
        own = part_of[piece]
        for number, part in enumerate(parts):
            rows = np.flatnonzero(own == number)
            begin, end = done[number], done[number] + len(rows)
            np.take(array[piece], rows, axis=0, out=part[begin:end], mode="clip")
            done[number] = end
        whole = piece.stop * row_bytes // _HUGE_PAGE * _HUGE_PAGE
        if mapping is not None and whole > released:
            mapping.madvise(mmap.MADV_DONTNEED, released, whole - released)
            released = whole
    if mapping is not None:
        mapping.madvise(mmap.MADV_DONTNEED, 0, len(mapping))
    return parts


def pieces(array: np.ndarray) -> Iterator[slice]:
    """Slices over the first axis, each of about 1 MiB."""
    step = max(1, _PIECE_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        yield slice(start, min(start + step, len(array)))


class Growing:
    """An array to which rows are appended.

    Args:
        row_shape: Shape of a row.
        dtype: Of numbers.
    """

    def __init__(self, row_shape: tuple[int, ...], dtype: np.dtype | type) -> None:
        self._dtype = np.dtype(dtype)
        self._row_shape = row_shape
        self._row_bytes = self._dtype.itemsize * int(np.prod(row_shape, dtype=np.int64))
        self._mapping = _mapping(_HUGE_PAGE)
        self._used = 0

    def __len__(self) -> int:
        """Rows that it has."""
        return self._used // self._row_bytes

    @property
    def nbytes(self) -> int:
        """Of the rows that it has."""
        return self._used

    def expect(self, rows: int) -> None:
        """Makes room for so many rows, which takes no memory before they come."""
        wanted = rows * self._row_bytes
        if wanted > len(self._mapping):
            self._mapping.resize(_whole_pages(wanted))

    def append(self, rows: np.ndarray) -> None:
        """Adds rows at the end."""
        end = self._used + rows.nbytes
        if end > len(self._mapping):
            self._mapping.resize(_whole_pages(max(end, len(self._mapping) * 5 // 4)))
        place = memoryview(self._mapping)[self._used : end]
        with place:
            np.frombuffer(place, self._dtype)[:] = rows.reshape(-1)
        self._used = end

    def array(self) -> np.ndarray:
        """All rows. Nothing can be appended any more."""
        shape = (len(self), *self._row_shape)
        if self._used < _LARGE_BYTES:
            data = self._mapping[: self._used]
            return np.frombuffer(data, self._dtype).reshape(shape).copy()
        self._mapping.resize(_whole_pages(self._used))
        return _array(self._mapping, shape, self._dtype)


def _mapping(size: int) -> _Mapping:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    # Room that is never used shall not count.
    if sys.platform == "linux":
        flags |= _NO_RESERVE
    mapping = _Mapping(-1, _whole_pages(size), flags=flags)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # A kernel without large pages.
            mapping.madvise(mmap.MADV_HUGEPAGE)
    return mapping


def _whole_pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _array(mapping: _Mapping, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    count = int(np.prod(shape, dtype=np.int64))
    array = np.frombuffer(mapping, dtype, count=count).reshape(shape)
    _mappings[array.ctypes.data] = mapping
    return array
