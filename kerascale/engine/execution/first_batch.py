"""The batch on which it is shown that slices are the batch: read before, used after."""

from typing import Any

import tensorflow as tf

from kerascale.engine.data import slices
from kerascale.engine.parity import check


def checked(
    execution: Any, iterator: tf.data.Iterator
) -> tf.experimental.Optional | None:
    """Shows on a first batch that slices are the batch, if that is to be shown.

    Args:
        execution: An `Executor` of several replicas.
        iterator: Of the feed.

    Returns:
        The batch that was read of the iterator for that, or none: it is what the next
        execution begins with. None: this execution is never shown.
    """
    kind = execution.checked_kind
    if kind is None:
        return None
    if not check.is_due(execution.model, kind):
        return tf.experimental.Optional.empty(iterator.element_spec)
    first = iterator.get_next_as_optional()
    if first.has_value():
        rows = slices.joined(first.get_value())
        check.check(execution.model, kind, rows, execution.train_step)
    return first


def following(
    iterator: tf.data.Iterator,
    first: tf.experimental.Optional | None,
    is_first: tf.Tensor | bool,
) -> Any:
    """The next batch: the one that was read before, or of the iterator."""
    if first is None:
        return iterator.get_next()
    return tf.cond(
        tf.logical_and(first.has_value(), is_first),
        first.get_value,
        iterator.get_next,
    )


def following_if_any(
    iterator: tf.data.Iterator, first: tf.experimental.Optional | None
) -> tf.experimental.Optional:
    """The same of data that may end."""
    if first is None:
        return iterator.get_next_as_optional()
    return tf.cond(first.has_value(), lambda: first, iterator.get_next_as_optional)
