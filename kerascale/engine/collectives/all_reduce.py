"""One packed all-reduce: gradients travel in a few large buffers."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from kerascale.engine.collectives import lockstep, loop_shapes

# A buffer is cut above this: one tensor of several gigabytes would double the
# memory that gradients take, and some transports refuse it.
BUCKET_BYTES = 64 * 2**20


_tracing = threading.local()


NOT_COMPILED = (
    "jit_compile: the step is not compiled by XLA, because it communicates with other "
    "replicas inside (batch statistics, or a masked or weighted loss)."
)


class CommunicatesInside(Exception):
    """A function that XLA should compile talks to other replicas."""


@contextlib.contextmanager
def no_communication() -> Iterator[None]:
    """Within it, in this thread, `all_reduce` raises `CommunicatesInside`."""
    _tracing.alone = True
    try:
        yield
    finally:
        _tracing.alone = False


def refuse_inside() -> None:
    """Raises `CommunicatesInside` within `no_communication`."""
    if getattr(_tracing, "alone", False):
        raise CommunicatesInside


def num_bytes(tensor: tf.Tensor | tf.Variable | tf.TensorSpec) -> int:
    """Of a tensor of known shape."""
    return tensor.shape.num_elements() * tf.as_dtype(tensor.dtype).size


def buckets(
    like: Sequence[tf.Tensor | tf.Variable | tf.TensorSpec],
    bucket_bytes: int = BUCKET_BYTES,
) -> list[list[int]]:
    """Which tensors share a buffer: neighbours of one dtype, up to a size.

    Args:
        like: Tensors of known shape.
        bucket_bytes: A buffer grows to at most this, unless one tensor is larger.

    Returns:
        Indices into `like`, a list for each buffer.
    """
    result: list[list[int]] = []
    filled: dict[str, tuple[list[int], int]] = {}
    for i, tensor in enumerate(like):
        dtype = tf.as_dtype(tensor.dtype)
        own = num_bytes(tensor)
        bucket, before = filled.get(dtype.name, ([], 0))
        if not bucket or before + own > bucket_bytes:
            bucket, before = [], 0
            result.append(bucket)
        bucket.append(i)
        filled[dtype.name] = (bucket, before + own)
    return result


def pack(
    tensors: Sequence[tf.Tensor], bucket_bytes: int = BUCKET_BYTES
) -> list[tf.Tensor]:
    """Tensors as a few flat buffers."""
    return [
        tf.concat([tf.reshape(tensors[i], [-1]) for i in bucket], axis=0)
        for bucket in buckets(tensors, bucket_bytes)
    ]


def unpack(
    buffers: Sequence[tf.Tensor],
    like: Sequence[tf.Tensor | tf.TensorSpec],
    bucket_bytes: int = BUCKET_BYTES,
) -> list[tf.Tensor]:
    """What `pack` packed, in the shapes of `like`."""
    result: list[tf.Tensor | None] = [None] * len(like)
    for buffer, bucket in zip(buffers, buckets(like, bucket_bytes), strict=True):
        sizes = [like[i].shape.num_elements() for i in bucket]
        for i, part in zip(bucket, tf.split(buffer, sizes), strict=True):
            result[i] = tf.reshape(part, like[i].shape)
    return result


def all_reduce(
    tensors: Sequence[tf.Tensor | tf.IndexedSlices],
) -> list[tf.Tensor | tf.IndexedSlices]:
    """The sum of each tensor over all replicas, in one packed all-reduce.

    Called in replica context; not under a condition. The rows of sparse gradients, of
    an embedding, are gathered: one after the other they are the rows that one device
    would have for the whole batch.

    Args:
        tensors: Dense tensors, of the same shape on every replica; or sparse.

    Raises:
        loop_shapes.ChangesError: While a loop is traced in which shapes may change.
    """
    if not tensors:
        return []
    refuse_inside()
    if lockstep.current() is not None:
        return lockstep.total(tensors)
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return list(tensors)
    dense = [t for t in tensors if _is_packable(t)]
    if len(dense) < len(tensors):
        loop_shapes.refuse_change()
    buffers = pack(dense)
    # TensorFlow joins what it is given at once, of one dtype.
    for dtype in dict.fromkeys(buffer.dtype for buffer in buffers):
        places = [i for i, buffer in enumerate(buffers) if buffer.dtype == dtype]
        reduced = context.all_reduce(
            tf.distribute.ReduceOp.SUM, [buffers[i] for i in places]
        )
        for i, buffer in zip(places, reduced, strict=True):
            buffers[i] = buffer
    sums = iter(unpack(buffers, dense))
    return [next(sums) if _is_packable(t) else _one(context, t) for t in tensors]


def _is_packable(tensor: Any) -> bool:
    is_sparse = isinstance(tensor, tf.IndexedSlices)
    return not is_sparse and tensor.shape.is_fully_defined()


def wide(tensor: tf.Tensor) -> tf.Tensor:
    """A tensor of a dtype that collectives know: not of booleans or small integers."""
    if tensor.dtype.is_integer or tensor.dtype.is_bool:
        return tf.cast(tensor, tf.int64)
    return tensor


def _one(context: tf.distribute.ReplicaContext, tensor: Any) -> Any:
    if not isinstance(tensor, tf.IndexedSlices):
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tensor)
    return tf.IndexedSlices(
        context.all_gather(tensor.values, axis=0),
        context.all_gather(tensor.indices, axis=0),
        tensor.dense_shape,
    )
