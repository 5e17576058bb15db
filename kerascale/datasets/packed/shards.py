"""Rows of any size, one after the other in ArrayRecord files."""

import contextlib
import errno
import os
import pathlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from kerascale.datasets.packed import layout
from kerascale.datasets.packed.checksums import Checksums

# One record can be read without others. Pictures are compressed already.
_OPTIONS = {"image": "group_size:1,uncompressed", "text": "group_size:1,zstd"}
# What the operating system may refuse while a file is written.
_NUMBERS = (
    errno.ENOSPC,
    errno.EROFS,
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
)
_ONE_BY_ONE = "readahead_buffer_size:0,max_parallelism:0"
SHARD_BYTES = 256 * 2**20
_READ_RECORDS = 256
_SUM_BYTES = 4 * 2**20


class Shards:
    """Writes records into files of about 256 MiB each.

    A file cannot be gone on with once it is closed. So that little is lost by a kill,
    what there is of one is closed as its piece at each `sync`; the next record makes
    it anew, beginning with its piece. Where one file ends depends on the records alone.

    Args:
        folder: Where the files are.
        encoding: "image" or "text".
        complete: Those that are there already, as `sync` gave them.
        piece: Of the next one, as `sync` gave it.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        encoding: str,
        complete: Sequence[dict[str, Any]] = (),
        piece: dict[str, int] | None = None,
    ) -> None:
        self._folder = folder
        self._options = _OPTIONS[encoding]
        self._complete = list(complete)
        self._piece = dict(piece) if piece else None
        self._rows = self._bytes = 0
        self._writer: ArrayRecordWriter | None = None
        # Checksums of a complete file while the next one is being written.
        self._pool = ThreadPoolExecutor(1)
        self._sums: list[Future] = []

    def write(self, record: bytes) -> None:
        """Adds a row.

        Raises:
            OSError: If it cannot be written, as far as that is known by now.
        """
        if self._writer is None:
            self._open()
        try:
            self._writer.write(record)
        except RuntimeError as error:
            raise _as_os_error(error, self._part) from error
        self._rows += 1
        self._bytes += len(record)
        if self._bytes >= SHARD_BYTES:
            self._complete_one()

    def sync(self) -> tuple[list[dict[str, Any]], dict[str, int] | None]:
        """Brings all rows onto the disk.

        Returns:
            The complete files, and what there is of the next one.
        """
        if self._writer is not None:
            self._close_writer()
            os.replace(self._part, self._folder / layout.PIECE.format(shard=self._name))
            self._piece = {"rows": self._rows, "bytes": self._bytes}
            self._rows = self._bytes = 0
        for future in self._sums:
            future.result()
        self._sums.clear()
        return list(self._complete), self._piece and dict(self._piece)

    def close(self) -> list[dict[str, Any]]:
        """Completes the last file, and says what all are."""
        if self._piece and self._writer is None:
            self._open()
        if self._writer is not None:
            self._complete_one()
        complete, _ = self.sync()
        self._pool.shutdown()
        return complete

    def abandon(self) -> None:
        """Leaves it as it is."""
        self._pool.shutdown(cancel_futures=True)
        if self._writer is not None:
            with contextlib.suppress(RuntimeError):
                self._writer.close()

    def remove_pieces(self) -> None:
        """Removes pieces of files that are complete, which nobody needs any more."""
        for shard in self._complete:
            piece = self._folder / layout.PIECE.format(shard=shard["file"])
            piece.unlink(missing_ok=True)

    @property
    def _name(self) -> str:
        return layout.SHARD.format(len(self._complete))

    @property
    def _part(self) -> pathlib.Path:
        return self._folder / layout.UNFINISHED.format(shard=self._name)

    def _open(self) -> None:
        with _os_errors(self._part):
            self._writer = ArrayRecordWriter(str(self._part), self._options)
        if self._piece is None:
            return
        piece = self._folder / layout.PIECE.format(shard=self._name)
        with _os_errors(self._part):
            for record in records_of(piece, self._piece["rows"]):
                self._writer.write(record)
        self._rows, self._bytes = self._piece["rows"], self._piece["bytes"]

    def _close_writer(self) -> None:
        with _os_errors(self._part):
            self._writer.close()
        self._writer = None
        with open(self._part, "rb") as file:
            os.fsync(file.fileno())

    def _complete_one(self) -> None:
        with _os_errors(self._part):
            self._writer.close()
        self._writer = None
        path = self._folder / self._name
        os.replace(self._part, path)
        self._complete.append(
            {"file": path.name, "rows": self._rows, "bytes": path.stat().st_size}
        )
        self._piece, self._rows, self._bytes = None, 0, 0
        self._sums.append(self._pool.submit(_settle, path))


def records_of(path: pathlib.Path, count: int) -> Iterator[bytes]:
    """The first records of an ArrayRecord file, a few at a time.

    Raises:
        RuntimeError: If they cannot be read.
    """
    reader = ArrayRecordReader(str(path), _ONE_BY_ONE)
    try:
        for start in range(0, count, _READ_RECORDS):
            yield from reader.read(start, min(start + _READ_RECORDS, count))
    finally:
        reader.close()


def unreadable(path: pathlib.Path, count: int) -> list[tuple[int, int]]:
    """[first, behind the last] of records of a damaged file that cannot be read.

    Args:
        path: The file.
        count: Records that were written.
    """
    try:
        reader = ArrayRecordReader(str(path), _ONE_BY_ONE)
        if reader.num_records() != count:
            return [(0, count)]
    except (RuntimeError, ValueError):  # Its end, where the places are, is lost.
        return [(0, count)]
    found: list[tuple[int, int]] = []

    def look(start: int, behind: int) -> None:
        try:
            reader.read(start, behind)
        except (RuntimeError, ValueError, IndexError):
            if behind - start > 1:
                look(start, (start + behind) // 2)
                look((start + behind) // 2, behind)
            elif found and found[-1][1] == start:
                found[-1] = (found[-1][0], behind)
            else:
                found.append((start, behind))

    for start in range(0, count, _READ_RECORDS):
        look(start, min(start + _READ_RECORDS, count))
    return found


def _settle(path: pathlib.Path) -> None:
    """Brings a complete file onto the disk, and writes its checksums."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        sums = Checksums(path)
        while part := file.read(_SUM_BYTES):
            sums.add(part)
        sums.close()


@contextlib.contextmanager
def _os_errors(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise _as_os_error(error, path) from error


def _as_os_error(error: RuntimeError, path: pathlib.Path) -> Exception:
    """ArrayRecord says in words what the operating system refused."""
    for number in _NUMBERS:
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number), str(path))
    return error
