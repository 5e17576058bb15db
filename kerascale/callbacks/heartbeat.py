"""Tells whoever watches over the process how far the training is."""

from typing import Any

import keras

from kerascale.runtime import heartbeat


class Heartbeat(keras.callbacks.Callback):
    """Writes a sign of life at each batch; costs some microseconds, and reads nothing.

    Args:
        steps_per_epoch: Batches in one pass.
    """

    every_step = False

    def __init__(self, steps_per_epoch: int) -> None:
        super().__init__()
        self._steps_per_epoch = steps_per_epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._done = epoch * self._steps_per_epoch
        heartbeat.beat(heartbeat.STARTING)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        done = min(batch + 1, self._steps_per_epoch)
        heartbeat.beat(heartbeat.TRAINING, step=self._done + done)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        heartbeat.beat(heartbeat.BETWEEN)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        heartbeat.beat(heartbeat.VALIDATING)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        heartbeat.beat(heartbeat.BETWEEN)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        heartbeat.beat(heartbeat.BETWEEN)
