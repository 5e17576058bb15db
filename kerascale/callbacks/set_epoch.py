"""Tells the data which epoch is read."""

from typing import Any

import keras
import tensorflow as tf


class SetEpoch(keras.callbacks.Callback):
    """Writes the epoch's number into a variable that a dataset reads.

    Attributes:
        epoch: int64 scalar, from 0: for `Batches.epoch_dataset`.
    """

    def __init__(self) -> None:
        super().__init__()
        # The host's own: tf.data reads it there.
        with tf.device("CPU:0"):
            self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False, name="epoch")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.assign(epoch)
