"""Writes rows into the files of a packed data set, and says what is on the disk."""

import pathlib
from typing import Any

import numpy as np

from kerascale.datasets.packed import layout
from kerascale.datasets.packed.growing import GrowingFile
from kerascale.datasets.packed.progress import Progress
from kerascale.datasets.packed.rows import Rows
from kerascale.datasets.packed.shards import Shards


class Writer:
    """Adds rows behind those that a progress says are on the disk.

    Args:
        folder: That of the packed data set.
        encoding: As `RowSource.encoding`.
        progress: How far it is; kept up to date by `sync`.

    Raises:
        OSError: If the folder cannot be written.
        PackFailedError: If less is on the disk than the progress says.
    """

    def __init__(
        self, folder: pathlib.Path, encoding: str | None, progress: Progress
    ) -> None:
        self._folder = folder
        self._progress = progress
        self._encoding = encoding
        self._files: dict[str, GrowingFile] = {}
        self._shards: Shards | None = None
        for name in (layout.FEATURES, layout.CODES, layout.LABELS, layout.FILES):
            if name in progress.sizes:
                self._file(name)
        if encoding is not None:
            self._shards = Shards(folder, encoding, progress.shards, progress.piece)

    def write(self, rows: Rows) -> None:
        """Adds rows.

        Raises:
            OSError: If they cannot be written.
            ValueError: If they are not like those before them.
        """
        count = len(rows.features)
        if self._shards is None and count:
            self._check_form(rows.features)
            self._file(layout.FEATURES).write(rows.features)
        elif count:
            for row in rows.features:
                self._shards.write(row.encode() if isinstance(row, str) else row)
        if rows.labels.ndim > 1:
            self._file(layout.LABELS).write(rows.labels.astype(np.float32, copy=False))
        else:
            self._file(layout.CODES).write(rows.labels.astype(np.int64, copy=False))
        if rows.files is not None:
            lines = "".join(f"{_in_a_line(file)}\n" for file in rows.files)
            self._file(layout.FILES).write(lines.encode("utf-8", "surrogateescape"))
        progress = self._progress
        runs = progress.runs
        if runs and runs[-1][0] == rows.split:
            runs[-1][1] += count
        elif count:
            runs.append([rows.split, count])
        progress.rows += count
        progress.state = dict(rows.state)
        if rows.bytes_read is not None:
            progress.bytes_read = rows.bytes_read

    def sync(self) -> None:
        """Brings all rows onto the disk, and saves the progress.

        Raises:
            OSError: If that is not possible.
        """
        progress = self._progress
        progress.sizes = {name: file.sync() for name, file in self._files.items()}
        if self._shards is not None:
            progress.shards, progress.piece = self._shards.sync()
        progress.save(self._folder)
        if self._shards is not None:
            self._shards.remove_pieces()

    def close(self) -> None:
        """Completes all files, behind the last row, and saves the progress.

        Raises:
            OSError: If that is not possible.
        """
        progress = self._progress
        for name, file in self._files.items():
            file.close()
            progress.sizes[name] = file.size
        if self._shards is not None:
            progress.shards, progress.piece = self._shards.close(), None
        progress.save(self._folder)
        if self._shards is not None:
            self._shards.remove_pieces()

    def abandon(self) -> None:
        """Closes all files as they are."""
        for file in self._files.values():
            file.abandon()
        if self._shards is not None:
            self._shards.abandon()

    def _file(self, name: str) -> GrowingFile:
        if name not in self._files:
            size = self._progress.sizes.get(name, 0)
            self._files[name] = GrowingFile(self._folder / name, size)
        return self._files[name]

    def _check_form(self, features: np.ndarray) -> None:
        progress = self._progress
        found: tuple[Any, Any] = list(features.shape[1:]), features.dtype.name
        if progress.dtype is None:
            progress.shape, progress.dtype = found
        if found != (progress.shape, progress.dtype):
            raise ValueError(
                f"{progress.source}: expected rows of shape {progress.shape} and "
                f"{progress.dtype}, as the first. Received: shape {found[0]} and "
                f"{found[1]} behind row {progress.rows}."
            )


def _in_a_line(file: str) -> str:
    return file.replace("\\", "\\\\").replace("\n", "\\n") if "\n" in file else file
