"""`predict` of arrays: many batches in one call, on one device some beside each other.

A batch has the outputs of a single call, to the last bit: it is computed by itself, of
the same size, and on several replicas in the same slices.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets import nests
from kerascale.engine.collectives import all_reduce, replicas
from kerascale.engine.compat import keras_faults, keras_private
from kerascale.engine.data import feed
from kerascale.engine.execution import beside, mode_of_model, own_traces, prediction

# Batches in a call: so many that calls cost nothing, and few enough to show progress.
_MOST = 64
# An attribute of a model: for which compilation functions are, and one for each kind of
# strategy: within `fit` a model of several devices may be one of a single one.
_KEPT = "_kerascale_prediction_loop"


def predict(
    model: keras.Model, x: Any, batch_size: int | None, verbose: Any, callbacks: Any
) -> Any:
    """What `keras.Model.predict` gives; None where it should do it itself.

    Args:
        model: On one device.
        x: What it should read.
        batch_size: Rows of a batch.
        verbose: As in Keras.
        callbacks: As in Keras.
    """
    if not model.built or model.run_eagerly or model.steps_per_execution > 1:
        return None
    if mode_of_model.looks_at_batches(callbacks, "predict"):
        return None
    if isinstance(model.distribute_strategy, tf.distribute.TPUStrategy):
        return None  # Where this was not tried.
    found = _arrays(x, batch_size)
    if found is None:
        return None
    inputs, batch_size = found
    inputs, *_ = keras.utils.unpack_x_y_sample_weight(inputs)
    tensors = nests.map_present(feed.tensor, keras.tree.lists_to_tuples(inputs))
    rows = int(nests.flat(tensors)[0].shape[0])
    num = -(-rows // batch_size)
    if num < 2:
        return None
    told = _callbacks(model, callbacks, verbose, num)
    run = _function(model)
    if run is None:
        return None
    with prediction.refusing(model):
        first = lambda t: t[:batch_size]  # noqa: E731
        numbers = tuple(map(_scalar, (0, min(num, _MOST), batch_size, rows)))
        trace = lambda: run.get_concrete_function(tensors, *numbers)  # noqa: E731
        prediction.show(model, lambda: (nests.map_present(first, tensors),), trace)
        try:
            trace()
        except all_reduce.CommunicatesInside:
            _kept(model)[True] = None
            return None
        return _in_calls(model, run, tensors, (num, batch_size, rows), told)


def _in_calls(
    model: keras.Model,
    run: Callable[..., Any],
    tensors: Any,
    numbers: tuple[int, int, int],
    told: keras.callbacks.CallbackList,
) -> Any:
    """Predicts, and tells callbacks; None where Keras should do it itself.

    Args:
        model: Built.
        run: What `_function` gives.
        tensors: The data, a nest.
        numbers: Of batches, of rows in each, and of rows in all.
        told: The callbacks.
    """
    num, batch_size, rows = numbers
    parts = []
    told.on_predict_begin()
    for first in range(0, num, _MOST):
        end = min(first + _MOST, num)
        told.on_predict_batch_begin(first)
        try:
            outputs = run(tensors, *map(_scalar, (first, end, batch_size, rows)))
        except tf.errors.InvalidArgumentError as error:
            if "TensorListConcat" not in error.message:
                raise
            # Batches differ in more than their rows: Keras makes it ragged.
            return None
        parts.append(keras.tree.map_structure(lambda t: t.numpy(), outputs))
        told.on_predict_batch_end(end - 1, {"outputs": outputs})
        if model.stop_predicting:
            break
    told.on_predict_end()
    return keras.tree.map_structure(lambda *each: np.concatenate(each), *parts)


def forget(model: keras.Model) -> None:
    """What was traced before is no longer the model's."""
    vars(model).pop(_KEPT, None)


def _scalar(number: int) -> tf.Tensor:
    return tf.constant(number, tf.int64)


def _arrays(x: Any, batch_size: int | None) -> tuple[Any, int] | None:
    if isinstance(x, keras_private.DataAdapter | tf.data.Dataset):
        return None
    try:
        adapter = keras_private.adapter(x=x, batch_size=batch_size, shuffle=False)
    except ValueError:
        return None  # Keras says it in its own words.
    found = keras_private.arrays_of(adapter)
    if found is None or not all(map(_is_dense, tf.nest.flatten(found[0]))):
        return None
    return found


