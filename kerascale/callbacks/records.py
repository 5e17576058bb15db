"""Writes `metrics.jsonl`: one line per epoch, with times."""

import json
import os
import time
from typing import Any

import keras


class MetricsRecord(keras.callbacks.Callback):
    """Appends one JSON object per epoch to a file, readable while the run goes on.

    Args:
        path: The file.
        examples_per_epoch: For the speed that is recorded.
    """

    def __init__(self, path: str | os.PathLike, examples_per_epoch: int) -> None:
        super().__init__()
        self.path = os.fspath(path)
        self.examples_per_epoch = examples_per_epoch

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
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
