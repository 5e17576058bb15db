"""The loops of `fit`, `evaluate` and `predict` over parts of epochs."""

from collections.abc import Iterator
from typing import Any

import keras

from kerascale.engine.data import fit_arguments
from kerascale.engine.mesh import rows
from kerascale.engine.mesh.prepare import Prepared
from kerascale.engine.mesh.rows import Part


def batch_spec(data: Any) -> Any:
    """The spec of a batch of what `fit_arguments.training_feed` returns."""
    spec = getattr(data, "batch_spec", None)
    if spec is None:  # An adapter of Keras' own.
        spec = data.get_tf_dataset().element_spec
    return spec if isinstance(spec, tuple) else (spec,)


def batch_size(data: Any) -> int | None:
    """Rows of a global batch; None: that is not known."""
    batches = getattr(data, "batches", None)
    if batches is not None:
        return min(batches.batch_size, batches.num_examples)
    return keras.tree.flatten(batch_spec(data))[0].shape[0]


def parts_of(
    data: Any, prepared: Prepared, epoch: int, first: int, end: int | None, most: int
) -> Iterator[Part]:
    """The parts of an epoch.

    Args:
        data: As in `batch_spec`.
        prepared: The model's.
        epoch: Which one.
        first: The batch to begin at.
        end: The one behind the last; None: all that there are.
        most: Batches of a part.
    """
    batches = getattr(data, "batches", None)
    if batches is not None:
        end = batches.steps_per_epoch if end is None else end
        return rows.of_batches(batches, prepared.places, epoch, first, end, most)
    if isinstance(data, fit_arguments.feed.Feed):
        if data.set_epoch is not None:
            data.set_epoch.first_step.assign(first)
        return rows.of_dataset(data.dataset, prepared.places, first, end)
    return rows.of_dataset(data.get_numpy_iterator(), prepared.places, first, end)


def fit(
    model: keras.Model,
    prepared: Prepared,
    data: Any,
    callbacks: keras.callbacks.CallbackList,
    *,
    epochs: range,
    most: int,
    steps_per_epoch: int | None,
    validate: Any,
) -> None:
    """Trains, and calls callbacks as Keras' `fit` does.

    Args:
        model: Compiled and prepared.
        prepared: Its programs.
        data: What `fit_arguments.training_feed` returns.
        callbacks: With the model set.
        epochs: Their numbers.
        most: Steps of an execution.
        steps_per_epoch: Batches of an epoch; None: all that there are.
        validate: Called with the epoch's number behind its last step; returns logs.
    """
    skip, last = getattr(data, "skip", 0), getattr(data, "last_step", None)
    model.stop_training = False
    callbacks.on_train_begin()
    logs: dict[str, Any] = {}
    for epoch in epochs:
        model.reset_metrics()
        if hasattr(data, "on_epoch_begin"):
            data.on_epoch_begin()
        callbacks.on_epoch_begin(epoch)
        end, is_cut = steps_per_epoch, False
        if last is not None and last - epoch * steps_per_epoch < steps_per_epoch:
            end, is_cut = last - epoch * steps_per_epoch, True
        for part in parts_of(data, prepared, epoch, skip, end, most):
            callbacks.on_train_batch_begin(part.first)
            logs = prepared.train(part.rows, part.steps)
            callbacks.on_train_batch_end(part.first + part.steps - 1, logs)
            if model.stop_training:
                break
        skip = 0
        if is_cut:
            model.stop_training = True
        logs = {name: _plain(value) for name, value in logs.items()}
        logs.update(validate(epoch))
        callbacks.on_epoch_end(epoch, logs)
        if hasattr(data, "on_epoch_end"):
            data.on_epoch_end()
        if model.stop_training:
            break
    if len(epochs) and model.optimizer is not None:
        model.optimizer.finalize_variable_values(model.trainable_weights)
    callbacks.on_train_end(logs)


def evaluate(
    model: keras.Model,
    prepared: Prepared,
    data: Any,
    callbacks: keras.callbacks.CallbackList,
    *,
    most: int,
    steps: int | None,
) -> dict[str, Any]:
    """Evaluates, and calls callbacks as Keras' `evaluate` does; returns logs."""
    model.stop_evaluating = False
    callbacks.on_test_begin()
    model.reset_metrics()
    logs: dict[str, Any] = {}
    for part in parts_of(data, prepared, 0, 0, steps, most):
        callbacks.on_test_batch_begin(part.first)
        logs = prepared.test(part.rows, part.steps)
        callbacks.on_test_batch_end(part.first + part.steps - 1, logs)
        if model.stop_evaluating:
            break
    logs = {name: _plain(value) for name, value in logs.items()}
    callbacks.on_test_end(logs)
    return logs


def _plain(value: Any) -> Any:
    array = keras.ops.convert_to_numpy(value)
    return float(array) if array.ndim == 0 else array
