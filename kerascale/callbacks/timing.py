"""How long steps take, without what comes only once: tracing and compiling."""

import time
from typing import Any

import keras

from kerascale.engine.data import waits


class Timing(keras.callbacks.Callback):
    """Reads the clock once for each execution and each epoch.

    Steps are timed from the beginning of an epoch to the end of its last execution,
    with all that is between them: data, callbacks, checkpoints. The first epoch of a
    process, in which steps are traced and compiled, counts only if there is no other,
    and then without its first execution if there is a second one.

    Args:
        steps_per_epoch: Batches in one pass.
    """

    every_step = False

    def __init__(self, steps_per_epoch: int) -> None:
        super().__init__()
        waits.ask()
        self._steps_per_epoch = steps_per_epoch
        self._epochs_begun = 0
        # Batches that have been trained in all epochs, those of before included.
        self.step = 0
        # Of epochs after the first; of the first; of its executions after the first.
        self._later = [0, 0.0, 0.0]
        self._first = [0, 0.0, 0.0]
        self._first_later = [0, 0.0, 0.0]

    @property
    def steps(self) -> int:
        """Steps that were timed."""
        return self._best[0]

    @property
    def seconds(self) -> float:
        """How long they took."""
        return self._best[1]

    @property
    def waited_seconds(self) -> float:
        """How long of that they waited for data."""
        return min(self._best[2], self.seconds)

    @property
    def compiling_included(self) -> bool:
        """Whether tracing and compiling is a part of it: it was too short."""
        return self._best is self._first

    @property
    def _best(self) -> list:
        known = (self._later, self._first_later)
        return next((times for times in known if times[0]), self._first)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._epochs_begun += 1
        self._executions = 0
        self._began_at = self._done = None
        self._began = self._now = time.monotonic()
        self._waited = waits.seconds()

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self._began_at is None:
            self._began_at = batch

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._now = time.monotonic()
        self._done = min(batch + 1, self._steps_per_epoch)
        self.step = self._epoch * self._steps_per_epoch + self._done
        self._executions += 1
        if self._executions == 1:
            self._after_first = self._done, self._now, waits.seconds()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._end_epoch()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._end_epoch()

    def _end_epoch(self) -> None:
        if getattr(self, "_done", None) is None:
            return
        waited = waits.seconds()
        if self._epochs_begun > 1:
            self._later[0] += self._done - self._began_at
            self._later[1] += self._now - self._began
            self._later[2] += waited - self._waited
        else:
            self._first[:] = (
                self._done - self._began_at,
                self._now - self._began,
                waited - self._waited,
            )
            done, at, then = self._after_first
            self._first_later[:] = self._done - done, self._now - at, waited - then
        self._done = None
