"""Where a replica's slice lies in the global batch, for layers and losses to ask."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

_here = threading.local()


@dataclasses.dataclass(frozen=True)
class Shard:
    """One replica's rows of a global batch, while a step on them is traced.

    Args:
        size: Rows of the global batch; int64 scalar.
        offset: Rows of it that lie before this slice; int64 scalar.
        count: Rows of this slice that count; int64 scalar. Those after them fill it
            up: an empty slice holds one, because many kernels cannot take none.
        replicas: Replicas in sync, over all workers.
        filled: Whether slices are filled up to one static shape, as a TPU needs it.
    """

    size: tf.Tensor
    offset: tf.Tensor
    count: tf.Tensor
    replicas: int
    filled: bool = False

    def share(self, dtype: tf.DType) -> tf.Tensor:
        """This slice's part of the batch: `count / size`."""
        return tf.cast(self.count, dtype) / tf.cast(self.size, dtype)

    def weighted(self, gradient: Any) -> Any:
        """A gradient of a mean over this slice, as its part of that of the batch."""
        if isinstance(gradient, tf.IndexedSlices):
            values = gradient.values * self.share(gradient.values.dtype)
            return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
        return None if gradient is None else gradient * self.share(gradient.dtype)

    def row_weights(self, rows: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """1 for rows that count, 0 for those that fill the slice up.

        Args:
            rows: Rows that the slice holds; integer scalar.
            dtype: That of the result, of shape (rows,).
        """
        return tf.cast(tf.range(tf.cast(rows, tf.int64)) < self.count, dtype)


def current() -> Shard | None:
    """The place of the step that is being traced; None outside of one.

    It is also None where there is one replica, whose slice is the batch.
    """
    return getattr(_here, "place", None)


@contextlib.contextmanager
def at(place: Shard | None) -> Iterator[None]:
    """Makes `current` answer with `place`, in this thread."""
    before = current(), is_weighted()
    _here.place, _here.is_weighted = place, False
    try:
        yield
    finally:
        _here.place, _here.is_weighted = before


def weigh() -> None:
    """Notes that the loss of the step was weighted by the slice's share."""
    _here.is_weighted = True


def is_weighted() -> bool:
    """Whether the loss was, before its gradients are taken."""
    return getattr(_here, "is_weighted", False)


def of(where: tf.Tensor | None, replicas: int) -> Shard | None:
    """The place that a slice of a feed comes with.

    Args:
        where: int64 [size, offset, count], and a fourth entry if slices are filled.
        replicas: Replicas in sync.

    Returns:
        None where there is one replica, whose slice is the batch.
    """
    if where is None or replicas == 1:
        return None
    size, offset, count, *filled = tf.unstack(where)
    return Shard(size, offset, count, replicas, bool(filled))


def bounds(size: tf.Tensor, replica: int, replicas: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Which rows of a global batch a replica takes.

    Slices follow one another, and their sizes differ by one row at most.

    Args:
        size: Rows of the global batch; int64 scalar.
        replica: The replica's number, over all workers.
        replicas: How many there are.

    Returns:
        Offset and count; int64 scalars.
    """
    each, left = size // replicas, size % replicas
    offset = replica * each + tf.minimum(tf.cast(replica, size.dtype), left)
    return offset, each + tf.cast(replica < left, size.dtype)
