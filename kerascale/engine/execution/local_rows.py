"""Rows of arrays in memory that a loop of steps takes itself, without `tf.data`.

A pipeline of `tf.data` is traced in each `fit` anew, and takes 0.1 ms of each step of a
worker with one core. Rows of memory are there at once: nothing is gained by taking
them before.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from kerascale.datasets import nests
from kerascale.datasets.gathers import FromArrays
from kerascale.datasets.pipeline import Batches
from kerascale.engine.data import shard, slices


def are_at_hand(batches: Batches, strategy: tf.distribute.Strategy) -> bool:
    """Whether the replicas of this process take rows of arrays in its memory."""
    gather = batches.gather
    devices = map(tf.DeviceSpec.from_string, strategy.extended.worker_devices)
    is_cpu = all(device.device_type == "CPU" for device in devices)
    return is_cpu and isinstance(gather, FromArrays) and gather.is_in_memory


class LocalRows:
    """What some replicas take of full batches.

    Args:
        batches: Whose rows `are_at_hand`.
        ids: The replicas.
        num_replicas: How many there are in all.
    """

    def __init__(self, batches: Batches, ids: Sequence[int], num_replicas: int) -> None:
        # Of any number of rows: the arrays are those of a `fit`.
        self._like = nests.map_present(_any_rows, batches.gather.arrays)
        self._ids, self._num_replicas = ids, num_replicas
        self._batch_size = size = batches.batch_size
        # Offset in the batch, and rows that count, of each replica.
        self._bounds: list[tuple[int, int]] = []
        with tf.init_scope():
            for replica in ids:
                found = shard.bounds(tf.constant(size, tf.int64), replica, num_replicas)
                self._bounds.append((int(found[0]), int(found[1])))

    @property
    def _held(self) -> list[tuple[int, int]]:
        """Where the rows of each replica begin, and how many it holds: see `cut`."""
        last = self._batch_size - 1
        return [(min(begin, last), max(count, 1)) for begin, count in self._bounds]

    @property
    def key(self) -> Any:
        """The same where the same graph reads them."""
        return self._batch_size, self._like

    @property
    def arguments(self) -> list[tf.TensorSpec]:
        """Of what is given to the graph: the arrays, and the rows of each step."""
        # Steps see batches of any size, as in single steps.
        rows = [tf.TensorSpec([None, None], tf.int64)] * len(self._bounds)
        return [*nests.flat(self._like), *rows]

    def given(
        self, batches: Batches, epoch: tf.Tensor, first: int, steps: int
    ) -> list[tf.Tensor]:
        """What is given for so many full batches.

        Args:
            batches: Like those that it was made of, of any number of examples.
            epoch: int64 scalar.
            first: The place of the first batch in the epoch.
            steps: How many.
        """
        with tf.device("CPU:0"):
            place, held = tf.constant(first, tf.int64), self._held
            start = held[0][0]
            columns = start, sum(held[-1]) - start
            rows = batches.indices_of(epoch, place, steps, columns)
            own = [rows[:, at - start : at - start + count] for at, count in held]
        return [*nests.flat(batches.gather.arrays), *own]

    def element(self, given: Sequence[tf.Tensor], step: tf.Tensor) -> tuple[Any, ...]:
        """What the feed has of a step: (data, where) for each replica."""
        num_arrays = len(given) - len(self._bounds)
        items = []
        for (offset, count), rows in zip(self._bounds, given[num_arrays:], strict=True):
            own = tf.gather(rows, step)
            taken = iter([tf.gather(t, own) for t in given[:num_arrays]])
            data = nests.map_present(lambda _, taken=taken: next(taken), self._like)
            where = tf.constant([self._batch_size, offset, count], tf.int64)
            items.append((data, where))
        return tuple(items)

    def smaller(self, batches: Batches, epoch: tf.Tensor, place: int) -> Any:
        """The same of the smaller batch at the end of an epoch; not in a graph."""
        with tf.device("CPU:0"):
            indices = batches.indices(epoch, tf.constant(place, tf.int64))
            return tuple(
                (batches.gather(rows, epoch), where)
                for rows, where in slices.cut(indices, self._ids, self._num_replicas)
            )

    @property
    def element_spec(self) -> tuple[Any, ...]:
        """That of `element`, and of `smaller`."""
        return ((self._like, tf.TensorSpec([3], tf.int64)),) * len(self._bounds)


def _any_rows(tensor: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)
