"""Where arrays lie in the part of a memory that belongs to one process."""

import zlib
from collections.abc import Sequence

import numpy as np

DTYPES = ("float64", "float32")
# Of rows, which are not added up.
ROW_DTYPES = (*DTYPES, "int64", "int32")
# Said in place of a dtype: how many rows there are. They come first.
COUNTS = "counts"

# Where TensorFlow takes an array as it is. Elsewhere it makes a copy.
ALIGNMENT = 64
# In several turns over a block, it is read from the cache.
_BLOCK_BYTES = 2**17


class Layout:
    """Where arrays are in a part: one kind after the other, each at an even place.

    Args:
        key: (dtype, shape) of each array; of the dtype its name, or its character.
    """

    def __init__(self, key: tuple[tuple[str, tuple[int, ...]], ...]) -> None:
        key = tuple((_name(dtype), shape) for dtype, shape in key)
        self.digest = zlib.crc32(repr(key).encode())
        self._places: list[tuple[int, int, str, tuple[int, ...]]] = [None] * len(key)
        # (dtype, begin, end) in bytes, of what can be added up.
        self._regions: list[tuple[np.dtype, int, int]] = []
        at = 0
        for dtype in (COUNTS, *ROW_DTYPES):
            begin = at
            kind = np.dtype("int64" if dtype == COUNTS else dtype)
            for i, (name, shape) in enumerate(key):
                if name == dtype:
                    end = at + kind.itemsize * int(np.prod(shape, dtype=np.int64))
                    self._places[i] = (at, end, kind.name, shape)
                    at = -(-end // ALIGNMENT) * ALIGNMENT
            if dtype in DTYPES:
                self._regions.append((kind, begin, at))
        # Memory of no bytes cannot be shared.
        self.num_bytes = max(at, ALIGNMENT)
        # By the number of a part.
        self._kept: dict[int, tuple[np.ndarray, list[np.ndarray]]] = {}

    def views(self, part: np.ndarray) -> list[np.ndarray]:
        """The arrays in a part."""
        return [
            part[begin:end].view(name).reshape(shape)
            for begin, end, name, shape in self._places
        ]

    def kept_views(self, part: np.ndarray) -> list[np.ndarray]:
        """The same arrays each time; the part is held as long as this layout is."""
        found = self._kept.get(id(part))
        if found is None:
            found = self._kept[id(part)] = (part, self.views(part))
        return found[1]

    def share(self, rank: int, num_ranks: int) -> tuple[int, int]:
        """The bytes that a rank adds up."""
        units = self.num_bytes // ALIGNMENT
        begin, end = (units * r // num_ranks for r in (rank, rank + 1))
        return begin * ALIGNMENT, end * ALIGNMENT

    def add(
        self, parts: Sequence[np.ndarray], out: np.ndarray, begin: int, end: int
    ) -> None:
        """Adds parts up, one after the other, from one byte to another."""
        step = _BLOCK_BYTES if len(parts) > 2 else self.num_bytes
        # Gradients may overflow, and between arrays there may be anything.
        with np.errstate(all="ignore"):
            for dtype, first, last in self._regions:
                for at in range(max(begin, first), min(end, last), max(step, 1)):
                    block = slice(at, min(at + step, end, last))
                    one, two, *more = (part[block].view(dtype) for part in parts)
                    total = out[block].view(dtype)
                    np.add(one, two, out=total)
                    for part in more:
                        np.add(total, part, out=total)


def _name(dtype: str) -> str:
    return dtype if dtype == COUNTS else np.dtype(dtype).name


def digest_of_rows(arrays: Sequence[np.ndarray]) -> int:
    """The same on all ranks, however many rows each has."""
    key = [(each.dtype.name, each.shape[1:]) for each in arrays]
    return zlib.crc32(repr(key).encode())
