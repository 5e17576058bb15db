"""`predict` of arrays on one device: many batches in one call, some beside each other.

A batch's outputs are those of Keras, to the last bit: each is computed by itself, of
the same size.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets import nests
from kerascale.engine.compat import keras_faults, keras_private
from kerascale.engine.data import feed
from kerascale.engine.execution import beside, mode_of_model, own_traces

# Batches in a call: so many that calls cost nothing, and few enough to show progress.
_MOST = 64
# An attribute of a model: for which compilation the function is.
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
    run, parts = _function(model), []
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


def _function(model: keras.Model) -> Callable[..., Any]:
    """Predicts batches of arrays in one call."""
    compilation = keras_private.compilation(model)
    kept = vars(model).get(_KEPT)
    if kept is None or kept[0] is not compilation:
        keras_faults.mend(model)
        made = own_traces.graph(functools.partial(_all, model))
        kept = (compilation, made)
        vars(model)[_KEPT] = kept
    return kept[1]


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
    shapes = tf.function(aside, autograph=False).get_concrete_function(first)
    arrays = [
        tf.TensorArray(
            t.dtype,
            tf.cast(end - first, tf.int32),
            infer_shape=False,
            element_shape=t.shape,
        )
        for t in keras.tree.flatten(shapes.structured_outputs)
    ]
    # What a step draws, say, is drawn in the order of the batches.
    arrays = beside.compute(
        lambda number: keras.tree.flatten(step(number)),
        (first, end),
        arrays,
        in_order=has_state,
    )
    return keras.tree.pack_sequence_as(
        shapes.structured_outputs, [a.concat() for a in arrays]
    )
