"""The batch on which it is shown that slices are the batch: read before, used after."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerascale.engine.collectives import consensus
from kerascale.engine.compat import keras_private, tensorflow_private
from kerascale.engine.data import slices
from kerascale.engine.data.step_iterator import StepIterator
from kerascale.engine.execution.agreements import Agreement
from kerascale.engine.parity import check

# Takes the batch that was read before, and gives what will run, traced.
Trace = Callable[[tf.experimental.Optional], tf.types.experimental.ConcreteFunction]


def checked(
    execution: Any, iterator: tf.data.Iterator, trace: Trace
) -> tf.experimental.Optional | None:
    """Shows on a first batch that slices are the batch, if that is to be shown.

    Args:
        execution: An `Executor` of several replicas.
        iterator: Of the feed.
        trace: Traces what will run, which is then known by its graph.

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
        rows = lambda: slices.joined(first.get_value())  # noqa: E731
        _show(execution, kind, rows, lambda: trace(first))
    return first


def show_place(
    execution: Any,
    iterator: StepIterator,
    trace: Callable[[], tf.types.experimental.ConcreteFunction] | None,
) -> bool:
    """The same of batches that are computed from their place; none is read.

    Args:
        execution: An `Executor`.
        iterator: Of the data.
        trace: Traces what will run; None: it is not known by its graph.

    Returns:
        Whether what was traced before is not what shall run.
    """
    kind, model = execution.checked_kind, execution.model
    if execution.num_replicas == 1 or not kind or not check.is_due(model, kind):
        return False
    batch = execution.batch_of(iterator.batches)
    place = tf.constant(iterator.next_batch, tf.int64)
    return _show(execution, kind, lambda: batch(iterator.epoch, place), trace)


def _show(
    execution: Any,
    kind: check.Kind,
    rows: Callable[[], Any],
    trace: Callable[[], tf.types.experimental.ConcreteFunction] | None,
) -> bool:
    """Whether what was traced is not what shall run."""
    model = execution.model
    agreement = None if trace is None else _agreement(execution, kind, trace)
    is_known = int(agreement is not None and agreement.is_known())
    if consensus.gather(execution.strategy, [is_known]).all():
        check.believe(model, kind)
        return False
    before = _by_row(model)
    is_shown = check.check(model, kind, rows(), execution.train_step)
    if _by_row(model) != before:
        execution.trace_anew()  # Losses count their values otherwise now.
        return True
    if is_shown and agreement is not None:
        agreement.remember()
    return False


def _agreement(
    execution: Any,
    kind: check.Kind,
    trace: Callable[[], tf.types.experimental.ConcreteFunction],
) -> Agreement | None:
    """What is known of a step by its graph; None: the step must be looked at.

    What a check finds out of a step of a user's own decides how it is traced.
    """
    model = execution.model
    is_default = model.has_default_train_step and model.has_default_test_step
    if not is_default or not model.has_default_metrics or model.run_eagerly:
        return None
    tensorflow_private.number_names_anew()  # As in another process.
    try:
        return Agreement([trace()], [kind, execution.num_replicas])
    except Exception:  # It is said by the check, or where it is run.
        return None


def _by_row(model: Any) -> list[bool]:
    losses = keras_private.flat_losses(model)
    return [getattr(loss, "by_row", True) for loss in losses]


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
