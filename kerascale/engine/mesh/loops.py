"""The loops of `fit`, `evaluate` and `predict` over parts of epochs."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import keras

from kerascale.engine.collectives import whole
from kerascale.engine.data import batch_checks, fit_arguments
from kerascale.engine.mesh import readers, rows, votes
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


class Reader:
    """Reads epoch after epoch.

    One of fewer steps than there are batches goes on where the last one ended, and
    begins anew where that was the end.

    Args:
        data: As in `batch_spec`.
        prepared: The model's.
        most: Batches of a part.
    """

    def __init__(self, data: Any, prepared: Prepared, most: int) -> None:
        self._data = data
        self._places = prepared.places
        self._most = most
        # Of the pass that is read: its batches that were, its number, its iterator.
        self._done, self._pass = 0, 0
        self._iterator: Iterator[Any] | None = None

    def parts(self, epoch: int, first: int, end: int | None) -> Iterator[Part]:
        """The parts of an epoch, whose places begin with its first step.

        Args:
            epoch: Which one.
            first: The batch to begin at.
            end: The one behind the last; None: all that there are.

        Raises:
            RuntimeError: If data of unknown length ends before.
        """
        total = self._data.num_batches
        if self._done == 0:
            self._pass, self._iterator = epoch, None
        batches = getattr(self._data, "batches", None)
        if batches is not None:
            end, before = total if end is None else end, self._done
            self._done = (before + end) % total
            for part in rows.of_batches(
                batches,
                self._places,
                self._pass,
                before + first,
                before + end,
                self._most,
            ):
                yield dataclasses.replace(part, first=part.first - before)
            return
        if self._iterator is None:
            self._iterator = iter(self._read(first))
        count = None if end is None else end - first
        self._done = 0 if end is None else self._done + end
        if total is not None:
            self._done %= total
        given = 0
        wanted = itertools.islice(self._iterator, count)
        for part in rows.of_dataset(wanted, self._places, first):
            given += 1
            yield part
        if count is not None and given < count:
            raise RuntimeError(batch_checks.ENDED_EARLY)

    def _read(self, first: int) -> Any:
        if not isinstance(self._data, fit_arguments.feed.Feed):
            return self._data.get_numpy_iterator()
        if self._data.set_epoch is not None:
            self._data.set_epoch.first_step.assign(first)
            if self._data.set_epoch.end is not None:
                self._data.set_epoch.end.assign(0)  # This epoch alone.
        return self._data.dataset


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
    reader = Reader(data, prepared, most)
    by_all = readers.are_there(model, callbacks.callbacks)
    for epoch in epochs:
        model.reset_metrics()
        if hasattr(data, "on_epoch_begin"):
            data.on_epoch_begin()
        callbacks.on_epoch_begin(epoch)
        end, is_cut, logs = steps_per_epoch, False, {}
        if last is not None and last - epoch * steps_per_epoch < steps_per_epoch:
            end, is_cut = last - epoch * steps_per_epoch, True
        for part in reader.parts(epoch, skip, end):
            callbacks.on_train_batch_begin(part.first)
            votes.hold()
            logs = prepared.train(part.rows, part.steps)
            callbacks.on_train_batch_end(part.first + part.steps - 1, logs)
            if model.stop_training:
                break
        skip = 0
        if is_cut:
            model.stop_training = True
        logs = logs or prepared.train.logs()
        logs = {name: _plain(value) for name, value in logs.items()}
        logs.update(validate(epoch))
        with whole.on_host(model, by_all=by_all):
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
    for part in Reader(data, prepared, most).parts(0, 0, steps):
        callbacks.on_test_batch_begin(part.first)
        votes.hold()
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
