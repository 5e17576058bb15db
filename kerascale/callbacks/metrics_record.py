"""Writes `metrics.jsonl`, a line for each epoch and some between."""

import json
import os
import time
from collections.abc import Callable
from typing import Any

import keras

from kerascale.callbacks.deferred_writes import RecordFile, Unwritten
from kerascale.callbacks.intervals import Intervals


class MetricsRecord(keras.callbacks.Callback):
    """Appends one JSON object per epoch to a file, readable while the run goes on.

    Between them are lines with `"kind": "interval"`: at most 20 in an epoch, at steps
    that are the same in every run. Their metrics are those since the epoch began.

    Args:
        path: The file.
        examples_per_epoch: For the speed that is recorded; or what tells it, where it
            is known better when batches were read.
        unwritten: What happens where it cannot be written; None: training stops.
        steps_per_epoch: Batches in one pass; None: there are lines of epochs alone.
    """

    every_step = False

    def __init__(
        self,
        path: str | os.PathLike,
        examples_per_epoch: int | Callable[[], int],
        unwritten: Unwritten | None = None,
        steps_per_epoch: int | None = None,
    ) -> None:
        super().__init__()
        self.file = RecordFile(path, unwritten)
        self._examples_per_epoch = examples_per_epoch
        self._steps_per_epoch = steps_per_epoch
        self._intervals = Intervals(steps_per_epoch) if steps_per_epoch else None

    @property
    def examples_per_epoch(self) -> int:
        """As far as it is known by now."""
        known = self._examples_per_epoch
        return known() if callable(known) else known

    def get_state(self) -> dict[str, Any]:
        """What a run that goes on must know."""
        return {"seen": self._intervals.seen if self._intervals else 0}

    def set_state(self, state: dict[str, Any]) -> None:
        if self._intervals:
            self._intervals.seen = state["seen"]

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.file.begin()
        if self._intervals:
            self._intervals.end_epoch()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._began = self._last = time.monotonic()
        self._trained = self._first = self._last_done = None
        self._done = 0

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self._last_done is None:
            self._first = self._last_done = batch

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self.file.retry()
        if self._intervals is None:
            return
        self._done = done = min(batch + 1, self._steps_per_epoch)
        # The end of an epoch has a line of its own.
        if not self._intervals.passed(done) or done == self._steps_per_epoch:
            return
        now = time.monotonic()
        share = (done - self._last_done) / self._steps_per_epoch
        speed = share * self.examples_per_epoch / (now - self._last)
        self._last, self._last_done = now, done
        self._write(self._epoch, speed, now, logs, kind="interval")

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._trained = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        now = time.monotonic()
        training = (self._trained or now) - self._began
        self._write(epoch, self._examples_seen() / training, now, logs)
        if self._intervals:
            self._intervals.end_epoch()

    def _examples_seen(self) -> float:
        """Those of the epoch that this process has trained."""
        if not self._done:  # It is not known.
            return self.examples_per_epoch
        share = (self._done - self._first) / self._steps_per_epoch
        return share * self.examples_per_epoch

    def _write(
        self,
        epoch: int,
        speed: float,
        now: float,
        logs: dict[str, Any] | None,
        **kind: str,
    ) -> None:
        optimizer = self.model.optimizer
        record = {
            **kind,
            "epoch": epoch + 1,
            "step": int(keras.ops.convert_to_numpy(optimizer.iterations)),
            "seconds": round(now - self._began, 4),
            "examples_per_second": round(speed, 1),
            "learning_rate": float(keras.ops.convert_to_numpy(optimizer.learning_rate)),
            **{name: float(value) for name, value in (logs or {}).items()},
        }
        self.file.append(f"{json.dumps(record)}\n".encode())

    def write_now(self) -> None:
        """Writes what waits."""
        self.file.write_now()
