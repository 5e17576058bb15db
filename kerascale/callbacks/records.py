"""Writes `history.csv` and `metrics.jsonl`: one line per epoch."""

import io
import json
import os
import time
from typing import Any

import keras

from kerascale.callbacks.unwritten import RecordFile, Unwritten


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


class MetricsRecord(keras.callbacks.Callback):
    """Appends one JSON object per epoch to a file, readable while the run goes on.

    Args:
        path: The file.
        examples_per_epoch: For the speed that is recorded.
        unwritten: What happens where it cannot be written; None: training stops.
    """

    every_step = False

    def __init__(
        self,
        path: str | os.PathLike,
        examples_per_epoch: int,
        unwritten: Unwritten | None = None,
    ) -> None:
        super().__init__()
        self.file = RecordFile(path, unwritten)
        self.examples_per_epoch = examples_per_epoch

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.file.begin()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self.file.retry()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._began = time.monotonic()
        self._trained = None

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._trained = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.monotonic()
        training = (self._trained or now) - self._began
        record = {
            "epoch": epoch + 1,
            "step": int(keras.ops.convert_to_numpy(self.model.optimizer.iterations)),
            "seconds": round(now - self._began, 4),
            "examples_per_second": round(self.examples_per_epoch / training, 1),
            "learning_rate": float(
                keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
            ),
            **{name: float(value) for name, value in (logs or {}).items()},
        }
        self.file.append(f"{json.dumps(record)}\n".encode())

    def write_now(self) -> None:
        """Writes what waits."""
        self.file.write_now()
