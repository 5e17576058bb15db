"""The checksum of each block of a file: CRC-32C, as ArrayRecord and TFRecord have."""

import os
import pathlib
from typing import IO

import google_crc32c
import numpy as np

from kerascale.datasets.packed import layout
from kerascale.errors import PackFailedError

CRC = np.dtype("<u4")


class Checksums:
    """Writes the checksums of a file that is written from front to back.

    Args:
        path: The file of which they are.
        size: Bytes of it that have been written before.
        tail: The last of these, `size % BLOCK_BYTES` of them.

    Raises:
        OSError: If they cannot be written.
    """

    def __init__(self, path: pathlib.Path, size: int = 0, tail: bytes = b"") -> None:
        whole, self._in_block = divmod(size, layout.BLOCK_BYTES)
        self._file = open_at(path_of(path), whole * CRC.itemsize)
        self._crc = google_crc32c.value(tail)

    def add(self, data: bytes | np.ndarray) -> None:
        """Takes the next bytes of the file, or what an array of uint8 holds."""
        # An array: the library takes no view, and bytes would be copied.
        view = np.frombuffer(data, np.uint8)
        found = []
        start = 0
        while start < len(view):
            part = view[start : start + layout.BLOCK_BYTES - self._in_block]
            self._crc = google_crc32c.extend(self._crc, part)
            self._in_block += len(part)
            start += len(part)
            if self._in_block == layout.BLOCK_BYTES:
                found.append(self._crc)
                self._crc, self._in_block = 0, 0
        if found:
            self._file.write(np.array(found, CRC).tobytes())

    def sync(self) -> None:
        """Brings those of all whole blocks onto the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Adds that of the last block, which is shorter."""
        if self._in_block:
            self._file.write(np.array([self._crc], CRC).tobytes())
        self.sync()
        self.abandon()

    def abandon(self) -> None:
        """Closes the file as it is."""
        self._file.close()


def path_of(path: pathlib.Path) -> pathlib.Path:
    """The file of a file's checksums."""
    return path.with_name(layout.CHECKSUMS.format(file=path.name))


def open_at(path: pathlib.Path, size: int) -> IO[bytes]:
    """A file to go on with behind its first bytes; what is behind them goes.

    Raises:
        OSError: If it cannot be written.
        PackFailedError: If it has fewer.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    file = os.fdopen(descriptor, "r+b", buffering=0)
    try:
        found = os.fstat(descriptor).st_size
        if found < size:
            raise PackFailedError(
                f"{path}: expected the {size:,} bytes that were packed. Received: "
                f"{found:,}. Remove the folder, and begin anew."
            )
        file.truncate(size)
        file.seek(size)
    except BaseException:
        file.close()
        raise
    return file
