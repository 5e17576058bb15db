"""Tells a dataset which epoch it reads."""

from typing import Any

import keras
import tensorflow as tf


class SetEpoch(keras.callbacks.Callback):
    """Writes the epoch's number into a variable that a dataset reads.

    Args:
        epoch: int64 scalar, from 0: for `Batches.epoch_dataset`. None: a new one.
        first_step: int64 scalar: the batch that an epoch begins at; or None.
        skip: Batches that the first epoch leaves out.
        end: int64 scalar: the epoch before which `fit` ends; or None.
    """

    def __init__(
        self,
        epoch: tf.Variable | None = None,
        first_step: tf.Variable | None = None,
        skip: int = 0,
        end: tf.Variable | None = None,
    ) -> None:
        super().__init__()
        self.epoch = counter("epoch") if epoch is None else epoch
        self.first_step = first_step
        self.end = end
        self._skip = skip

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.end is not None:
            self.end.assign((self.params or {}).get("epochs") or 0)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.assign(epoch)
        if self.first_step is not None:
            self.first_step.assign(self._skip)
            self._skip = 0


def counter(name: str) -> tf.Variable:
    """A variable that `SetEpoch` writes."""
    # The host's own: tf.data reads it there. And no replica's.
    with tf.init_scope(), tf.device("CPU:0"):
        return tf.Variable(0, dtype=tf.int64, trainable=False, name=name)