def _is_dense(array: Any) -> bool:
    dtype = getattr(array, "dtype", None)
    is_tensor = isinstance(array, tf.Tensor | np.ndarray)
    return array is None or (is_tensor and dtype not in (tf.string, np.dtype(object)))


def _callbacks(
    model: keras.Model, callbacks: Any, verbose: Any, num: int
) -> keras.callbacks.CallbackList:
    model.stop_predicting = False
    return keras.callbacks.CallbackList(
        callbacks,
        add_progbar=verbose != 0,
        verbose=verbose,
        epochs=1,
        steps=num,
        model=model,
    )


def _kept(model: keras.Model) -> dict[bool, Callable[..., Any] | None]:
    """Whether a model is distributed -> its function; None: there can be none."""
    compilation = keras_private.compilation(model)
    kept = vars(model).get(_KEPT)
    if kept is None or kept[0] is not compilation:
        kept = vars(model)[_KEPT] = (compilation, {})
    return kept[1]


def _function(model: keras.Model) -> Callable[..., Any] | None:
    """Predicts batches of arrays in one call; None: that cannot be."""
    kept = _kept(model)
    is_distributed = replicas.is_distributed(model.distribute_strategy)
    if is_distributed not in kept:
        keras_faults.mend(model)
        function = functools.partial(_all, model)
        if is_distributed:
            of_element = prediction.on_replicas(model, may_communicate=False)
            function = functools.partial(_on_replicas, model, of_element)
        kept[is_distributed] = own_traces.graph(function)
    return kept[is_distributed]


def _all(
    model: keras.Model,
    tensors: Any,
    first: tf.Tensor,
    end: tf.Tensor,
    batch_size: tf.Tensor,
    rows: tf.Tensor,
) -> Any:
    def one(number: tf.Tensor) -> Any:
        inputs = beside.rows(tensors, number, batch_size, rows)
        return model.predict_step((inputs,))

    def aside(number: tf.Tensor) -> Any:
        nonlocal has_state
        with keras_private.Aside([]) as scope:
            outputs = one(number)
        has_state = beside.writes(model, scope)
        return outputs

    step, has_state = one, False
    if model.jit_compile:
        step = tf.function(one, autograph=False, jit_compile=True)
    traced = tf.function(aside, autograph=False).get_concrete_function(first)
    # What a step draws, say, is drawn in the order of the batches.
    return _in_a_loop(step, traced.structured_outputs, (first, end), has_state)


def _on_replicas(
    model: keras.Model,
    of_element: Callable[[Any], list[Any]],
    tensors: Any,
    first: tf.Tensor,
    end: tf.Tensor,
    batch_size: tf.Tensor,
    rows: tf.Tensor,
) -> Any:
    """The same on the replicas of this process, one batch after the other."""

    def one(number: tf.Tensor) -> Any:
        inputs = beside.rows(tensors, number, batch_size, rows)
        parts = of_element(prediction.cut(model, inputs))
        return keras.tree.map_structure(lambda *ts: tf.concat(ts, 0), *parts)

    step = tf.function(one, autograph=False)
    outputs = step.get_concrete_function(first).structured_outputs
    return _in_a_loop(step, outputs, (first, end), True)


def _in_a_loop(
    step: Callable[[tf.Tensor], Any],
    like: Any,
    numbers: tuple[tf.Tensor, tf.Tensor],
    in_order: bool,
) -> Any:
    """The outputs of batches, joined.

    Args:
        step: Gives those of a batch by its number, int64 scalar.
        like: Their nest, of tensors with their dtypes and shapes.
        numbers: As of `beside.compute`.
        in_order: As of `beside.compute`.
    """
    first, end = numbers
    arrays = [
        tf.TensorArray(
            t.dtype,
            tf.cast(end - first, tf.int32),
            infer_shape=False,
            element_shape=t.shape,
        )
        for t in keras.tree.flatten(like)
    ]
    arrays = beside.compute(
        lambda number: keras.tree.flatten(step(number)),
        numbers,
        arrays,
        in_order=in_order,
    )
    return keras.tree.pack_sequence_as(like, [a.concat() for a in arrays])
