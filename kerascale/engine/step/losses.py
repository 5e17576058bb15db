"""Losses of a slice that add up to the loss of the global batch."""

from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.collectives import all_reduce
from kerascale.engine.data import shard
from kerascale.engine.step import observed
from kerascale.errors import RefusedError

_MEANS = ("sum_over_batch_size", "mean")


class GlobalLoss:
    """A Keras loss on one replica's slice.

    The values on all replicas add up to what the loss gives for the global batch on
    one device: `sum_over_batch_size` divides by the global number of elements,
    `mean_with_sample_weight` by the global sum of weights, `sum` by nothing, a masked
    loss by the global number of valid positions.

    Args:
        loss: A Keras loss. Its `call` gives a value for each example (and position),
            or a scalar, which is taken to be a mean over examples.
    """

    def __init__(self, loss: keras.Loss) -> None:
        _refuse_coupled(loss)
        self.loss = loss

        # Whether `call` gives a value for each row of the batch. Where it is seen to
        # give another number, the values that there are get counted.
        self.by_row = True

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        here = shard.current()
        if here is None:
            value = self.loss(y_true, y_pred, sample_weight)
        else:
            value = self._of_slice(y_true, y_pred, sample_weight, here)
        if observed.is_wanted():
            self._show(value, y_true, y_pred)
        return value

    def _of_slice(
        self, y_true: Any, y_pred: Any, sample_weight: Any, here: shard.Shard
    ) -> Any:
        dtype = self.loss.dtype
        mask = _mask(y_pred)
        y_pred = keras.tree.map_structure(lambda t: _convert(t, dtype), y_pred)
        y_true = keras.tree.map_structure(lambda t: _convert(t, dtype), y_true)
        values = self.loss.call(y_true, y_pred)
        mask = _and(mask, _mask(values))
        values = _convert(values, dtype)
        if values.shape.rank == 0:
            return values * here.share(values.dtype)
        if not self.by_row:
            return self._of_counted(values, sample_weight, mask, here)
        return _reduce(values, sample_weight, mask, self.loss.reduction, here)

    def _of_counted(
        self, values: tf.Tensor, sample_weight: Any, mask: Any, here: shard.Shard
    ) -> tf.Tensor:
        """The share of values of which a slice has its own number."""
        if sample_weight is not None or mask is not None:
            raise RefusedError(
                f"loss {self.name}: expected a value for each example, to be weighted "
                f"or masked. Received: values of another number, {values.shape}."
            )
        # An empty slice has one row that does not count.
        counts = tf.cast(here.count > 0, values.dtype)
        total = tf.reduce_sum(tf.math.multiply_no_nan(values, counts))
        if self.loss.reduction == "sum":
            return total
        if self.loss.reduction not in (*_MEANS, "mean_with_sample_weight"):
            raise RefusedError(
                f"loss {self.name}: expected reduction='sum_over_batch_size' or 'sum', "
                "or a value for each example. Received: reduction="
                f"{self.loss.reduction!r} and values of another number."
            )
        number = counts * tf.cast(tf.size(values), values.dtype)
        (number,) = all_reduce.all_reduce([number])
        return tf.math.divide_no_nan(total, number)

    @property
    def name(self) -> str:
        """That of the function, if it is one."""
        return getattr(getattr(self.loss, "fn", None), "__name__", self.loss.name)

    def _show(self, value: Any, y_true: Any, y_pred: Any) -> None:
        """Tells who looks; it runs eagerly then."""
        here, by_row = shard.current(), True
        if here is not None and not here.filled:  # Else there are more rows than count.
            dtype = self.loss.dtype
            values = self.loss.call(
                keras.tree.map_structure(lambda t: _convert(t, dtype), y_true),
                keras.tree.map_structure(lambda t: _convert(t, dtype), y_pred),
            )
            shape = tf.convert_to_tensor(values).shape
            by_row = shape.rank == 0 or shape[0] == int(here.count)
        observed.note(self.name, value, by_row, keras.tree.flatten(y_pred))


