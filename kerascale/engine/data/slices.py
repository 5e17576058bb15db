"""A global batch, cut into the rows that each replica takes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from kerascale.datasets import nests
from kerascale.engine.data import shard
from kerascale.errors import RefusedError


def cut(
    batch: Any, ids: Sequence[int], num_replicas: int, static: int | None = None
) -> tuple[Any, ...]:
    """The slices of a global batch that some replicas take.

    Args:
        batch: A nest of tensors, whose first axis is that of examples.
        ids: The replicas.
        num_replicas: How many there are in all.
        static: Rows that every slice is filled up to; None: slices have the rows they
            have, and an empty one has one.

    Returns:
        An item for each of `ids`: (data, where). Rows that fill up are the batch's
        last one; `where` is what `shard.of` takes.
    """
    size = _num_rows(nests.flat(batch)[0])
    checks = _same_rows(nests.flat(batch), size)
    with tf.control_dependencies(checks):
        size = tf.identity(size)
    items = []
    for replica in ids:
        offset, count = shard.bounds(size, replica, num_replicas)
        where = [size, offset, count]
        if static is None:
            take = _Rows(tf.minimum(offset, size - 1), tf.maximum(count, 1))
        else:
            where.append(tf.constant(1, tf.int64))
            numbers = tf.range(static, dtype=tf.int64)
            take = _Filled(tf.minimum(offset + numbers, size - 1))
        items.append((nests.map_present(take, batch), tf.stack(where)))
    return tuple(items)


def _same_rows(members: Sequence[Any], size: tf.Tensor) -> list[tf.Operation]:
    """Assertions that each member of a batch has a row for each example."""
    checks = []
    for number, tensor in enumerate(members, 1):
        what = f"{_NOT_ROWS} Received: member {number} of {len(members)}"
        if not isinstance(tensor, tf.SparseTensor) and tensor.shape.rank == 0:
            raise RefusedError(f"{what}, a scalar. {_WAY_OUT}")
        checks.append(
            tf.debugging.assert_equal(
                _num_rows(tensor), size, f"{what}, with another number. {_WAY_OUT}"
            )
        )
    return [check for check in checks if check is not None]


def refused(error: tf.errors.OpError) -> RefusedError | None:
    """What a failed assertion of `cut` says; None: it is another error."""
    _, found, rest = error.message.partition(_NOT_ROWS)
    if not found:
        return None
    return RefusedError(f"{_NOT_ROWS}{rest.partition(_WAY_OUT)[0]}{_WAY_OUT}")


_NOT_ROWS = (
    "data: expected every member of a batch to have a row for each example: on several "
    "replicas they are cut."
)
_WAY_OUT = (
    "Repeat it for each example, or give it to the model as a weight; or train on one "
    "device."
)


def joined(items: Sequence[tuple[Any, tf.Tensor]]) -> Any:
    """The rows of all slices of this process that count, as one batch."""

    def rows(data: Any, where: tf.Tensor) -> Any:
        take = _Rows(tf.constant(0, tf.int64), where[2])
        return nests.map_present(take, data)

    parts = [rows(data, where) for data, where in items if int(where[2])]

    def join(*tensors: Any) -> Any:
        if isinstance(tensors[0], tf.SparseTensor):
            return tf.sparse.concat(0, tensors, expand_nonconcat_dims=True)
        return tf.concat(tensors, 0)

    return nests.map_present(join, *parts)


def static_rows(strategy: tf.distribute.Strategy, batch_size: int | None) -> int | None:
    """Rows of every slice where shapes must be static; else None.

    Raises:
        RefusedError: If they must be, and the size of a batch is not known.
    """
    if not isinstance(strategy, tf.distribute.TPUStrategy):
        return None
    if batch_size is None:
        raise RefusedError(
            "data: a TPU expects batches of one size, known beforehand. Received: "
            "batches of any size. Use dataset.batch(size, drop_remainder=True), or "
            "pass arrays or kerascale.datasets batches, whose last one is filled up."
        )
    return -(-batch_size // strategy.num_replicas_in_sync)


@dataclasses.dataclass
class _Rows:
    """Takes rows that follow one another."""

    begin: tf.Tensor
    count: tf.Tensor

    def __call__(self, tensor: Any) -> Any:
        if isinstance(tensor, tf.SparseTensor):
            rest = tensor.dense_shape[1:]
            begin = tf.concat([[self.begin], tf.zeros_like(rest)], 0)
            return tf.sparse.slice(tensor, begin, tf.concat([[self.count], rest], 0))
        return tensor[self.begin : self.begin + self.count]


@dataclasses.dataclass
class _Filled:
    """Takes rows by their numbers, of which there is a static number."""

    numbers: tf.Tensor

    def __call__(self, tensor: tf.Tensor) -> tf.Tensor:
        return tf.gather(tensor, self.numbers)


def _num_rows(tensor: Any) -> tf.Tensor:
    if isinstance(tensor, tf.SparseTensor):
        return tensor.dense_shape[0]
    if isinstance(tensor, tf.RaggedTensor):
        return tf.cast(tensor.nrows(), tf.int64)
    return tf.shape(tensor, tf.int64)[0]
