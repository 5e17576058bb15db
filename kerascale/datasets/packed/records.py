"""Rows of any size: records of ArrayRecord files, read many at a time."""

import pathlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

from kerascale.errors import RefusedError

# Without read-ahead and threads of its own, of which a few read at the same time.
_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"


class Records:
    """The rows of some shards, by their number. Threads may share it.

    Args:
        folder: Where the files are.
        shards: [{"file", "rows", "bytes"}], as in the manifest.

    Raises:
        RefusedError: If a file is missing, or has another size.
    """

    def __init__(self, folder: pathlib.Path, shards: Sequence[dict[str, Any]]) -> None:
        self._paths = [folder / shard["file"] for shard in shards]
        self._behind = np.cumsum([shard["rows"] for shard in shards])
        self._readers: dict[int, ArrayRecordReader] = {}
        self._lock = threading.Lock()
        problems = []
        for path, shard in zip(self._paths, shards, strict=True):
            try:
                found = path.stat().st_size
            except OSError as error:
                problems.append(f"{path}: {error.strerror}")
                continue
            if found != shard["bytes"]:
                problems.append(
                    f"{path}: expected {shard['bytes']:,} bytes. Received: {found:,}"
                )
        if problems:
            way_out = "Copy the data set again, or pack its source again"
            raise RefusedError([*problems, way_out], heading="packed: damaged files")

    def read(self, rows: np.ndarray) -> list[bytes]:
        """The records of some rows, in their order.

        Raises:
            DamagedRecordError: If one cannot be read.
        """
        shards = np.searchsorted(self._behind, rows, side="right")
        found: list[bytes] = [b""] * len(rows)
        for shard in np.unique(shards).tolist():
            places = np.flatnonzero(shards == shard)
            first = self._behind[shard - 1] if shard else 0
            numbers = (rows[places] - first).tolist()
            for place, record in zip(
                places.tolist(), self._read(shard, numbers, int(first)), strict=True
            ):
                found[place] = record
        return found

    def _read(self, shard: int, numbers: list[int], first: int) -> list[bytes]:
        reader = self._reader(shard)
        try:
            return list(reader.read(numbers))
        except Exception as error:  # RuntimeError, with what is wrong in words.
            for number in numbers:
                try:
                    reader.read([number])
                except Exception:
                    raise DamagedRecordError(
                        self._paths[shard], first + number, number
                    ) from error
            raise

    def _reader(self, shard: int) -> ArrayRecordReader:
        with self._lock:
            if shard not in self._readers:
                path = str(self._paths[shard])
                self._readers[shard] = ArrayRecordReader(path, _OPTIONS)
            return self._readers[shard]


class DamagedRecordError(RuntimeError):
    """A record cannot be read.

    Args:
        path: Its file.
        row: Its number in the data set.
        number: Its number in the file.
    """

    def __init__(self, path: pathlib.Path, row: int, number: int) -> None:
        self.row = row
        super().__init__(
            f"packed: expected a whole record {number} in {path}. Received: a damaged "
            f"one, which is row {row}. See all that are: kerascale pack --check "
            f"{path.parent}. Copy the data set again, or pack its source again."
        )
