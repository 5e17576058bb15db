"""Files that grow at their end, with a checksum of each block."""

import os
import pathlib

import numpy as np

from kerascale.datasets.packed import layout
from kerascale.datasets.packed.checksums import Checksums, open_at


class GrowingFile:
    """A file that is written from front to back, and its file of checksums.

    Args:
        path: The file.
        size: Bytes that were written before and stay; what is behind them goes.

    Raises:
        OSError: If it cannot be written.
        PackFailedError: If it is shorter than `size`.
    """

    def __init__(self, path: pathlib.Path, size: int = 0) -> None:
        self.path = path
        self.size = size
        self._file = open_at(path, size)
        rest = size % layout.BLOCK_BYTES
        tail = os.pread(self._file.fileno(), rest, size - rest)
        self._checksums = Checksums(path, size, tail)

    def write(self, data: np.ndarray | bytes) -> None:
        """Adds bytes, or what an array holds in C order, little-endian.

        Raises:
            OSError: If they cannot be written.
        """
        if isinstance(data, np.ndarray):
            little = data.astype(data.dtype.newbyteorder("<"), copy=False)
            data = np.ascontiguousarray(little).reshape(-1).view(np.uint8)
        view = memoryview(data)
        start = 0
        while start < len(view):
            start += self._file.write(view[start:])
        self._checksums.add(data)
        self.size += len(view)

    def sync(self) -> int:
        """Brings all of it onto the disk, and says how many bytes that are."""
        os.fsync(self._file.fileno())
        self._checksums.sync()
        return self.size

    def close(self) -> None:
        """Adds the last checksum, and brings all of it onto the disk."""
        os.fsync(self._file.fileno())
        self._file.close()
        self._checksums.close()

    def abandon(self) -> None:
        """Closes it as it is."""
        self._file.close()
        self._checksums.abandon()