def _reduce(
    values: tf.Tensor,
    sample_weight: Any,
    mask: Any,
    reduction: str | None,
    here: shard.Shard,
) -> tf.Tensor:
    dtype = values.dtype
    rows = here.row_weights(tf.shape(values)[0], dtype)
    elements = _elements_of_batch(values, here)
    weights = None
    if mask is not None:
        weights = tf.cast(mask, dtype)
        mask_weights = _times_rows(weights, rows)
    if sample_weight is not None:
        sample_weight = tf.cast(sample_weight, dtype)
        if weights is None:
            weights = sample_weight
        else:
            weights, sample_weight = _same_rank(weights, sample_weight)
            weights = weights * sample_weight
    counted = values
    if weights is not None:
        counted, weights = _same_rank(values, weights)
        counted = counted * weights
    counted = _times_rows(counted, rows)
    if reduction in (None, "none"):
        return counted
    total = tf.reduce_sum(counted)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and weights is not None:
        (divisor,) = all_reduce.all_reduce([tf.reduce_sum(_times_rows(weights, rows))])
        return tf.math.divide_no_nan(total, divisor)
    if reduction in _MEANS and mask is not None:
        # Keras gives valid positions the weight total / valid, over the slice.
        valid = tf.reduce_sum(mask_weights)
        (valid,) = all_reduce.all_reduce([valid])
        scale = tf.math.divide_no_nan(_elements_of_batch(mask_weights, here), valid)
        return tf.math.divide_no_nan(total * scale, elements)
    return tf.math.divide_no_nan(total, elements)


def _elements_of_batch(values: tf.Tensor, here: shard.Shard) -> tf.Tensor:
    """Elements that `values` would have for the global batch."""
    # The positions of an example are the same number on every replica.
    each = tf.reduce_prod(tf.cast(tf.shape(values)[1:], tf.int64))
    return tf.cast(here.size * each, values.dtype)


def _times_rows(values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    return values * tf.reshape(rows, [-1] + [1] * (values.shape.rank - 1))


def _same_rank(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Drops or adds a last axis of length 1, as Keras does."""
    if a.shape.rank == b.shape.rank + 1:
        if a.shape[-1] == 1:
            return (a, b[:, None]) if b.shape.rank == 1 else (a[..., 0], b)
    elif b.shape.rank == a.shape.rank + 1 and b.shape[-1] == 1:
        return (a[:, None], b) if a.shape.rank == 1 else (a, b[..., 0])
    return a, b


def _convert(tensor: Any, dtype: str) -> tf.Tensor:
    return keras.ops.convert_to_tensor(tensor, dtype=dtype)


def _mask(tensor: Any) -> Any:
    return getattr(tensor, "_keras_mask", None)


def _and(a: Any, b: Any) -> Any:
    if a is None or b is None:
        return b if a is None else a
    return tf.logical_and(a, b)


def _refuse_coupled(loss: keras.Loss) -> None:
    if type(loss).__call__ is not keras.Loss.__call__:
        raise RefusedError(
            f"loss {loss.name}: expected a keras.losses.Loss that keeps Keras' "
            f"__call__. Received: {type(loss).__name__}, which overrides it, so that "
            "its values cannot be weighted by the global batch. Put the computation "
            "into call()."
        )
    whole_batch = isinstance(loss, keras.losses.Circle) or (
        isinstance(loss, keras.losses.Dice | keras.losses.Tversky) and not loss.axis
    )
    if whole_batch:
        raise RefusedError(
            f"loss {loss.name}: expected a loss that has a value for each example. "
            f"Received: {type(loss).__name__}, which couples all examples of a "
            "batch: its value on slices says nothing of the whole. Give Dice and "
            "Tversky axis=(1, 2, 3); train Circle on one replica."
        )
