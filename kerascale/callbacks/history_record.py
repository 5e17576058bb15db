"""Writes `history.csv`, a line for each epoch."""

import io
import os
from typing import Any

import keras

from kerascale.callbacks.deferred_writes import RecordFile, Unwritten


class HistoryRecord(keras.callbacks.CSVLogger):
    """Keras' `CSVLogger`, whose lines wait in memory as long as the disk is full.

    Args:
        path: The file.
        unwritten: What happens where it cannot be written; None: training stops.
    """

    every_step = False

    def __init__(
        self, path: str | os.PathLike, unwritten: Unwritten | None = None
    ) -> None:
        super().__init__(path, append=True)
        self.file = RecordFile(path, unwritten)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.file.begin()
        self.append_header = self.file.size == 0
        self.csv_file = io.StringIO(newline="")
        self.writer = None
        self.keys = None

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self.file.retry()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        self.file.append(self.csv_file.getvalue().encode())
        self.csv_file.seek(0)
        self.csv_file.truncate()

    def write_now(self) -> None:
        """Writes what waits."""
        self.file.write_now()
