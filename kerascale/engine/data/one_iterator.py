"""One iterator of `tf.data` for all epochs of a training.

To make one takes some 25 ms, each time: TensorFlow looks at what its functions have
captured anew. Of an epoch of a small model that is a large part.
"""

from collections.abc import Callable

import tensorflow as tf

from kerascale.engine.data.step_iterator import StepIterator


class OneIterator:
    """Goes on where an epoch begins at which it has come to its end.

    Args:
        dataset: Gives that of all batches from the epoch on that is read when it is
            iterated.
        steps_per_epoch: Batches of an epoch.
        end: int64 scalar: the epoch before which the dataset ends, if it is not the
            next one.
    """

    def __init__(
        self,
        dataset: Callable[[], tf.data.Dataset],
        steps_per_epoch: int,
        end: tf.Variable,
    ) -> None:
        self._dataset = dataset
        self._steps_per_epoch = steps_per_epoch
        self._end = end
        self._reader: StepIterator | None = None
        self._iterator: tf.data.Iterator | None = None
        self._last_epoch = 0

    def of(self, reader: StepIterator) -> tf.data.Iterator:
        """The iterator from the first batch of an epoch on that is read of it."""
        before, self._reader = self._reader, reader
        epoch = int(reader.epoch)
        goes_on = (
            before is not None
            and epoch <= self._last_epoch
            and self._place(before, before.next_batch)
            == self._place(reader, reader.first_batch)
        )
        if not goes_on:
            self._iterator = iter(self._dataset())
            self._last_epoch = max(epoch + 1, int(self._end.read_value())) - 1
        return self._iterator

    def _place(self, reader: StepIterator, batch: int) -> int:
        return int(reader.epoch) * self._steps_per_epoch + batch
