"""Keeps what Prometheus reads of a training up to date."""

import time
from typing import Any

import keras

from kerascale.datasets.source import Source
from kerascale.runtime.prometheus.training_state import TrainingState

# Loss and learning rate are read from the device no more often than this: a reader
# comes every 15 s or so.
_LOOK_SECONDS = 1.0


class ExportMetrics(keras.callbacks.Callback):
    """Writes steps, times, loss and learning rate to a `TrainingState`.

    It costs some microseconds at each execution. The time between two of them is
    spread evenly over the steps in between.

    Args:
        state: What is written to.
        train: What is trained on.
        first_step: Batches of the first epoch that were done before.
        planned: Batches in all; None: those of all epochs.
    """

    every_step = False

    def __init__(
        self,
        state: TrainingState,
        train: Source,
        first_step: int = 0,
        planned: int | None = None,
    ) -> None:
        super().__init__()
        self._state = state
        self._steps_per_epoch = train.steps_per_epoch
        self._examples_per_epoch = train.num_examples
        self._batch_size = train.batch_size
        self._first_step = first_step
        self._planned = planned
        # The first execution is traced, and may be compiled: it tells of no step.
        self._is_first = True
        self._looked = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._before = epoch * self._steps_per_epoch
        self._done, self._first_step = self._first_step, 0
        if self._is_first:
            of_epochs = self.params["epochs"] * self._steps_per_epoch
            planned = self._planned or of_epochs
            self._state.began(self._before + self._done, planned)
        self._last = time.monotonic()

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        now = time.monotonic()
        done = min(batch + 1, self._steps_per_epoch)
        steps = done - self._done
        examples = self._examples(done) - self._examples(self._done)
        seconds = None if self._is_first else now - self._last
        self._state.trained(self._before + done, steps, examples, seconds)
        self._done, self._last, self._is_first = done, now, False
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look(logs)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._state.progressed()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._look(logs)
        self._state.progressed()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._state.ended()

    def _examples(self, steps: int) -> int:
        return min(steps * self._batch_size, self._examples_per_epoch)

    def _look(self, logs: dict[str, Any] | None) -> None:
        """Reads values here, where the training waits for them by itself."""
        logs = logs or {}
        rate = getattr(self.model.optimizer, "learning_rate", None)
        self._state.saw(
            loss=_number(logs.get("loss")),
            validation_loss=_number(logs.get("val_loss")),
            learning_rate=_number(rate),
        )


def _number(value: Any) -> float | None:
    return None if value is None else float(keras.ops.convert_to_numpy(value))
