"""What a loss, a metric or a layer may ask of the other replicas, inside of a step."""

from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.collectives import all_reduce
from kerascale.engine.data import shard
from kerascale.engine.step.global_sum import global_sum


def gather(x: Any) -> Any:
    """The rows of all replicas, in the order of the global batch.

    Gradients flow back to the replica that a row came from. On one device, and outside
    of a step, it is `x`. Every replica must call it, and not under a condition.

    Args:
        x: A tensor of shape (rows, ...), numbers or booleans, or a nest of them.

    Returns:
        The same with a first axis of all rows of the global batch.

    Example:

    ```python
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        z = ks.ops.gather(keras.ops.normalize(y_pred))
        return contrastive(z, ks.ops.gather(y))  # That of the whole batch.
    ```
    """
    here = shard.current()
    if here is None:
        return x
    return keras.tree.map_structure(lambda t: _gathered(t, here), x)


def _gathered(tensor: Any, here: shard.Shard) -> tf.Tensor:
    tensor = tf.convert_to_tensor(tensor)
    if tensor.dtype == tf.string:
        raise ValueError(
            "gather() expected numbers or booleans. Received: strings, which no "
            "collective takes. Look them up first: keras.layers.StringLookup."
        )
    rows = all_reduce.wide(tensor[: here.count])
    end = here.size - here.offset - here.count
    widths = [[here.offset, end]] + [[0, 0]] * (tensor.shape.rank - 1)
    padded = tf.pad(rows, tf.cast(widths, tf.int64))
    padded = tf.ensure_shape(padded, [None, *tensor.shape[1:]])
    (whole,) = global_sum([padded])
    return tf.cast(whole, tensor.dtype)


def global_mean(values: Any, mask: Any = None) -> tf.Tensor:
    """The mean over the global batch, of values that each replica has of its rows.

    Every replica must call it, and not under a condition.

    Args:
        values: Float tensor of shape (rows, ...).
        mask: True, or a weight, where a value counts; of the shape of `values` or of
            its first axes. None: all count.

    Returns:
        A scalar, the same on every replica; 0 if nothing counts.
    """
    values = tf.convert_to_tensor(values)
    weights = tf.ones_like(values)
    if mask is not None:
        mask = tf.cast(mask, values.dtype)
        weights *= tf.reshape(
            mask,
            tf.concat([tf.shape(mask), [1] * (values.shape.rank - mask.shape.rank)], 0),
        )
    here = shard.current()
    if here is not None:
        rows = here.row_weights(tf.shape(values)[0], values.dtype)
        weights *= tf.reshape(rows, [-1] + [1] * (values.shape.rank - 1))
    # Rows that do not count may be anything.
    total = tf.reduce_sum(tf.math.multiply_no_nan(values, weights))
    total, count = global_sum([total, tf.reduce_sum(weights)])
    return tf.math.divide_no_nan(total, count)
